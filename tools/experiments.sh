#!/usr/bin/env bash
# The poster's experiments on MNIST, on a CPU: docs/experiments.md has what came out. Arguments: [DIR [PART…]]; parts, in their
# order: train guidance compose interpolate inpaint longrun ood likelihood report; all where none is named. One more, cifar,
# runs only where it is named: it trains configs/cifar10_small.toml for an hour or two and scores other images with it.
# Sets are found below $VAPO_DATA. Safe to run again: runs go on where they stopped, what is there is not made anew.
# Leaves in DIR (default out/experiments): classifier.safetensors, classes/, chains/ (the same after the equilibrium phase),
# autonomous/ and cifar10/ (runs, each with its evaluations/ and report.html), guidance.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-out/experiments}
shift || true
parts=("$@")
[ ${#parts[@]} != 0 ] || parts=(train guidance compose interpolate inpaint longrun ood likelihood report)
: "${VAPO_DATA:?tools/experiments.sh: VAPO_DATA must name the folder that holds mnist and fashion-mnist}"
. tools/program.sh
mkdir -p "$out"
classifier=$out/classifier.safetensors
run() { "$vapo" "$@" --precision fast; }

learn() {  # CONFIG FOLDER [OPTION…]
  local config=configs/$1.toml run=$out/$2
  shift 2
  if [ -e "$run/latest" ]; then run train --out "$run" --resume; else run train "$config" "$@" --out "$run"; fi
}
train() {
  [ -e "$classifier" ] || run classifier train mnist --out "$classifier"
  learn mnist_equilibrium classes --set equilibrium.steps=0
  learn mnist_equilibrium chains --from "$out/classes"
  learn mnist_autonomous autonomous
}
# 1,000 samples, a hundred of each class: how many are read as theirs, and how far they are from the test images.
guidance() {
  rm -f "$out/guidance.jsonl"
  for w in 0 1 3 6; do
    samples=$out/guidance-$w.npz
    [ -e "$samples" ] || run sample "$out/classes" -n 1000 --class all --guidance $w --save "$samples" --grid "$out/guidance-$w.png" --columns 10
    echo "{\"guidance\": $w}" >>"$out/guidance.jsonl"
    run classifier test "$classifier" "$samples" --json | tee -a "$out/guidance.jsonl"
    run fid --features "$classifier" --ref mnist:test --samples "$samples" --json | tee -a "$out/guidance.jsonl"
  done
}
compose() { run compose "$out/classes" --pairs "0,1;3,8;4,9;5,6" --guidance 1; }
interpolate() { run interpolate "$out/classes" --pairs 8 --points 10 --class all --guidance 1; }
inpaint() {
  for mask in half box; do
    run inpaint "$out/classes" --images mnist:test --mask $mask -n 200 --classifier "$classifier" --out "$out/classes/evaluations/inpaint-$mask"
  done
}
longrun() {
  for model in chains autonomous; do run longrun "$out/$model" --method ode --until 20; done
  run longrun "$out/autonomous" --method sgld --temperatures 0.1,0.5,1 --start noise,samples --steps 2000
  run longrun "$out/chains" --method sgld --temperatures 0.5,1,2 --start noise,samples,data --steps 2000 --denoise
}
ood() { run ood "$out/chains" --in mnist:test --out fashion_mnist:test,interpolated --limit 1000 --times 0.5,0.7,0.8,0.9,0.95; }
likelihood() { run likelihood "$out/classes" --limit 128; }
cifar() {
  learn cifar10_small cifar10
  local others=interpolated,cifar100:test,celeba:test
  [ ! -e "$VAPO_DATA/svhn" ] || others+=,svhn:test
  run ood "$out/cifar10" --in cifar10:test --out "$others" --likelihood 32 --times 0.5,0.7,0.8,0.9,0.95 --training-images 2000
  "$vapo" report "$out/cifar10"
}
report() { for model in classes chains autonomous; do "$vapo" report "$out/$model"; done; }

for part in "${parts[@]}"; do
  case $part in
    train | guidance | compose | interpolate | inpaint | longrun | ood | likelihood | report | cifar) $part ;;
    *) echo "tools/experiments.sh: '$part' is no part" >&2 && exit 2 ;;
  esac
done
