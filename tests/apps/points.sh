# A table of any width trains, samples and is judged with nothing but its name: configs/points.toml.
. "$(dirname "$0")/common.sh"
# Two clusters in three columns of very different units, with a header.
awk 'BEGIN { srand(7); print "length;mass;label count"; for (i = 0; i < 300; ++i) { s = i % 2;
  g = 0; for (k = 0; k < 12; ++k) g += rand(); h = 0; for (k = 0; k < 12; ++k) h += rand();
  printf "%.6f;%.4f;%.3f\n", 0.001 * (s * 4 + (g - 6) / 2), 5000 + 1000 * s + 100 * (h - 6), 7 } }' >table.csv
small=(--set train.steps=150 --set model.hidden=[32,32] --set train.schedule_steps=150)
expect 0 "$vapo" train "$root/configs/points.toml" --set data.path=table.csv --out run "${small[@]}"
expect 0 "$vapo" sample run -n 2000 --json
mean=$(value mean <out)
echo "$mean" | tr -d '[]' | awk -F, '{ exit !($1 > 0.0012 && $1 < 0.0028 && $2 > 5300 && $2 < 5700 && $3 > 6 && $3 < 8) }' ||
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
echo "points: passed"
