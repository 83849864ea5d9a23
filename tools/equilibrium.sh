#!/usr/bin/env bash
# The equilibrium phase, before and after, on a CPU: docs/equilibrium.md has what came out. Arguments: [DIR [PART…]]; parts, in
# their order: points digits chains autonomous; all where none is named. Sets are found below $VAPO_DATA. Safe to run again: runs go on where
# they stopped, what is there is not made anew. Leaves in DIR (default out/equilibrium) for each set a run of the flow and one of
# the phase (of points another of a second phase), with their evaluations, and numbers.jsonl.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-out/equilibrium}
shift || true
parts=("$@")
[ ${#parts[@]} != 0 ] || parts=(points digits chains autonomous)
. tools/program.sh
mkdir -p "$out"
run() { "$vapo" "$@" --precision fast; }
number() {  # NAME COMMAND…: what it says, with its name before it
  local name=$1
  shift
  echo "{\"of\": \"$name\", \"is\": $(run "$@" --json)}" | tee -a "$out/numbers.jsonl"
}
# CONFIG NAME SETTING…: DIR/NAME-flow without the phase, and DIR/NAME-phase which goes on with it.
learn() {
  local config=$1 name=$2
  shift 2
  learn_run "$config" "$name-flow" "$@" equilibrium.steps=0
  learn_run "$config" "$name-phase" "$@" -- --from "$out/$name-flow"
}
learn_run() {  # CONFIG NAME SETTING… [-- OPTION…]
  local config=configs/$1.toml run=$out/$2 settings=()
  shift 2
  while [ $# -gt 0 ] && [ "$1" != -- ]; do settings+=(--set "$1") && shift; done
  [ $# = 0 ] || shift
  if [ -e "$run/latest" ]; then run train --out "$run" --resume; else run train "$config" "${settings[@]}" "$@" --out "$run"; fi
}
points() {
  local name end own temperature
  # Narrow valleys want half the temperature, at which Phi is as steep as the flow has it; valleys that no chain leaves want jumps.
  local narrow=(equilibrium.temperature=0.05 sample.temperature=0.05 equilibrium.step_size=0.03 sample.step_size=0.03
    equilibrium.chain_steps=10)
  for name in two_moons eight_gaussians rings; do
    own=("data.set=$name") temperature=0.1
    [ $name = two_moons ] || own+=("${narrow[@]}") temperature=0.05
    case $name in
      eight_gaussians) own+=(equilibrium.weight=10 equilibrium.fade=0.9 equilibrium.renewed=0.2 equilibrium.jumps=2) ;;
      rings) own+=(equilibrium.weight=40 equilibrium.fade=0.6 equilibrium.renewed=0.05 equilibrium.jumps=5 equilibrium.steps=8000) ;;
    esac
    learn two_moons_equilibrium $name "${own[@]}"
    # Where the law is nearly right, the contrast may outweigh the flow's term; from the flow it would lead elsewhere.
    own+=(equilibrium.weight=80 equilibrium.fade=0.5 equilibrium.learning_rate=1e-3 equilibrium.steps=5000)
    [ $name = two_moons ] || own+=(equilibrium.renewed=0.1 equilibrium.jumps=5)
    learn_run two_moons_equilibrium $name-second "${own[@]}" -- --from "$out/$name-phase"
    for end in flow phase second; do
      number "$name $end: density" density "$out/$name-$end"
      number "$name $end: chains" longrun "$out/$name-$end" --method sgld -n 8 --steps 20000 --temperatures $temperature --start noise,data
    done
  done
}
# Of a U-Net that is told the class: samples by class and of none, by the flow and by chains told none.
digits() {
  : "${VAPO_DATA:?tools/equilibrium.sh: VAPO_DATA must name the folder that holds mnist}"
  local end
  learn mnist_equilibrium digits
  for end in flow phase; do
    sampled digits-$end classes -n 1000 --class all
    sampled digits-$end flow -n 1000
    sampled digits-$end chains -n 256 --method sgld --t 0.8 --step-size 0.04 --denoise --steps 500
  done
}
sampled() {  # RUN WAY OPTION…: samples, what they are read as, and how far they are from the test images
  local run=$out/$1 file=$out/$1-$2.npz name="${1/-/ }, by $2" classifier=$out/classifier.safetensors
  shift 2
  [ -e "$classifier" ] || run classifier train mnist --out "$classifier"
  [ -e "$file" ] || run sample "$run" "$@" --save "$file" --grid "${file%.npz}.png" --columns 16
  number "$name: read" classifier test "$classifier" "$file"
  number "$name: distance" fid --features "$classifier" --ref mnist:test --samples "$file"
}
starts=(--start "noise,samples,data")
chains() {
  long digits-flow 0.8 0.04 2000
  long digits-phase 0.8 0.04 2000 --temperatures 0.5,1,2
  long digits-phase 0.8 0.04 10000
  long digits-phase 0.7 0.1 5000
  long digits-phase 0.6 0.25 2000
}
long() {  # RUN T STEP_SIZE STEPS OPTION…
  local run=$1 t=$2 size=$3 steps=$4
  shift 4
  number "${run/-/ }: $steps steps at t = $t" longrun "$out/$run" --method sgld --t "$t" --step-size "$size" --steps "$steps" "${starts[@]}" \
    --averaged-noise --denoise --out "$out/$run/evaluations/chains-$t-$steps" "$@"
}
# A WideResNet that is told neither time nor class.
autonomous() {
  local end own=(equilibrium.times=[0.8] equilibrium.weight=0.15 equilibrium.final_fraction=0.1 sample.averaged_noise=true energy.marginal_t=0.8)
  learn_run mnist_autonomous autonomous-flow
  learn_run mnist_autonomous autonomous-phase "${own[@]}" equilibrium.steps=500 -- --from "$out/autonomous-flow"
  for end in flow phase; do
    sampled autonomous-$end flow -n 1000
    sampled autonomous-$end chains -n 256 --method sgld --t 0.8 --denoise --averaged-noise --step-size 0.01 --steps 200
    number "autonomous $end: chains" longrun "$out/autonomous-$end" --method sgld --t 0.8 --step-size 0.01 "${starts[@]}" --temperatures 0.5,1,2 --steps 600 --averaged-noise
  done
}

for part in "${parts[@]}"; do
  case $part in
    points | digits | chains | autonomous) $part ;;
    *) echo "tools/equilibrium.sh: '$part' is no part" >&2 && exit 2 ;;
  esac
done
