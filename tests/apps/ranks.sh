# One training by several processes of MPI: the same bits at any number, one run's folder, and how it ends where one of them
# does not go on.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"
command -v mpirun >/dev/null || { echo "ranks: skipped, no mpirun here" && exit 77; }
"$vapo" --version >/dev/null || fail "no program"
export CUDA_VISIBLE_DEVICES=  # on processors, whatever this machine has: of GPUs tests/cuda/ranks.sh
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMP_NUM_THREADS=1
on() {  # RANKS command…: -q and the rest are quiet about what vapo has told
  local n=$1
  shift
  mpirun --oversubscribe -q -n "$n" "$@"
}
if on 2 "$vapo" train nothing.toml --out none 2>&1 | grep -q 'built without MPI'; then echo "ranks: skipped, built without MPI" && exit 77; fi

# --- the same bits at 1, 2 and 4 ranks, and when it goes on with another number of them
settings=(--set train.shards=8 --set train.steps=12)
expect 0 "$vapo" train tiny.toml --out one "${settings[@]}"
for n in 2 4; do
  expect 0 on $n "$vapo" train tiny.toml --out of$n "${settings[@]}" --json
  [ "$(wc -l <out)" = 1 ] && [ "$(value steps <out)" = 12 ] || fail "$n ranks: not one result: $(cat out)"
  [ "$(grep -c '^593 parameters' err)" = 1 ] || fail "$n ranks: not told once: $(cat err)"
  tail -1 of$n/metrics.jsonl | grep -q '"ranks":{"count":'$n',"bytes_sent_per_step":[1-9]' || fail "$n ranks: no traffic: $(tail -1 of$n/metrics.jsonl)"
  cmp one/checkpoint-12.safetensors of$n/checkpoint-12.safetensors || fail "$n ranks: other bits"
  [ "$(ls of$n)" = "$(ls one | sed "s/$(ls one | grep events)/$(ls of$n | grep events)/")" ] || fail "$n ranks: other files: $(ls of$n)"
done
expect 0 on 1 "$vapo" train tiny.toml --out single --set train.batch_size=30
grep -q 'shards = 0' single/config.toml || fail "one rank of a launcher is not one process"
expect 0 on 4 "$vapo" train tiny.toml --out parts --set train.steps=4
grep -q '^train.shards = 8: ' err || fail "shards are not told: $(cat err)"
expect 0 on 2 "$vapo" train --out parts --resume --set train.steps=8
expect 0 "$vapo" train --out parts --resume --set train.steps=12
cmp one/checkpoint-12.safetensors parts/checkpoint-12.safetensors || fail "resumed by 4, 2 and 1: other bits"
sed 's/shards = 0/shards = 8/' one/config.toml >a && cmp a parts/config.toml || fail "another config"
expect 0 "$vapo" train tiny.toml --out none-yet --set train.steps=4
expect 0 on 2 "$vapo" train --out none-yet --resume --set train.steps=6
grep -q '^train.shards = 8: ' err || fail "a run of one process goes on by two: not told: $(cat err)"

# --- sums in MPI's own order: the same bits at one number of ranks
for name in fast again; do
  expect 0 on 4 "$vapo" train tiny.toml --out $name --set train.reduction=fast --set train.steps=12 --json
  grep -q '^train.shards = 4: ' err || fail "shards are not told: $(cat err)"
done
cmp fast/checkpoint-12.safetensors again/checkpoint-12.safetensors || fail "fast: other bits at the same number of ranks"
tail -1 fast/metrics.jsonl | grep -q '"ranks":{"count":4,"bytes_sent_per_step":[1-9]' || fail "fast: no traffic: $(tail -1 fast/metrics.jsonl)"
close() { awk -v a="$1" -v b="$2" 'BEGIN { exit !((a - b) ^ 2 < 1e-6 * b ^ 2) }'; }
last_loss() { tail -1 "$1/metrics.jsonl" | value loss; }
close "$(last_loss fast)" "$(last_loss one)" || fail "fast: loss $(last_loss fast), and $(last_loss one) by exact sums"

