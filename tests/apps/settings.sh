# Settings that make no sense together, tolerances below the precision, values that are not finite, figures without
# gnuplot, other threads on resume: said in one line each.
. "$(dirname "$0")/common.sh"
one_line() { [ "$(grep -c "$1" err)" = 1 ] || fail "$(grep -c "$1" err) lines of '$1'"; }

# --- values of a config that do not fit together
unfit() {  # PATTERN KEY=VALUE…
  local pattern=$1 settings=()
  shift
  for setting in "$@"; do settings+=(--set "$setting"); done
  refused 3 "$pattern" "$vapo" train tiny.toml --out unfit "${settings[@]}"
  refused 3 "$pattern" "$vapo" train tiny.toml --dry-run "${settings[@]}"
  [ -e unfit ] && fail "a refused run left its folder: $*"
}
cosine=(train.schedule=cosine train.schedule_steps=300)
unfit 'train.warmup_steps = 500 must be below train.schedule_steps = 300$' "${cosine[@]}" train.warmup_steps=500
unfit 'train.warmup_steps = 300 must be below train.schedule_steps = 300$' "${cosine[@]}" train.warmup_steps=300
unfit 'train.step_every = 0' train.schedule=step
unfit 'train.ema_decay = 1 must be below 1' train.ema_decay=1
unfit 'train.beta2 = 1 must be below 1' train.beta2=1
unfit 'train.momentum = 1 must be below 1' train.optimizer=sgd train.momentum=1
unfit 'train.eps = 0 must be above 0' train.eps=0
unfit 'sample.t_start = 0.5 must be below sample.t_end = 0.5' sample.t_start=0.5 sample.t_end=0.5
unfit 'nothing in the loss knows of the data' loss.estimator=published loss.weight=one loss.first_weight=0 loss.second_weight=0
unfit 'path.times_uniform = 0: .*no bound' path.times=logit_normal path.times_unbiased=true
unfit 'path.times_deviation' path.times=logit_normal path.times_deviation=0
unfit 'path.kind = "cosine" with path.coupling' path.coupling=optimal
unfit 'model.potential = "preconditioned" with path.coupling' path.coupling=optimal path.kind=linear
unfit 'loss.estimator = "covariance" with path.coupling' path.coupling=optimal path.kind=linear loss.estimator=covariance
unfit 'train.final_fraction' train.final_fraction=1.5
unfit 'train.checkpoint_every' train.checkpoint_every=0
unfit 'data.jitter' data.jitter=-0.1
unfit 'energy.marginal_t' energy.marginal_t=1.5
unfit 'train.learning_rate' train.learning_rate=nan
unfit 'train.t_max' train.t_max=inf
expect 0 "$vapo" train tiny.toml --out warm --set train.warmup_steps=500  # a constant rate has no end
one_line 'train.warmup_steps = 500: all 20 steps are warm-up'
expect 0 "$vapo" train tiny.toml --out still --set train.schedule=cosine --set train.schedule_steps=5
one_line 'train.schedule_steps = 5 of train.steps = 20: the learning rate is 0 from step 6 on'
expect 0 "$vapo" train tiny.toml --out classless --set train.label_drop=0.5
one_line 'train.label_drop: of networks with classes, and not used'
expect 0 "$vapo" train tiny.toml --out again --set data.points=10
one_line 'train.batch_size = 32: .* more than once'
# A run that began before such a check goes on.
sed 's/^warmup_steps = .*/warmup_steps = 50/; s/^schedule = .*/schedule = "cosine"/; s/^schedule_steps = .*/schedule_steps = 20/' \
  warm/config.toml >old.toml
refused 3 'must be below' "$vapo" train old.toml --out old

