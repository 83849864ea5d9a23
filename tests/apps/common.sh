# Sourced by every end-to-end script: a scratch folder, and checks that end the script with a reason.
set -u
vapo=$1
json_value=$2
root=$3
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

fail() {
  echo "FAILED: $*" >&2
  for log in out err; do [ -f "$log" ] && sed "s/^/  $log: /" "$log" | tail -5 >&2; done
  exit 1
}

# expect CODE command…: runs it, standard output to ./out and standard error to ./err.
expect() {
  local want=$1 got=0
  shift
  "$@" >out 2>err || got=$?
  [ "$got" = "$want" ] || fail "exit code $got instead of $want: $*"
}

# refused CODE PATTERN command…: that code, exactly one line on standard error, which matches, and no result.
refused() {
  local want=$1 pattern=$2
  shift 2
  expect "$want" "$@"
  [ "$(wc -l <err)" = 1 ] || fail "$(wc -l <err) lines on standard error instead of one: $*"
  grep -qE -- "$pattern" err || fail "the message does not say '$pattern': $*"
  [ -s out ] && fail "something on standard output: $*"
  hint_names_options "$@"
}

# hint_names_options command…: every --option that the hint in ./err names is one of that command, or of the one that
# the hint itself names.
hint_names_options() {
  local hint option name=${2:-}
  hint=$(grep -o 'Hint: .*' err)
  if [[ "$hint" =~ vapo\ (classifier\ |bench\ )?[a-z]+ ]]; then
    name=${BASH_REMATCH[0]#vapo }
  elif [[ "$name" =~ ^(classifier|bench)$ ]]; then
    name="$2 ${3-}"
  fi
  for option in $(grep -oE -- '--[a-z][a-z-]*' <<<"$hint"); do
    "$vapo" $name --help | grep -qE -- "[ ,]$option( |$|,)" || fail "vapo $name has no $option: $hint"
  done
}

# until_there FILE PID: waits until FILE is there and not empty, however long that takes; the process must not end
# before.
until_there() {
  until [ -s "$1" ]; do
    kill -0 "$2" 2>/dev/null || fail "ended before $1 was there"
    sleep 0.01
  done
}

value() { "$json_value" "$@" || fail "json-value $*"; }

# A run that takes a fraction of a second. More settings may follow.
cat >tiny.toml <<'TOML'
[data]
set = "two_moons"
[model]
hidden = [16, 16]
[train]
steps = 20
batch_size = 32
checkpoint_every = 10
log_every = 5
[density]
points = 400
grid = 40
likelihood_points = 50
sgld_particles = 50
sgld_steps = 40
sgld_burn_in = 10
TOML
