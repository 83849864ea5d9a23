#!/usr/bin/env bash
# Two ranks of one thread beside one rank of two threads, and beside a process without shards: seconds of a step, in turn, and what
# the ranks sent. Of MNIST's U-Net, and of one whose work is in residual blocks of 128 channels at the images' own size. Arguments:
# [ROUNDS [STEPS]] (5, 10). Needs mpirun; $VAPO_DATA with mnist.
set -euo pipefail
cd "$(dirname "$0")/.."
vapo=${VAPO:-build/release/bin/vapo} rounds=${1:-5} steps=${2:-10}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
run() {  # NAME LAUNCHER… -- THREADS SETTING…
  local name=$1 launcher=() threads
  shift
  while [ "$1" != -- ]; do launcher+=("$1") && shift; done
  threads=$2
  shift 2
  rm -rf "$out/run"
  "${launcher[@]}" "$vapo" train configs/mnist.toml --precision fast --threads "$threads" --out "$out/run" --set train.steps="$((steps + 2))" \
    --set train.log_every=2 --set train.validate_every=0 --set train.sample_every=0 --set train.checkpoint_every=1000 "$@" >/dev/null 2>"$out/err" ||
    { cat "$out/err" >&2 && exit 1; }
  # without the first line, in which libraries choose their algorithms
  sed 1d "$out/run/metrics.jsonl" | awk -v name="$name" '
    { n += 1 }
    match($0, /"seconds_per_step":[0-9.e-]+/) { seconds += substr($0, RSTART + 19, RLENGTH - 19) }
    match($0, /"bytes_sent_per_step":[0-9.e-]+/) { bytes += substr($0, RSTART + 22, RLENGTH - 22) }
    match($0, /"seconds_of_sums_per_step":[0-9.e-]+/) { sums += substr($0, RSTART + 27, RLENGTH - 27) }
    END { printf "%-34s %.4f s a step, %.4f s of it in sums, %.0f bytes\n", name, seconds / n, sums / n, bytes / n }'
}
two=(mpirun -q -n 2 --bind-to core)
wide=(--set unet.base_width=128 --set 'unet.multipliers=[1]' --set 'unet.attention_downsamplings=[]' --set train.batch_size=16)
for ((round = 1; round <= rounds; ++round)); do
  for network in mnist block; do
    of=()
    [ $network = mnist ] || of=("${wide[@]}")
    run "$network: 1 x 2 threads, no shards" -- 2 "${of[@]}"
    run "$network: 1 x 2 threads" -- 2 "${of[@]}" --set train.shards=8
    run "$network: 2 ranks x 1 thread" "${two[@]}" -- 1 "${of[@]}" --set train.shards=8
    run "$network: the same, fast" "${two[@]}" -- 1 "${of[@]}" --set train.reduction=fast
  done
done
