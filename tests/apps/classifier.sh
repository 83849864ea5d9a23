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
# --- images without labels: what they are read as, and how surely
expect 0 "$vapo" classifier test c.safetensors train.npy --json
grep -q 'train.npy: its images have no labels' err || fail "not told: $(cat err)"
grep -q accuracy out && fail "an accuracy without labels: $(cat out)"
sure=$(value sure <out) read=$("$json_value" read_as <out)
[ "$("$vapo" classifier test c.safetensors mnist:train --data set --json 2>/dev/null | value sure)" = "$sure" ] || fail "as sure as: $sure"
[ "$(tr -dc '0-9,' <<<"$read" | tr ',' '\n' | awk '{ n += $1; most = $1 > most ? $1 : most } END { print n, most < 320 }')" = '320 1' ] || fail "read as $read"
head -c $((320 * 64)) "$vapo" | npy noise.npy '(320, 8, 8)'
expect 0 "$vapo" classifier test c.safetensors noise.npy --json
awk -v a="$(value sure <out)" -v b="$sure" 'BEGIN { exit !(a < b) }' || fail "as sure of noise ($(value sure <out)) as of images ($sure)"

# --- what cannot be used
expect 0 "$vapo" train tiny.toml --out run
refused 3 'of no classifier' "$vapo" classifier test run/checkpoint-20.safetensors mnist --data set
refused 5 'nowhere' "$vapo" classifier train mnist --data set --out nowhere/c.safetensors
refused 2 'subcommand' "$vapo" classifier
echo "classifier: passed"
