# Signals, divergence and a full disk.
. "$(dirname "$0")/common.sh"

stop_by() {  # SIGNAL CODE [TIMES]
  "$vapo" train tiny.toml --out "run-$1" --set train.steps=100000000 --set train.checkpoint_every=100000000 >out 2>err &
  local pid=$! code=0
  until_there "run-$1/metrics.jsonl" $pid
  for _ in $(seq "${3:-1}"); do kill -"$1" $pid 2>kill; done
  wait $pid || code=$?
  [ "$code" = "$2" ] || fail "SIG$1: exit code $code instead of $2"
  grep -q "SIG$1" err || fail "SIG$1: not a word of it"
  expect 0 "$vapo" info "run-$1" --json
  [ "$(value step <out)" -gt 0 ] || fail "SIG$1: no checkpoint of the last step"
}
stop_by TERM 143
(trap - INT; stop_by INT 130) || exit 1
# A terminal that closes: its shell and the kernel both send SIGHUP, and standard error is gone.
stop_by HUP 129 3
# Under nohup SIGHUP stays ignored.
(
  trap '' HUP
  "$vapo" train tiny.toml --out nohup --set train.steps=100000000 --set train.checkpoint_every=100000000 >out 2>err &
  pid=$! code=0
  for _ in $(seq 200); do [ -s nohup/metrics.jsonl ] && break; sleep 0.05; done
  kill -HUP $pid
  lines=$(wc -l <nohup/metrics.jsonl)
  for _ in $(seq 2000); do [ "$(wc -l <nohup/metrics.jsonl)" -gt $((lines + 2)) ] && break; sleep 0.05; done
  [ "$(wc -l <nohup/metrics.jsonl)" -gt $((lines + 2)) ] || fail "nohup: SIGHUP stopped it"
  kill -TERM $pid
  wait $pid || code=$?
  [ "$code" = 143 ] || fail "nohup: exit code $code instead of 143"
) || exit 1

# A loss that is no longer finite: 4, and the last good checkpoint stays.
expect 4 "$vapo" train tiny.toml --out diverged --set train.learning_rate=1e30 --set train.clip=none
grep -q '^vapo: .*finite\|^vapo: the loss' err || fail "no word of the loss"
[ "$(grep -c '^vapo:' err)" = 1 ] || fail "more than one line for one error"
expect 0 "$vapo" info diverged --json
expect 0 "$vapo" sample diverged -n 10 --json
value mean <out >/dev/null

# A full disk, played by a limit on the size of files: 5, one line, nothing under a final name.
(ulimit -f 4; expect 5 "$vapo" train tiny.toml --out full --set model.hidden=[64,64]) || exit 1
[ "$(grep -c '^vapo:' err)" = 1 ] || fail "full disk: $(cat err)"
[ -z "$(ls full/checkpoint-* full/.*tmp* 2>/dev/null)" ] || fail "full disk: a part was left: $(ls -a full)"
expect 0 "$vapo" train tiny.toml --out ok
(ulimit -f 4; expect 5 "$vapo" sample ok -n 100000 --save big.npy) || exit 1
[ -z "$(find . -maxdepth 1 -name '*big.npy*')" ] || fail "full disk: a part of big.npy was left"
cp ok/latest before
(ulimit -f 1; expect 5 "$vapo" train --out ok --resume --set train.steps=40) || exit 1
cmp -s before ok/latest || fail "full disk: latest names a checkpoint that is not there"
expect 0 "$vapo" train --out ok --resume --set train.steps=40
echo "stop: passed"
