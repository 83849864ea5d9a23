#!/usr/bin/env bash
# Several ranks with a GPU each, by a launcher of MPI and by torchrun's variables: the bits of one GPU, recorded or not, and
# how it ends. On emulated kernels ranks are processes that have an emulated device each.
. "$3/tests/apps/common.sh"
. "$3/tests/apps/tiny_images.sh"
export VAPO_EMULATED_DEVICES=4 OMP_NUM_THREADS=1 VAPO_PATIENCE=20
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
by_mpi() {  # RANKS command…
  local n=$1
  shift
  mpirun --oversubscribe -q -n "$n" "$@"
}
# torchrun's part: its variables, the first's output, and an end of all where one ends badly
port=20000
torchrun_rank() {  # RANK OF command…
  local rank=$1 of=$2
  shift 2
  RANK=$rank WORLD_SIZE=$of LOCAL_RANK=$rank MASTER_ADDR=127.0.0.1 MASTER_PORT=$port exec "$@"
}
by_torchrun() {
  local n=$1 rank job jobs running code=0 got
  shift
  port=$((port + 3))
  torchrun_rank 0 $n "$@" &
  jobs=($!)
  for ((rank = 1; rank < n; ++rank)); do
    torchrun_rank $rank $n "$@" >rank-$rank.out 2>rank-$rank.err &
    jobs+=($!)
  done
  while [ ${#jobs[@]} -gt 0 ]; do  # bash keeps what `wait PID` asks for, and forgets what `wait -n` was told
    running=()
    for job in "${jobs[@]}"; do
      kill -0 "$job" && running+=("$job") && continue
      got=0
      wait "$job" || got=$?
      [ $got = 0 ] || [ $code != 0 ] || code=$got
    done
    jobs=("${running[@]}")
    [ $code = 0 ] || [ ${#jobs[@]} = 0 ] || kill -KILL "${jobs[@]}"
    sleep 0.05
  done 2>/dev/null  # what the shell says of those it killed is not a rank's
  return $code
}
launchers=(by_torchrun)
if command -v mpirun >/dev/null && ! by_mpi 2 "$vapo" train nothing.toml --out none 2>&1 | grep -q 'built without MPI'; then
  launchers+=(by_mpi)
fi

small=(--set model.hidden=[16,16] --set train.batch_size=16 --set train.steps=8 --set train.warmup_steps=4
  --set train.shards=4 --json)
published=(--set loss.estimator=published --set loss.weight=one --set train.clip=std)
last() { ls "$1"/checkpoint*8.safetensors; }
expect 0 "$vapo" train tiny.toml --out one "${small[@]}" --device cuda
expect 0 "$vapo" train tiny.toml --out one-published "${small[@]}" --device cuda "${published[@]}"
expect 0 "$vapo" sample one -n 10 --batch-size 4 --save alone.csv --device cuda
for by in "${launchers[@]}"; do
  expect 0 $by 2 "$vapo" train tiny.toml --out $by-2 "${small[@]}" --device cuda
  [ "$(wc -l <out)" = 1 ] || fail "$by: not one result: $(cat out)"
  cmp "$(last one)" "$(last $by-2)" || fail "$by: two GPUs give other bits than one"
  expect 0 $by 4 "$vapo" train tiny.toml --out $by-4 "${small[@]}" --device cuda --no-graph
  cmp "$(last one)" "$(last $by-4)" || fail "$by: four GPUs give other bits than one"
  expect 0 $by 2 "$vapo" train tiny.toml --out $by-published "${small[@]}" --device cuda "${published[@]}"
  cmp "$(last one-published)" "$(last $by-published)" || fail "$by: the published loss: two GPUs give other bits than one"
  for name in fast again launched; do
    expect 0 $by 3 "$vapo" train tiny.toml --out $by-$name "${small[@]}" --device cuda --set train.shards=0 --set train.batch_size=18 \
      --set train.reduction=fast $([ $name = launched ] && echo --no-graph)
    cmp "$(last $by-fast)" "$(last $by-$name)" || fail "$by: fast: $name gives other bits"
  done
  tail -1 $by-fast/metrics.jsonl | grep -qE '"ranks":\{"count":3,"bytes_sent_per_step":[1-9][0-9.e+]*,"seconds_of_sums_per_step":[0-9.e-]*[1-9]' ||
    fail "$by: no traffic: $(tail -1 $by-fast/metrics.jsonl)"
  expect 0 $by 2 "$vapo" train tiny.toml --out $by-stopped "${small[@]}" --device cuda --set train.steps=4 --set train.schedule_steps=8
  expect 0 "$vapo" train --out $by-stopped --resume --device cuda --set train.steps=8
  expect 0 $by 3 "$vapo" sample one -n 10 --batch-size 4 --save $by.csv --device cuda
  cmp alone.csv $by.csv || fail "$by: other samples"
  # the same with the processors, which have no part in NCCL
  expect 0 $by 2 "$vapo" train tiny.toml --out $by-cpu "${small[@]}" --device cpu
done
expect 0 "$vapo" train tiny.toml --out one-cpu "${small[@]}" --device cpu
expect 0 "$vapo" train tiny.toml --out one-stopped "${small[@]}" --device cuda --set train.schedule_steps=8
for by in "${launchers[@]}"; do
  cmp "$(last one-cpu)" "$(last $by-cpu)" || fail "$by: other bits on processors"
  cmp "$(last one-stopped)" "$(last $by-stopped)" || fail "$by: two GPUs, and then one: other bits"
done

# --- images in bf16: two ranks take the same plans, also one that goes on alone, and one that is given them
idx train 60 1
images_toml unet unet.base_width=4 unet.groups=2 'unet.attention_downsamplings=[]' train.steps=4 train.checkpoint_every=2 \
  train.batch_size=4 train.shards=2 train.log_every=1 train.ema_decay=0.5 train.sample_every=0 >images.toml
images() { expect 0 "$@" --device cuda --precision bf16; }
images by_torchrun 2 "$vapo" train images.toml --out images-2
grep -qE 'plans of cuDNN.s for [1-9][0-9]* shapes chosen of 0 ' err || fail "two ranks time their plans: $(cat err)"
mkdir images-1 && cp images-2/convolutions.jsonl images-1/
images "$vapo" train images.toml --out images-1
cmp images-1/checkpoint-4.safetensors images-2/checkpoint-4.safetensors || fail "two ranks give other bits than one by the same plans"
images by_torchrun 2 "$vapo" train images.toml --out images-3 --set train.steps=2
images "$vapo" train --out images-3 --resume --set train.steps=4
cmp images-1/checkpoint-4.safetensors images-3/checkpoint-4.safetensors || fail "two ranks, and then one: other bits"

# --- one line where they cannot begin
VAPO_EMULATED_DEVICES=2 expect 3 by_torchrun 3 "$vapo" train tiny.toml --out few "${small[@]}" --device cuda --set train.shards=3
cat err rank-*.err | grep -q 'rank 2 is number 3 of this machine, which has 2 GPUs. Hint: no more ranks than GPUs, or --device cpu' || fail "a rank without a GPU is not told: $(cat err rank-*.err)"
VAPO_EMULATED_DEVICES=1 expect 3 by_torchrun 2 "$vapo" train tiny.toml --out shared "${small[@]}" --device cuda
cat err rank-1.err | grep -q 'NCCL does not join rank [01] of 2, on GPU 0 of 1: invalid usage: Duplicate GPU detected. Hint: one GPU for each rank, or --device cpu' ||
  fail "two ranks of one GPU: $(cat err rank-1.err)"
for devices in "cpu cuda" "cuda cpu"; do
  set -- $devices
  [ ${#launchers[@]} = 1 ] && break
  expect 3 mpirun --oversubscribe -q -n 1 "$vapo" train tiny.toml --out other --device $1 : -n 1 "$vapo" train tiny.toml --out other --device $2
  grep -q "^vapo: device: $1 on rank 0, and $2 on rank 1" err || fail "other devices: $(cat err)"
done
VAPO_EMULATED_DEVICES=0 refused 3 'torchrun started 2 processes, and rank 0 has no GPU: no CUDA device. Hint: on CPUs mpirun -n 2' \
  env RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$vapo" train tiny.toml --out alone
refused 3 'torchrun started 2 processes without MASTER_ADDR' env RANK=0 WORLD_SIZE=2 "$vapo" train tiny.toml --out alone

# --- a rank that is killed, and one that stands still: the other ends by itself, and nothing is lost
begin() {  # FOLDER
  port=$((port + 3))
  local rank both=(--set train.steps=1000000 --set train.log_every=20 --set train.checkpoint_every=20)
  jobs=()
  for rank in 0 1; do
    VAPO_PATIENCE=2 torchrun_rank $rank 2 \
      "$vapo" train tiny.toml --out "$1" "${small[@]}" --device cuda "${both[@]}" >rank-$rank.out 2>rank-$rank.err &
    jobs+=($!)
  done
  until_there "$1/metrics.jsonl" "${jobs[0]}"
}
ended_alone() {  # PATTERN
  local got=0
  wait "${jobs[0]}" || got=$?
  [ $got = 5 ] || fail "exit code $got instead of 5: $(cat rank-0.err)"
  grep -qE "$1" rank-0.err || fail "the message does not say '$1': $(cat rank-0.err)"
}
begin killed
kill -KILL "${jobs[1]}"
ended_alone '^vapo: rank 0: NCCL: remote process exited'
expect 0 "$vapo" train --out killed --resume --device cuda --set train.steps="$("$vapo" info killed --json | value step)"
begin still
kill -STOP "${jobs[1]}"
ended_alone '^vapo: rank 0: no sign of life from rank 1 for 2 s: this rank ends'
kill -KILL "${jobs[1]}"
expect 0 "$vapo" train --out still --resume --device cuda --set train.steps="$("$vapo" info still --json | value step)"
echo "device ranks: passed"
