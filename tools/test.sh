#!/usr/bin/env bash
# Installs what is missing, builds everything, runs all tests. Arguments go to ctest: tools/test.sh -R golden
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh build test
cmake --preset release --log-level=WARNING
cmake --build --preset release
ctest --preset release "$@"
