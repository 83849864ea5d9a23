#!/usr/bin/env bash
# Digits from nothing: trains configs/mnist.toml and a classifier that judges it, samples, and measures the Fréchet
# distance of the classifier's features to MNIST's test images, over training and at the end. Arguments: [DIR [SET]];
# SET is mnist or fashion_mnist, found below $VAPO_DATA. Safe to run again: what is there is not made anew.
# Leaves in DIR (default out/SET): the run, classifier.safetensors, samples.png, evaluations/fid*, frechet.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."

set_name=${2:-mnist}
out=${1:-out/$set_name}
: "${VAPO_DATA:?tools/mnist.sh: VAPO_DATA must name the folder that holds $set_name}"
. tools/program.sh

if [ -e "$out/latest" ]; then
  $vapo train --out "$out" --resume --precision fast
else
  $vapo train "configs/$set_name.toml" --out "$out" --precision fast
fi
classifier=$out/classifier.safetensors
[ -e "$classifier" ] || $vapo classifier train "$set_name" --out "$classifier" --precision fast

distance() { $vapo fid --features "$classifier" --ref "$set_name:test" --precision fast --json "$@" | tee -a "$out/frechet.jsonl"; }
rm -f "$out/frechet.jsonl"
for checkpoint in $(ls "$out"/checkpoint-*.safetensors | sort -t- -k2 -V); do
  step=${checkpoint##*-}
  step=${step%.safetensors}
  [ "$step" = 0 ] || distance --samples "$checkpoint" -n 1000 --out "$out/evaluations/fid-at-$step"
done
distance --samples "$out" -n 5000
distance --halves --samples "$set_name:train"  # the floors: real images for samples
$vapo sample "$out" -n 100 --precision fast --grid "$out/samples.png"
