# kill -9 in 40 rounds of training: every time the run resumes from a valid checkpoint, and no file under a final name
# is a part. In the end the bits are those of a run that was never killed. A round ends when something has happened, a
# new checkpoint, and a random moment later: how quick the machine is decides where a kill lands, not whether the test
# passes.
. "$(dirname "$0")/common.sh"
rounds=40
settings=(--set train.checkpoint_every=7 --set train.log_every=11 --threads 1)
RANDOM=20
latest() { cat run/latest 2>/dev/null; }
killed() {  # PID
  kill -9 "$1" || fail "it had ended by itself: $(cat err)"
  wait "$1" 2>/dev/null
}

# Before anything has happened: any of the first rounds may find nothing to go on from.
for round in $(seq 5); do
  "$vapo" train tiny.toml --out run --resume "${settings[@]}" --set train.steps=100000000 >out 2>err &
  pid=$!
  sleep "0.0$((RANDOM % 10))"
  killed $pid
done
resumed=0
for round in $(seq $rounds); do
  before=$(latest)
  "$vapo" train tiny.toml --out run --resume "${settings[@]}" --set train.steps=100000000 >out 2>err &
  pid=$!
  while [ "$(latest)" = "$before" ]; do
    kill -0 $pid 2>/dev/null || fail "round $round: it ended by itself"
    sleep 0.01
  done
  sleep "0.0$((RANDOM % 10))"
  killed $pid
  grep -q '^vapo:' err && fail "round $round: $(cat err)"
  grep -q '^resuming' err && resumed=$((resumed + 1))
  for file in run/checkpoint-*.safetensors; do
    "$vapo" info "$file" >/dev/null 2>info || fail "round $round: $(cat info)"
  done
done
[ "$resumed" -ge $((rounds - 1)) ] || fail "only $resumed of $rounds rounds resumed a checkpoint"

# 20 steps more, and as many in one go.
last=$(latest)
steps=${last//[!0-9]/}
steps=$((steps + 20))
expect 0 "$vapo" train --out run --resume "${settings[@]}" --set train.steps=$steps
expect 0 "$vapo" train tiny.toml --out whole "${settings[@]}" --set train.steps=$steps
cmp whole/checkpoint-$steps.safetensors run/checkpoint-$steps.safetensors || fail "other bits than without kills"
left=$(find run -name '.*.tmp-*' | wc -l)
[ "$left" = 0 ] || fail "$left temporary files left"
echo "crash: passed; killed $((rounds + 5)) times on $steps steps"
