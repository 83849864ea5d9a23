#!/usr/bin/env bash
# Two moons from nothing: installs what is missing, builds, trains, and leaves figures and numbers in out/two_moons.
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh build
cmake --preset release --log-level=WARNING
cmake --build --preset release --target vapo_program

vapo=build/release/bin/vapo
out=${1:-out/two_moons}
if [ -e "$out/config.toml" ]; then
  echo "$out holds a run: going on with it (remove the folder to begin anew)" >&2
  $vapo train --out "$out" --resume
else
  $vapo train configs/two_moons.toml --out "$out"
fi
$vapo density "$out"
echo
echo "figures: $out/flow.png $out/density.png $out/sgld.png $out/loss.png; numbers: $out/summary.json"