# --- one line, of rank 0, where all have the same reason, and of the one that has one of its own
one_line() {  # CODE PATTERN command…
  local want=$1 pattern=$2
  shift 2
  expect "$want" "$@"
  [ "$(grep -c '^vapo:' err)" = 1 ] || fail "not one line: $(cat err)"
  grep -qE "$pattern" err || fail "the message does not say '$pattern': $(cat err)"
}
sed 's/\[16, 16\]/[16, 17]/' tiny.toml >other.toml
one_line 3 '^vapo: rank 1 was asked for another training than rank 0: model.hidden = \[16, 17\] and not \[16, 16\]' \
  mpirun --oversubscribe -q -n 1 "$vapo" train tiny.toml --out other : -n 1 "$vapo" train other.toml --out other
one_line 3 'train.batch_size = 32 cannot be divided into train.shards = 12' on 3 "$vapo" train tiny.toml --out three
one_line 3 'train.shards = 8 cannot be shared out among 3 ranks' on 3 "$vapo" train tiny.toml --out three --set train.shards=8
one_line 5 'cannot open .*nothing.toml' on 2 "$vapo" train nothing.toml --out three
one_line 2 'mpirun started 2 processes, and vapo density is not shared out' on 2 "$vapo" density one
one_line 3 'already holds a run' on 2 "$vapo" train tiny.toml --out one
refused 3 'RANK is set and WORLD_SIZE is not' env RANK=1 "$vapo" train tiny.toml --out alone
refused 3 'torchrun started 2 processes, and rank 0 has no GPU: .*Hint: on CPUs mpirun -n 2$' env RANK=0 WORLD_SIZE=2 "$vapo" train tiny.toml --out alone

# --- samples and evaluations: one result, that of one process, also where it goes on with parts that are there
idx train 60 1
idx t10k 40 2
images_toml unet >images.toml
expect 0 "$vapo" train images.toml --out images
expect 0 "$vapo" classifier train mnist --data set --epochs 1 --batch-size 16 --out c.safetensors
evaluate() {  # NAME [on RANKS]
  local name=$1
  shift
  expect 0 "$@" "$vapo" sample one -n 10 --batch-size 4 --save "$name.csv" --json
  [ "$(wc -l <out)" = 1 ] || fail "$name: not one result: $(cat out)"
  expect 0 "$@" "$vapo" sample images -n 10 --batch-size 4 --save "$name.npz" --grid "$name.png"
  expect 0 "$@" "$vapo" fid --features c.safetensors --ref mnist:test --data set --samples images -n 20 --batch-size 4 --out "$name-fid"
  expect 0 "$@" "$vapo" ood images --in mnist:test --out interpolated --training-images 20 --batch-size 8 --folder "$name-ood"
  expect 0 "$@" "$vapo" likelihood one --limit 5000 --trace hutchinson --tolerance 1e-2 --save "$name-points.csv" --json
  value nats <out >"$name-nats"
  expect 0 "$@" "$vapo" longrun one --method sgld --start noise,samples --temperatures 1,2 --steps 8 -n 3 --out "$name-longrun"
  expect 0 "$@" "$vapo" likelihood images --data mnist:test --limit 6 --batch-size 2 --out "$name-likelihood" --save "$name-likelihood.csv"
}
same_results() {
  local file
  for file in .csv .npz .png -points.csv -nats -longrun/sgld-samples-2.jsonl -likelihood.csv -ood/energies-0-mnist-test.npy -fid/samples.npy; do
    cmp "alone$file" "$1$file" || fail "$1$file is another"
  done
  for file in fid ood likelihood longrun; do
    diff <(grep -v seconds "alone-$file/result.json" | sed 's/alone/X/') <(grep -v seconds "$1-$file/result.json" | sed "s/$1/X/") >diff ||
      fail "$1: another result: $(cat diff)"
  done
}
export VAPO_DATA=$PWD/nowhere
evaluate alone
evaluate three on 3
same_results three
rm three-longrun/result.json three-longrun/sgld-noise-2.safetensors three-ood/result.json three-fid/result.json three-fid/samples-000008.npz three-likelihood/log_likelihood-1.npy
evaluate three on 2
same_results three