# --- tolerances
expect 0 "$vapo" train tiny.toml --out run
nfe() {  # SAMPLES OPTION…
  local n=$1
  shift
  expect 0 "$vapo" sample run -n "$n" "$@" --json
  value nfe <out
}
usual=$(nfe 64 --rtol 1e-5 --atol 1e-5)
for norm in "" --per-sample-norm; do
  for method in rk45 rk23; do
    for tolerance in 1e-08 1e-14 1e-30; do
      count=$(nfe 64 --rtol $tolerance --atol $tolerance --method $method $norm)
      [ "$count" -le 2000 ] || fail "$method $norm at $tolerance: $count evaluations"
      one_line "rounding hides errors this small: rtol $tolerance became 1.2e-05, atol $tolerance became [0-9]e-0[67]"
    done
  done
done
count=$(nfe 64 --rtol 1e-14 --atol 1e-14)
[ "$count" -le $((2 * usual)) ] || fail "$count evaluations instead of some $usual"
count=$(nfe 64 --rtol 1e-5 --atol 1e-5)
grep -q 'became' err || fail "1e-5 is below 100 epsilons"
nfe 64 --rtol 1e-4 --atol 1e-5 >/dev/null
grep -q 'became' err && fail "a note of tolerances that were not raised"
expect 0 "$vapo" likelihood run --limit 20 --json
grep -q 'became' err && fail "likelihood's default tolerance is raised"
expect 0 "$vapo" likelihood run --limit 20 --tolerance 1e-12 --json
one_line 'rtol 1e-12 became'
[ "$(value nfe <out)" -le 2000 ] || fail "likelihood at 1e-12: $(value nfe <out) evaluations"
for bad in 0 -1e-3 nan inf 2; do
  for option in --rtol --atol; do
    [ "$option $bad" = "--atol 2" ] && continue
    refused 2 "$option.* is not a number from" "$vapo" sample run -n 4 $option=$bad
  done
  refused 2 "tolerance.* is not a number from" "$vapo" likelihood run --tolerance=$bad
done
refused 2 'step-size.* is not a number from' "$vapo" sample run -n 4 --method sgld --step-size nan
refused 2 'guidance.* is not a number from' "$vapo" sample run -n 4 --guidance nan
refused 3 'sample.rtol = nan' "$vapo" train tiny.toml --out unfit --set sample.rtol=nan
refused 3 't_start = .* must be below where the flow ends' "$vapo" sample run -n 4 --t-end 0

# --- values that are not finite
place_of() {  # FILE TENSOR: where its numbers begin in the file
  local length=$(($(od -An -N4 -tu4 "$1"))) offset
  offset=$(head -c $((8 + length)) "$1" | tail -c "$length" | grep -o "\"$2\":{[^}]*}" | grep -o 'data_offsets":\[[0-9]*' | grep -o '[0-9]*$')
  [ -n "$offset" ] || fail "no tensor $2 in $1"
  echo $((8 + length + offset))
}
overwritten() {  # RUN TENSOR BYTES: a copy of `run` with its last checkpoint changed; once more where it is there
  [ -d "$1" ] || cp -r run "$1"
  printf "$3" | dd of="$1/checkpoint-20.safetensors" bs=1 seek="$(place_of run/checkpoint-20.safetensors "$2")" conv=notrunc status=none
}
nan='\x00\x00\xc0\x7f' infinite='\x00\x00\x80\x7f' huge='\x99\x76\x96\x7e'
{ read -r weight && read -r next_weight; } < <(
  head -c 100000 run/checkpoint-20.safetensors | grep -ao '"param\.[^"]*weight"' | tr -d '"' | sed 's/^param\.//')
overwritten averages-nan "ema.$weight" "$nan"
refused 3 "averages-nan/checkpoint-20.safetensors: tensor 'ema.$weight' is NaN in 1 of its" "$vapo" sample averages-nan -n 4
expect 0 "$vapo" sample averages-nan -n 4 --last-weights
expect 0 "$vapo" info averages-nan --json
value not_finite <out | grep -q "ema.$weight: 1 of .* values, NaN" || fail "info does not tell of the NaN"
overwritten weights-infinite "param.$weight" "$infinite"
refused 3 "tensor 'param.$weight' is infinite in 1" "$vapo" sample weights-infinite -n 4 --last-weights
expect 0 "$vapo" train --out weights-infinite --resume --set train.steps=25
grep -q "passing over .*'param.$weight' is infinite" err || fail "a checkpoint with infinite weights was not passed over"
overwritten overflow "ema.$weight" "$huge"
overwritten overflow "ema.$next_weight" "$huge"  # their product is beyond f32
for method in rk45 rk23 euler heun; do
  refused 4 'ode: the field is (NaN|infinite) at t = .* samples?' "$vapo" sample overflow -n 8 --method $method
