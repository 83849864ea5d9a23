# kill -9 at random moments, 50 times: every time the run resumes from a valid checkpoint, and no file under a final
# name is a part. In the end the bits are those of a run that was never killed.
. "$(dirname "$0")/common.sh"
settings=(--set train.steps=4000 --set train.checkpoint_every=7 --set train.log_every=11)
expect 0 "$vapo" train tiny.toml --out whole "${settings[@]}" --threads 1
RANDOM=20
resumed=0 finished=0
for round in $(seq 50); do
  "$vapo" train tiny.toml --out run --resume "${settings[@]}" --threads 1 >out 2>err &
  pid=$!
  sleep "$(printf '0.%03d' $((RANDOM % 180 + 5)))"
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  grep -q '^vapo:' err && fail "round $round: $(cat err)"
  grep -q '^resuming' err && resumed=$((resumed + 1))
  [ -s out ] && finished=$((finished + 1))
  for file in run/checkpoint-*.safetensors; do
    [ -e "$file" ] || continue
    "$vapo" info "$file" >/dev/null 2>info || fail "round $round: $(cat info)"
  done
done
echo "killed 50 times, $resumed rounds resumed a checkpoint, $finished had already finished"
[ "$resumed" -ge 20 ] || fail "only $resumed rounds resumed: the test does not test"
expect 0 "$vapo" train tiny.toml --out run --resume "${settings[@]}" --threads 1
cmp whole/checkpoint-4000.safetensors run/checkpoint-4000.safetensors || fail "other bits than without kills"
left=$(find run -name '.*.tmp-*' | wc -l)
[ "$left" = 0 ] || fail "$left temporary files left"
echo "crash: passed"
