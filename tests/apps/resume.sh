# 500 steps, --resume and 500 steps give the bits of 1,000 steps: checkpoint, metrics, samples.
. "$(dirname "$0")/common.sh"
settings=(--set train.batch_size=64 --set train.checkpoint_every=250 --set train.log_every=30 --set data.jitter=0.1
  --set train.schedule=cosine --set train.schedule_steps=1500 --set train.clip=std --set train.seed=3 --threads 1)
expect 0 "$vapo" train tiny.toml --out whole "${settings[@]}" --set train.steps=1000
expect 0 "$vapo" train tiny.toml --out parts "${settings[@]}" --set train.steps=500
expect 0 "$vapo" train --out parts --resume --set train.steps=1000 --threads 1
cmp whole/checkpoint-1000.safetensors parts/checkpoint-1000.safetensors || fail "the resumed run has other bits"
cmp whole/config.toml parts/config.toml || fail "the resumed run has another config"
timeless() { sed 's/,"steps_per_second":.*//' "$1"; }
[ "$(timeless whole/metrics.jsonl)" = "$(timeless parts/metrics.jsonl)" ] || fail "the resumed run has other metrics"
[ "$(wc -l <parts/metrics.jsonl)" = 33 ] || fail "$(wc -l <parts/metrics.jsonl) lines of metrics instead of 33"
[ "$(grep -c '"machine"' parts/metrics.jsonl)" = 2 ] || fail "not both parts say where they were trained"
[ "$(ls parts/checkpoint-* | wc -l)" = 3 ] || fail "more checkpoints than train.keep_checkpoints"
[ "$(cat parts/latest)" = checkpoint-1000.safetensors ] || fail "latest names $(cat parts/latest)"

# The test can fail: another seed has other bits.
expect 0 "$vapo" train tiny.toml --out other "${settings[@]}" --set train.seed=4 --set train.steps=1000
cmp -s whole/checkpoint-1000.safetensors other/checkpoint-1000.safetensors && fail "two seeds with the same bits"

# A damaged newest checkpoint is passed over, and the same bits come out in the end.
cp -r whole damaged
head -c 2000 whole/checkpoint-1000.safetensors >damaged/checkpoint-1000.safetensors
expect 0 "$vapo" train --out damaged --resume --threads 1
grep -q 'passing over' err || fail "nothing was said of the damaged checkpoint"
grep -q 'at step 750' err || fail "not resumed at step 750"
cmp whole/checkpoint-1000.safetensors damaged/checkpoint-1000.safetensors || fail "other bits after a damaged checkpoint"

# Killed after its last checkpoint was there, and before `latest` named it: the next start makes that good.
cp -r whole behind
echo checkpoint-750.safetensors >behind/latest
cp whole/checkpoint-500.safetensors behind/checkpoint-250.safetensors
expect 0 "$vapo" train --out behind --resume --threads 1
[ "$(cat behind/latest)" = checkpoint-1000.safetensors ] || fail "resumed and finished, latest names $(cat behind/latest)"
[ "$(ls behind/checkpoint-* | wc -l)" = 3 ] || fail "resumed and finished, more checkpoints than train.keep_checkpoints"

# With nothing to go on from, --resume starts; with all damaged, it refuses.
expect 0 "$vapo" train tiny.toml --out empty --resume
for file in damaged/checkpoint-*; do echo no >"$file"; done
expect 3 "$vapo" train --out damaged --resume
grep -q 'none of its' err || fail "no word of the damaged checkpoints"
refused 3 'no run to resume' "$vapo" train --out nowhere --resume
echo "resume: passed"
