# Standard error may be closed, full, unread or gone: messages are dropped, results and exit codes stay. A standard
# output that cannot be written is an error. Neither ever ends up inside a file.
. "$(dirname "$0")/common.sh"

expect 0 "$vapo" train tiny.toml --out whole --threads 1
expect 0 "$vapo" sample whole -n 5 --json
samples=$(cat out)

# command with standard error in each of the states that it may be found in; its exit code in $code, its result in ./out
closed() { "$@" >out 2>&-; }
full() { "$@" >out 2>/dev/full; }
readonly_() { "$@" >out 2</dev/null; }
broken() { "$@" >out 2> >(exec 0<&-); }
for state in closed full readonly_ broken; do
  code=0
  $state "$vapo" train tiny.toml --out "$state" --threads 1 --set train.log_every=1 --json || code=$?
  [ "$code" = 0 ] || fail "$state standard error: training ends with $code"
  [ "$(value steps <out)" = 20 ] || fail "$state standard error: no result"
  expect 0 "$vapo" sample "$state" -n 5 --json  # bits are compared by what they sample: the config differs in log_every
  [ "$(value mean <out)" = "$(value mean <<<"$samples")" ] || fail "$state standard error: another model"
  code=0
  $state "$vapo" sample whole -n 5 --json || code=$?
  [ "$code" = 0 ] && [ "$(value mean <out)" = "$(value mean <<<"$samples")" ] || fail "$state: sample ends with $code"
  while read -r want command; do
    code=0
    $state "$vapo" $command || code=$?
    [ "$code" = "$want" ] || fail "$state standard error: exit code $code instead of $want: vapo $command"
    [ -s out ] && fail "$state standard error: a result of vapo $command"
  done <<'ERRORS'
5 sample /nowhere
3 train whole/config.toml --out whole
2 train
2 no-such-command
2 sample whole --steps many
3 likelihood whole --data tiny.toml
ERRORS
  code=0
  $state "$vapo" --help || code=$?
  [ "$code" = 0 ] && grep -q 'Exit codes' out || fail "$state standard error: --help ends with $code"
done

# A pipe that is open and never read: it fills, and nobody waits for it.
mkfifo unread
exec 7<>unread
code=0
timeout 400 "$vapo" train tiny.toml --out unread-run --set train.steps=4000 --set train.log_every=1 \
  --set train.checkpoint_every=4000 >out 2>unread || code=$?
exec 7>&-
[ "$code" = 0 ] && grep -q '^steps: *4000$' out || fail "a pipe that nobody reads: training ends with $code"

# A reader that stops after one line of progress: training goes on to its end.
{ "$vapo" train tiny.toml --out head --set train.steps=2000 --set train.log_every=1 2>&1 >out; echo $? >code; } |
  head -1 >first
[ "$(cat code)" = 0 ] && [ -s first ] && grep -q '^steps: *2000$' out || fail "| head: training ends with $(cat code)"

# Standard output closed, full or without a reader: exit code 5 and one line, and what was to be saved is saved.
unwritable() {  # WHAT, exit code, file that must be whole
  [ "$2" = 5 ] || fail "standard output $1: exit code $2 instead of 5"
  [ "$(grep -c '^vapo: standard output: ' err)" = 1 ] || fail "standard output $1: not one line about it"
  "$vapo" info "$3" >/dev/null 2>&1 || fail "standard output $1: $3 is not whole"
}
code=0; "$vapo" sample whole -n 5 --save closed.npy 2>err >&- || code=$?
unwritable closed $code closed.npy
code=0; "$vapo" train tiny.toml --out out-full 2>err >/dev/full || code=$?
unwritable full $code out-full/checkpoint-20.safetensors
for command in "--help" "--version" "train --help" "info whole --json"; do
  code=0; "$vapo" $command 2>err >/dev/full || code=$?
  [ "$code" = 5 ] || fail "vapo $command >/dev/full: exit code $code instead of 5"
done
{ "$vapo" sample whole -n 5 --save broken.npy 2>err; echo $? >code; } | exec 0<&-
# the pipe may still have had a reader when the result was written
[ "$(cat code)" = 0 ] || unwritable "without a reader" "$(cat code)" broken.npy
[ "$(cat code)" != 141 ] || fail "killed by SIGPIPE"

# All three closed: the files opened next get other numbers, and no message lands in them.
code=0; "$vapo" train tiny.toml --out none --threads 1 <&- >&- 2>&- || code=$?
[ "$code" = 5 ] || fail "all streams closed: exit code $code instead of 5"
for file in config.toml checkpoint-20.safetensors; do
  cmp whole/$file none/$file || fail "all streams closed: $file has other bytes"
done
while read -r line; do value step loss <<<"$line" >/dev/null; done <none/metrics.jsonl
[ "$(wc -l <none/metrics.jsonl)" = 4 ] || fail "all streams closed: $(wc -l <none/metrics.jsonl) lines of metrics"
for closed in "<&-" "<&- >&-" "<&- 2>&-" "2>&-" ">&- 2>&-"; do
  rm -f drawn.npy
  code=0; eval "\"\$vapo\" sample whole -n 5 --save drawn.npy >out 2>err $closed" || code=$?
  cmp -s closed.npy drawn.npy || fail "streams $closed: the file has other bytes (exit code $code)"
done
echo "streams: passed"