done
refused 4 'SGLD: the energy.s gradient is (NaN|infinite) at step [0-9]+ of' "$vapo" sample overflow -n 8 --method sgld
refused 4 'ode: the field is (NaN|infinite) at t = (1 |0.99)' "$vapo" likelihood overflow --limit 5
overwritten training-overflows "param.$weight" "$huge"
expect 4 "$vapo" train --out training-overflows --resume --set train.steps=25
grep -qE '^vapo: the loss of step 21 is -?(nan|inf) \(.* = -?(nan|inf).*\), of finite weights and data' err || fail "no word of what is not finite"

# --- figures without gnuplot, or with one that fails
without() {  # NAME PATTERN PATH: figures are left out with one line, all else is there
  mkdir -p "$1"
  expect 0 env PATH="$3" "$vapo" density run --out "$1"
  one_line "$2.*: figures are left out"
  for figure in flow density sgld; do
    [ -e "$1/$figure.png" ] && fail "$1: $figure.png"
    [ -s "$1/$figure.gp" ] && [ -s "$1/$figure-1.dat" ] || fail "$1: no data of $figure"
  done
  [ -s "$1/summary.json" ] || fail "$1: no numbers"
  [ -z "$(find "$1" -name '.*tmp*')" ] || fail "$1: an unfinished picture was left"
}
fake() {  # NAME SCRIPT
  mkdir -p "$1"
  printf '#!/bin/sh\n%s\n' "$2" >"$1/gnuplot"
  chmod +x "$1/gnuplot"
}
mkdir no-programs && without missing 'gnuplot cannot be started' "$PWD/no-programs"
mkdir old-picture && echo old >old-picture/flow.png
without old-picture 'gnuplot cannot be started' "$PWD/no-programs"
fake refusing 'echo; echo "line 3: unknown or ambiguous terminal type" >&2; exit 1'
without refused-by 'gnuplot failed with exit code 1: line 3: unknown' "$PWD/refusing"
fake crashing 'kill -SEGV $$'
without crashed 'gnuplot was ended by signal 11' "$PWD/crashing"
fake silent 'exit 0'
without nothing-drawn 'gnuplot left no whole picture' "$PWD/silent"
# shellcheck disable=SC2016
fake halving 'picture=${2#picture=?}; printf "\211PNG\r\n\032\nhalf" >"${picture%?}"'
without half-drawn 'gnuplot left no whole picture' "$PWD/halving"
mkdir -p page && cp -r run page/run
expect 0 env PATH="$PWD/no-programs" "$vapo" density page/run
expect 0 "$vapo" report page/run --json
grep -q 'The figure flow.png is not here' page/run/report.html || fail "the report does not say that a figure is missing"
[ "$(value missing_figures <out)" = 0 ] || fail "the report looks for figures that were never drawn"

# --- the machine changes on resume
expect 0 "$vapo" train tiny.toml --out moved --threads 1
expect 0 "$vapo" train --out moved --resume --threads 2 --set train.steps=30
one_line 'before it ran on .*, 1 threads, precision strict.*: from here on the bits'
expect 0 "$vapo" train --out moved --resume --threads 2 --set train.steps=40
grep -q 'before it ran on' err && fail "the same machine is told of as another one"
if grep -q avx512_bf16 /proc/cpuinfo && ! grep -q amx_bf16 /proc/cpuinfo; then
  expect 0 "$vapo" train tiny.toml --out rounded --precision bf16 --device cpu
  one_line 'precision bf16: this CPU has no AMX'
fi
echo "settings: passed"
