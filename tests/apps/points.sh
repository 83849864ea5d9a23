# A table of any width trains, samples and is judged with nothing but its name: configs/points.toml.
. "$(dirname "$0")/common.sh"
# Two clusters in three columns of very different units, with a header.
awk 'BEGIN { srand(7); print "length;mass;label count"; for (i = 0; i < 300; ++i) { s = i % 2;
  g = 0; for (k = 0; k < 12; ++k) g += rand(); h = 0; for (k = 0; k < 12; ++k) h += rand();
  printf "%.6f;%.4f;%.3f\n", 0.001 * (s * 4 + (g - 6) / 2), 5000 + 1000 * s + 100 * (h - 6), 7 } }' >table.csv
small=(--set train.steps=150 --set model.hidden=[32,32] --set train.batch_size=64)
expect 0 "$vapo" train "$root/configs/points.toml" --set data.path=table.csv --out run "${small[@]}"
grep -q "column 3 'label count' is constant: samples will all have 7 there" err || fail "the constant column is not named"
grep -qE 'chosen for 240 rows of 3 columns: data.standardize = (columns|whiten), data.jitter = 0\.[0-9]+; rows' err ||
  fail "what was chosen is not said"
grep -q auto run/config.toml && fail "the run's own config leaves open what was chosen"
expect 0 "$vapo" sample run -n 2000 --json
value standard_deviation <out | tr -d '[]' | awk -F, '{ exit !($3 == 0) }' || fail "the constant column is not constant"
mean=$(value mean <out)
echo "$mean" | tr -d '[]' | awk -F, '{ exit !($1 > 0.0012 && $1 < 0.0028 && $2 > 5300 && $2 < 5700 && $3 == 7) }' ||
  fail "the samples' means $mean are not those of the table: about 0.002, 5500, 7"
expect 0 "$vapo" likelihood run --json    # of the held-out rows
[ "$(value n <out)" = 60 ] || fail "$(value n <out) rows held out instead of 60 of 300"
refused 3 'density needs 2' "$vapo" density run

# A plane table: densities beside a kernel density estimate.
cut -d';' -f1,2 table.csv >plane.csv
expect 0 "$vapo" train "$root/configs/points.toml" --set data.path=plane.csv --out plane "${small[@]}" --set density.sgld_steps=60 \
  --set density.points=200 --set density.sgld_particles=50 --set density.sgld_burn_in=10
expect 0 "$vapo" density plane --no-figures --json
value held_out_log_likelihood kde_scott_log_likelihood kde_cross_validated_log_likelihood <out >/dev/null
# A run is found from another folder, too: the table's place is kept whole.
mkdir elsewhere && cd elsewhere && expect 0 "$vapo" likelihood ../plane
cd "$scratch"

# Steps are chosen as well, by rows that are left out, and resumed as chosen; a look at the cost chooses without a trial.
tiny=(--set data.path=plane.csv --set model.hidden=[8] --set train.batch_size=16)
expect 0 "$vapo" train "$root/configs/points.toml" "${tiny[@]}" --dry-run --json
[ "$(value steps <out)" = 3000 ] || fail "a dry run of $(value steps <out) steps"
expect 0 "$vapo" train "$root/configs/points.toml" "${tiny[@]}" --set data.jitter=0.1 --set data.standardize=whiten --out steps --json
steps=$(value steps <out)
[ "$steps" -gt 0 ] && [ "$steps" -le 3000 ] || fail "$steps steps"
grep -q "train.steps = $steps of 3000" err || fail "the steps are not said"
grep -q "^steps = $steps$" steps/config.toml || fail "the steps are not in the config"
expect 0 "$vapo" likelihood steps --json
awk -v nats="$(value nats <out)" 'BEGIN { exit !(nats > -4.5 && nats < -1) }' || fail "$(value nats <out) nats"
expect 0 "$vapo" train --out steps --resume --set train.steps=$((steps + 20))
grep -q chosen err && fail "a resumed run chooses anew"
grep -q 'constant' err && fail "there is no constant column"
refused 3 "train.steps = 'auto': chosen from the rows of a table, and two_moons has none" \
  "$vapo" train tiny.toml --set train.steps=auto --out moons
[ -e moons ] && fail "a refused run left a folder"
refused 3 "data.path" "$vapo" train "$root/configs/points.toml" --out nothing

# true and false stand for what they did before there were names.
for form in true columns; do
  expect 0 "$vapo" train "$root/configs/points.toml" --set data.path=plane.csv "${small[@]}" --set data.jitter=0.1 \
    --set data.standardize=$form --out "as-$form"
done
cmp as-true/checkpoint-150.safetensors as-columns/checkpoint-150.safetensors || fail "true is not columns"
echo "points: passed"