expect 0 on 2 "$vapo" fid --features c.safetensors --ref mnist:test --data set --halves --out halves
[ -s halves/result.json ] || fail "no result of halves"
# rank 1's runs are what it left there itself: its files are for its eyes alone
mkdir t
TMPDIR=$PWD/t expect 0 on 2 bash -c '[ $OMPI_COMM_WORLD_RANK = 0 ] || umask 077; exec "$@"' - "$vapo" longrun one --method sgld --start noise \
  --temperatures 1,2 --steps 8 -n 3 --out both-longrun
of_all=$(stat -c %a both-longrun/sgld-noise-1.jsonl) of_one=$(stat -c %a both-longrun/sgld-noise-2.jsonl)
[ "$of_one" = 600 ] && [ "$of_all" != 600 ] || fail "longrun is not shared out: $of_all, $of_one"
ls -d t/vapo-rank-* 2>/dev/null && fail "folders of ranks are left"
# what differs is told
other=(-n 1 "$vapo" sample one -n 4 --seed 1 : -n 1 "$vapo" sample one -n 4 --seed 2)
one_line 3 '^vapo: command line: sample one -n 4 --seed 1 on rank 0, and sample one -n 4 --seed 2 on rank 1' \
  mpirun --oversubscribe -q "${other[@]}"
mkdir elsewhere
expect 0 "$vapo" train tiny.toml --out elsewhere/one "${settings[@]}" --seed 3
one_line 3 '^vapo: one: weights [0-9a-f]* of step 12 on rank 0, and weights [0-9a-f]* of step 12 on rank 1' \
  mpirun --oversubscribe -q -n 1 "$vapo" sample one -n 4 : -n 1 -wdir "$PWD/elsewhere" "$vapo" sample one -n 4

# --- SIGTERM to one of them, which is not rank 0: all finish the step, and it is saved once
long=(--set train.steps=1000000 --set train.log_every=20 --set train.checkpoint_every=20)
begin() {  # FOLDER: a training of two ranks in the background; each leaves its process's number
  VAPO_PATIENCE=2 on 2 bash -c 'echo $$ >$0-$OMPI_COMM_WORLD_RANK && exec "$@"' "$1" "$vapo" train tiny.toml --out "$1" "${long[@]}" >out 2>err &
  job=$!
  until_there "$1/metrics.jsonl" $job
  other=$(cat "$1-1")
}
ended() {  # CODE
  local got=0
  wait $job || got=$?
  [ "$1" = any ] || [ $got = "$1" ] || fail "exit code $got instead of $1: $(cat err)"
  [ "$1" != any ] || [ $got != 0 ] || fail "exit code 0"
}
begin term
kill -TERM "$other"
ended 143
grep -q 'stopped by SIGTERM at step' err || fail "not told: $(cat err)"
step=$("$vapo" info term --json | value step)
expect 0 "$vapo" train --out term --resume --set train.steps=$((step + 4))

# --- one that is killed, and one that stands still: all end, and nothing is lost
begin killed
kill -KILL "$other"
ended any
expect 0 "$vapo" train --out killed --resume --set train.steps="$("$vapo" info killed --json | value step)"
begin still
kill -STOP "$other"
ended 5
grep -q '^vapo: rank 0: no sign of life from rank 1 for 2 s: all are ended' err || fail "not told: $(cat err)"
expect 0 "$vapo" train --out still --resume --set train.steps="$("$vapo" info still --json | value step)"
lives() { grep -q '^State:[[:space:]]*[RSDTt]' "/proc/$1/status" 2>/dev/null; }  # and does not only wait to be counted as dead
for rank in 0 1; do lives "$(cat still-$rank)" && fail "rank $rank lives on"; done

# --- no room for rank 0's files: MPI itself has none here
limited() { on 2 --mca btl self,tcp bash -c 'ulimit -f 64 && exec "$@"' - "$@"; }
one_line 5 'full/checkpoint-0.safetensors' limited "$vapo" train tiny.toml --out full --set 'model.hidden=[256, 256]'
echo "ranks: passed"
