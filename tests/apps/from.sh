# Training that begins with given weights: which ones, with what else, and what does not fit.
. "$(dirname "$0")/common.sh"

expect 0 "$vapo" train tiny.toml --out source --set train.ema_decay=0.9
expect 0 "$vapo" train tiny.toml --out plain --set train.ema_decay=0
tensors() { "$vapo" info "$1" --json >info.json || fail "no info of $1"; }

# No step taken: the weights are the averages, and so is their average; samples are those of the source.
expect 0 "$vapo" train tiny.toml --out copy --from source --set train.steps=0
grep -q "^from .*/source/checkpoint-20.safetensors: its averaged weights of step 20; a fresh optimizer" err ||
  fail "not told which weights: $(cat err)"
for run in source copy; do expect 0 "$vapo" sample $run -n 50 --save $run.npy; done
cmp source.npy copy.npy || fail "other weights than the average"
expect 0 "$vapo" sample copy -n 50 --last-weights --save last.npy
cmp source.npy last.npy || fail "the weights are not the average"
expect 0 "$vapo" sample source -n 50 --last-weights --save last.npy
cmp -s source.npy last.npy && fail "the test cannot tell the average from the last weights"
expect 0 "$vapo" info copy --json
[ "$(value step optimizer_steps ema_updates <out | tr '\n' ' ')" = "0 0 0 " ] || fail "not a fresh run: $(cat out)"

# A file, and a run without an average.
expect 0 "$vapo" train tiny.toml --out file --from plain/checkpoint-10.safetensors --set train.steps=0 --set train.ema_decay=0
grep -q "checkpoint-10.safetensors: its last weights of step 10" err || fail "not told which weights: $(cat err)"
for run in plain/checkpoint-10.safetensors file; do expect 0 "$vapo" sample $run -n 50 --save ${run%%/*}.npy; done
cmp plain.npy file.npy || fail "other weights than the file's"

# It is recorded, with the place absolute; the stored config begins the same run again.
more=(--set train.steps=20 --threads 1)
expect 0 "$vapo" train tiny.toml --out whole --from source "${more[@]}"
grep -qx "from = '$PWD/source/checkpoint-20.safetensors'" whole/config.toml || fail "the config does not know: $(grep ^from whole/config.toml)"
head -1 whole/metrics.jsonl | value step from_step from_weights | tr '\n' ' ' | grep -qx '0 20 averaged ' ||
  fail "metrics.jsonl does not know: $(head -1 whole/metrics.jsonl)"
(cd / && "$vapo" train "$OLDPWD/whole/config.toml" --out "$OLDPWD/again" --threads 1 >/dev/null 2>&1) || fail "not again"
cmp whole/checkpoint-20.safetensors again/checkpoint-20.safetensors || fail "the resolved config trains other bits"
expect 0 "$vapo" train tiny.toml --out scratch "${more[@]}"
cmp -s whole/checkpoint-20.safetensors scratch/checkpoint-20.safetensors && fail "--from changes nothing"
expect 0 "$vapo" report whole --out page.html

# Resumed, it has the bits of the whole run, also when the source is gone.
expect 0 "$vapo" train tiny.toml --out parts --from source --set train.steps=7 --threads 1
mv source away
expect 0 "$vapo" train --out parts --resume "${more[@]}"
cmp whole/checkpoint-20.safetensors parts/checkpoint-20.safetensors || fail "the resumed run has other bits"
[ "$(grep -c from_step parts/metrics.jsonl)" = 1 ] || fail "the resumed run has forgotten where it came from"
mv away source
# Killed before its first checkpoint, it begins again with the same weights.
mkdir begun
cp whole/config.toml begun
expect 0 "$vapo" train --out begun --resume --threads 1
cmp whole/checkpoint-20.safetensors begun/checkpoint-20.safetensors || fail "begun again with other weights"

# Other data: its own standardisation, told; another path or activation with the same weights is told.
awk 'BEGIN { for (i = 0; i < 40; ++i) print 100 + i % 7, (i * i) % 11 - 50 }' >other.txt
expect 0 "$vapo" train tiny.toml --out tuned --from source --set data.path=other.txt
grep -q 'columns standardised by this data' err || fail "not told of the standardisation"
expect 0 "$vapo" train tiny.toml --out tanh --from source --set model.activation=tanh --set path.kind=linear
grep -q "here with model.activation 'tanh' and not 'silu', path.kind 'linear' and not 'cosine'" err || fail "not told: $(cat err)"

# What does not fit leaves no folder.
refused 3 "tensor 'ema.*weight' has shape.*Hint: the config must describe the network" \
  "$vapo" train tiny.toml --out no --from source --set 'model.hidden=[16, 8]'
refused 3 "tensor 'ema.*Hint: the config" "$vapo" train tiny.toml --out no --from source --set 'model.hidden=[16]'
refused 3 "tensor 'ema.*Hint: the config" "$vapo" train tiny.toml --out no --from source --set 'model.hidden=[16, 16, 16]'
awk 'BEGIN { for (i = 0; i < 40; ++i) print i, i % 3, i % 5 }' >three.txt
refused 3 "tensor 'ema.*shape \(16,18\).*\(16,19\)" "$vapo" train tiny.toml --out no --from source --set data.path=three.txt
refused 5 'nowhere' "$vapo" train tiny.toml --out no --from nowhere
refused 3 'tiny.toml' "$vapo" train tiny.toml --out no --from tiny.toml
mkdir nothing
refused 3 'nothing: no checkpoint here' "$vapo" train tiny.toml --out no --from nothing
[ -e no ] && fail "a refused start leaves a folder"
refused 2 '--from .*--resume' "$vapo" train tiny.toml --out whole --resume --from source
refused 2 '--from .*--resume' "$vapo" train tiny.toml --out no --resume --from source
refused 2 'train.from = .*cannot change on --resume' "$vapo" train --out scratch --resume --set train.from=source
echo "from: passed"
