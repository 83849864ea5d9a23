# A classifier learns a tiny set and is tested.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"
idx train 320 1
idx t10k 80 2
pixels 320 1 | npy train.npy '(320, 8, 8)'

learn=("$vapo" classifier train mnist --data set --epochs 4 --batch-size 16 --shift 0 --json)
expect 0 "${learn[@]}" --out c.safetensors
[ "$(value test_n <out)" = 80 ] && [ "$(value test_errors <out)" = 0 ] || fail "errors on 80 easy images: $(cat out)"
[ "$(grep -c 'epoch . of 4: loss .*, test accuracy' err)" = 4 ] || fail "not a line for each epoch: $(cat err)"
expect 0 "${learn[@]}" --out again.safetensors
cmp c.safetensors again.safetensors || fail "the same seed gave another classifier"
expect 0 "$vapo" classifier test c.safetensors mnist --data set --json
[ "$(value n <out)" = 80 ] && [ "$(value accuracy <out)" = 1.0 ] || fail "the file judges otherwise: $(cat out)"
expect 0 "$vapo" classifier test c.safetensors mnist:train --data set --json
[ "$(value n <out)" = 320 ] || fail "mnist:train is not the training part"

# --- what cannot be used
refused 3 'small.npy: its images have no labels' "$vapo" classifier test c.safetensors small.npy
expect 0 "$vapo" train tiny.toml --out run
refused 3 'of no classifier' "$vapo" classifier test run/checkpoint-20.safetensors mnist --data set
refused 5 'nowhere' "$vapo" classifier train mnist --data set --out nowhere/c.safetensors
refused 2 'subcommand' "$vapo" classifier
echo "classifier: passed"
