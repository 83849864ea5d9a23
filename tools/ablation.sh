#!/usr/bin/env bash
# Times, coupling, head, blurring path and equilibrium phase, each alone and some together, by the Fréchet distance of MNIST's
# samples, at equal images and at equal time: the table of docs/equilibrium.md. Arguments: [DIR [NAME…]]; names are those below,
# all where none is given. Sets are found below $VAPO_DATA. Safe to run again: runs go on where they stopped, what is there is
# not made anew. Leaves in DIR (default out/ablation) each run with its samples, and NAME.json with its distance and its seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/program.sh

out=${1:-out/ablation}
shift || true
: "${VAPO_DATA:?tools/ablation.sh: VAPO_DATA must name the folder that holds mnist}"
mkdir -p "$out"
run() { "$vapo" "$@" --precision fast; }

# The U-Net of mnist.toml with half of its channels, and 800 steps of 64 images.
small=(unet.base_width=16 unet.groups=16 train.warmup_steps=100 train.validate_every=400 train.sample_every=0 train.checkpoint_every=400
  train.ema_decay=0.995)
times=(path.times=logit_normal)
coupling=(path.coupling=optimal)
head=(unet.head=inner_product)
linear=(unet.head=linear)
blurring=(path.kind=blurring)
phase=(equilibrium.steps=200 equilibrium.times=[0.8] equilibrium.weight=0.15 equilibrium.final_fraction=0.1)
declare -A settings=(
  [flow]="train.steps=800"
  [flow_seed1]="train.steps=800 train.seed=1"
  [flow_seed2]="train.steps=800 train.seed=2"
  [times]="train.steps=800 ${times[*]}"
  [coupling]="train.steps=800 ${coupling[*]}"
  [inner_product]="train.steps=800 ${head[*]}"
  [linear]="train.steps=800 ${linear[*]}"
  [blurring]="train.steps=800 ${blurring[*]}"
  [times_coupling]="train.steps=800 ${times[*]} ${coupling[*]}"
  [times_blurring]="train.steps=800 ${times[*]} ${blurring[*]}"
  [times_inner_product]="train.steps=800 ${times[*]} ${head[*]}"
  [times_inner_product_blurring]="train.steps=800 ${times[*]} ${head[*]} ${blurring[*]}"
  [phase]="train.steps=600 ${phase[*]}"             # as many images
  [times_inner_product_phase]="train.steps=600 ${times[*]} ${head[*]} ${phase[*]}"
  [flow_longer]="train.steps=1000"                   # about as much time as the phase takes
)
order=(flow times coupling inner_product linear blurring phase flow_longer flow_seed1 times_inner_product
  times_inner_product_phase times_coupling times_blurring times_inner_product_blurring flow_seed2)

[ -e "$out/classifier.safetensors" ] || run classifier train mnist --out "$out/classifier.safetensors"
names=("$@")
[ ${#names[@]} != 0 ] || names=("${order[@]}")
for name in "${names[@]}"; do
  [ -n "${settings[$name]:-}" ] || { echo "tools/ablation.sh: '$name' is none of: ${order[*]}" >&2 && exit 2; }
  all=(train.schedule_steps=0)
  for set in "${small[@]}" ${settings[$name]}; do all+=("$set"); done
  own=()
  for set in "${all[@]}"; do own+=(--set "$set"); done
  if [ -e "$out/$name/latest" ]; then run train --out "$out/$name" --resume; else run train configs/mnist.toml "${own[@]}" --out "$out/$name"; fi
  [ -e "$out/$name.npz" ] || run sample "$out/$name" -n 1000 --save "$out/$name.npz" --grid "$out/$name.png" --columns 10
  echo "{\"of\": \"$name\", \"is\": $(run fid --features "$out/classifier.safetensors" --ref mnist:test --samples "$out/$name.npz" --json)}" |
    tee "$out/$name.json"
done
