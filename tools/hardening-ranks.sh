#!/usr/bin/env bash
# kill -9 of a random one of four ranks (mpirun) at random moments of a training that goes on after each: the folder must open,
# all ranks must end, and in the end every bit must be that of one process which nothing disturbed. Arguments: [--kills N] [--seed N]
# (100, 1). Prints what happened; exit 1 where anything was lost. docs/many_machines.md has its numbers.
set -u
kills=100
RANDOM=1
while [ $# -gt 0 ]; do
  case $1 in
    --kills) kills=${2:?} ;;
    --seed) RANDOM=${2:?} ;;
    *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
  esac
  shift 2
done
root=$(cd "$(dirname "$0")/.." && pwd)
vapo=${VAPO:-$root/build/release/bin/vapo}
if ! command -v mpirun >/dev/null || [ ! -x "$vapo" ]; then echo "hardening-ranks.sh: it takes mpirun, and $vapo" >&2 && exit 77; fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 5
export OMP_NUM_THREADS=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
cat >run.toml <<'TOML'
[data]
set = "two_moons"
[model]
hidden = [16, 16]
[train]
steps = 1000000
batch_size = 32
shards = 8
checkpoint_every = 10
log_every = 10
keep_checkpoints = 2
TOML
fail() { echo "LOST after $done_kills kills: $*" && exit 1; }
step() { "$vapo" info run --json | sed 's/.*"step":\([0-9]*\).*/\1/'; }
ranks() { pgrep -f -- "$vapo train run.toml --out run " | while read -r p; do
  tr '\0' '\n' 2>/dev/null <"/proc/$p/environ" | grep -q '^OMPI_COMM_WORLD_RANK=' && echo "$p"; done; }

done_kills=0 before=0
while [ $done_kills -lt "$kills" ]; do
  mpirun --oversubscribe -q -n 4 "$vapo" train run.toml --out run --resume --threads 1 >out 2>err &
  job=$!
  until [ -n "$(ranks)" ]; do
    kill -0 $job 2>/dev/null || fail "ended by itself: $(grep -v ^step err | tail -1)"
    sleep 0.02
  done
  sleep "$((RANDOM % 2)).$(printf %03d $((RANDOM % 1000)))"
  mapfile -t all < <(ranks)
  kill -KILL "${all[RANDOM % ${#all[@]}]}"
  for ((wait = 0; wait < 600; ++wait)); do kill -0 $job 2>/dev/null || break; sleep 0.1; done
  kill -0 $job 2>/dev/null && fail "mpirun has not ended in a minute"
  wait $job 2>/dev/null && fail "exit code 0"
  for ((wait = 0; wait < 350; ++wait)); do [ -z "$(ranks)" ] && break; sleep 0.1; done
  [ -z "$(ranks)" ] || fail "ranks live on"
  done_kills=$((done_kills + 1))
  [ -e run/latest ] || continue  # before the first checkpoint
  now=$(step) || fail "the folder does not open: $("$vapo" info run 2>&1)"
  [ "$now" -ge "$before" ] || fail "step $now after step $before"
  before=$now
done
mpirun --oversubscribe -q -n 2 "$vapo" train run.toml --out run --resume --set train.steps=$((before + 10)) >out 2>err || fail "$(tail -1 err)"
"$vapo" train run.toml --out whole --set train.steps=$((before + 10)) >out 2>err || fail "$(tail -1 err)"
cmp "run/checkpoint-$((before + 10)).safetensors" "whole/checkpoint-$((before + 10)).safetensors" || fail "other bits"
echo "$done_kills kills of one of four ranks, $((before + 10)) steps: nothing lost, and the bits of one process"
