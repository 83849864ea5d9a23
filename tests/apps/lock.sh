# One writer of a folder at a time, however the other came to be there; readers work meanwhile.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"

# endless NAME: trains until it is stopped, with its only checkpoint replaced at every step
endless() {
  "$vapo" train tiny.toml --out "$1" --set train.steps=100000000 --set train.checkpoint_every=1 \
    --set train.keep_checkpoints=1 --threads 1 >/dev/null 2>log &
  writer=$!
  for _ in $(seq 4000); do [ -s "$1/metrics.jsonl" ] && return; sleep 0.05; done
  fail "$1: no run began: $(cat log)"
}
stop() {  # SIGNAL
  kill -"$1" "$writer"
  wait "$writer" 2>/dev/null
}

endless run
refused 3 '^vapo: run: another vapo is writing to this folder. Hint: .*--out' "$vapo" train --out run --resume
refused 3 'run: already holds a run' "$vapo" train tiny.toml --out run
refused 3 'another vapo is writing' "$vapo" train tiny.toml --out ./run/../run --resume
for _ in $(seq 20); do
  expect 0 "$vapo" info run --json
  expect 0 "$vapo" sample run -n 5 --json
done
expect 0 "$vapo" likelihood run --limit 5
expect 0 "$vapo" report run --out page.html
expect 0 "$vapo" density run --no-figures
[ -e run/.lock ] || fail "no lock"
stop KILL  # leaves nothing that would keep the next one out
expect 0 "$vapo" train --out run --resume --set train.steps=1
endless other
stop TERM
expect 0 "$vapo" train --out other --resume --set train.steps=1

# Two that begin, or go on, at the same moment: one of them, once, in every round.
for round in 1 2 3 4 5 6; do
  for mode in begin resume; do
    options=(train tiny.toml --out "race-$round" --set train.steps=$((round * 100)) --threads 1)
    [ $mode = resume ] && options=(train --out "race-$round" --resume --set train.steps=1000 --threads 1)
    "$vapo" "${options[@]}" >a.out 2>a.err & a=$!
    "$vapo" "${options[@]}" >b.out 2>b.err & b=$!
    code_a=0 code_b=0
    wait $a || code_a=$?
    wait $b || code_b=$?
    case "$mode $code_a $code_b" in
      "begin 0 3") grep -q '^vapo: .*\(another vapo\|already holds a run\)' b.err || fail "begin: $(cat b.err)" ;;
      "begin 3 0") grep -q '^vapo: .*\(another vapo\|already holds a run\)' a.err || fail "begin: $(cat a.err)" ;;
      "resume 0 3") grep -q '^vapo: .*another vapo' b.err || fail "resume: $(cat b.err)" ;;
      "resume 3 0") grep -q '^vapo: .*another vapo' a.err || fail "resume: $(cat a.err)" ;;
      "resume 0 0") ;;  # one after the other
      *) fail "two that $mode: exit codes $code_a and $code_b: $(cat a.err b.err)" ;;
    esac
    [ "$(sort -u "race-$round/metrics.jsonl" | wc -l)" = "$(wc -l <"race-$round/metrics.jsonl")" ] ||
      fail "two that $mode: a line of metrics is there twice"
  done
done

# An evaluation's folder is held while it is written to, and its hint names the option that chooses another.
any_bytes set train 60 4096
any_bytes set t10k 20 40960
images_toml wide_resnet >images.toml
pixels 60 3 | npy other.npy '(60, 8, 8)'
expect 0 "$vapo" train images.toml --out images
mkdir scores
if command -v flock >/dev/null; then
  exec 9>scores/.lock
  flock -n 9 || fail "the folder is locked already"
  refused 3 'scores: another vapo is writing.*another --folder' "$vapo" ood images --folder scores --out other.npy
  refused 3 'scores: another vapo is writing.*another --out' "$vapo" likelihood images --out scores --limit 1
  refused 3 'scores: another vapo is writing.*another --out' "$vapo" interpolate images --out scores
  [ "$(ls -A scores)" = .lock ] || fail "written beside another: $(ls -A scores)"
  exec 9>&-
else
  echo "flock is not installed: a folder of evaluations that is held is not tried"
fi
expect 0 "$vapo" interpolate images --out scores
echo "lock: passed"
