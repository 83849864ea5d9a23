# Results on standard output, JSON that parses, seeds that repeat, samples that do not depend on how many are drawn.
. "$(dirname "$0")/common.sh"

expect 0 "$vapo" --version
TMPDIR=$PWD/nowhere expect 0 "$vapo" --version  # nothing is looked for that is not wanted
grep -qE '^vapo [0-9]+\.[0-9]+\.[0-9]+( \([0-9a-f]{7,}\))?$' out || fail "--version"
expect 0 "$vapo" --help
for code in 2 3 4 5 129 130 143; do grep -q "$code" out || fail "--help does not document exit code $code"; done
for command in train sample density likelihood info; do
  expect 0 "$vapo" $command --help
  grep -q 'Exit codes' out || fail "$command --help does not document exit codes"
done

expect 0 "$vapo" train tiny.toml --out run --json --seed 5
[ "$(value steps seed <out | tr '\n' ' ')" = "20 5 " ] || fail "train --json"
expect 0 "$vapo" train tiny.toml --out text
grep -q '^steps: *20$' out || fail "train's text"
[ "$(wc -l <run/metrics.jsonl)" = 4 ] || fail "metrics.jsonl has not 4 lines"
while read -r line; do value step loss terms gradient_norm learning_rate <<<"$line" >/dev/null; done <run/metrics.jsonl
machine=$(head -1 run/metrics.jsonl | value machine)
[[ "$machine" = *"precision strict"* ]] && grep -qFx -- "$machine" err || fail "the log does not say where it was trained"
grep -q 'seed = 5' run/config.toml || fail "the resolved config does not know the seed"
expect 0 "$vapo" train run/config.toml --out again   # the resolved config is a config
cmp run/checkpoint-20.safetensors again/checkpoint-20.safetensors || fail "the resolved config trains other bits"

for method in euler heun rk23 rk45 sgld; do
  expect 0 "$vapo" sample run -n 100 --method $method --json --save $method.npy
  [ "$(value n method <out | tr '\n' ' ')" = "100 $method " ] || fail "sample --method $method"
  [ "$(value nfe <out)" -gt 0 ] || fail "$method: no evaluations"
  expect 0 "$vapo" info $method.npy --json
  value tensors <out | grep -q '"shape":\[100,2\]' || fail "$method.npy has another shape"
  expect 0 "$vapo" sample run -n 100 --method $method --save repeated.npy
  cmp $method.npy repeated.npy || fail "$method: the same seed, other bits"
done
expect 0 "$vapo" sample run -n 100 --method heun --seed 9 --save other.npy
cmp -s heun.npy other.npy && fail "two seeds with the same bits"

# Sample k is the same whatever n is: the first 40 rows of 100 (methods of fixed steps; 128 bytes of header).
for method in euler heun sgld; do
  expect 0 "$vapo" sample run -n 40 --method $method --save few.npy
  cmp <(tail -c +129 few.npy) <(tail -c +129 $method.npy | head -c $((40 * 2 * 8))) || fail "$method: sample k depends on n"
done

expect 0 "$vapo" likelihood run --limit 50 --json
value nats bits_per_dim n <out >exact
[ "$(sed -n 3p exact)" = 50 ] || fail "likelihood: n"
expect 0 "$vapo" likelihood run --limit 50 --trace hutchinson --probes 20 --json
awk 'NR == FNR { if (FNR == 1) a = $1; next } FNR == 1 { exit !(a - $1 < 0.2 && $1 - a < 0.2) }' exact <(value nats <out) ||
  fail "likelihood: Hutchinson with 20 probes is far from exact"
expect 0 "$vapo" info run --json
[ "$(value kind step <out | tr '\n' ' ')" = "checkpoint 20 " ] || fail "info"

expect 0 "$vapo" density run --json --out figures
value tv_marginal tv_boltzmann energy_distance_ode energy_distance_sgld energy_distance_floor nll entropy_true \
  sgld_energy_drift <figures/summary.json >/dev/null
value nll <out >/dev/null
if command -v gnuplot >/dev/null; then
  for figure in flow density sgld loss; do
    [ "$(head -c 4 figures/$figure.png | tail -c 3)" = PNG ] || fail "$figure.png is no picture"
    (cd figures && gnuplot $figure.gp) || fail "$figure.gp does not draw again"
  done
  [ -z "$(find figures -name '.*tmp*')" ] || fail "an unfinished picture was left"
fi
echo "output: passed"
