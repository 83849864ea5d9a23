#!/usr/bin/env bash
# Debian packages for this machine's Debian: vapo (the program) and libvapo-dev, into build/package. CPU only.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh build package
cmake --preset package --log-level=WARNING
cmake --build --preset package
rm -f build/package/*.deb
cpack --config build/package/CPackConfig.cmake -B build/package >build/package/cpack.log ||
  { cat build/package/cpack.log >&2 && exit 1; }
ls build/package/*.deb
