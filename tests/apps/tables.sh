# Tables as people have them: columns by name from the first to the last command, what is refused and what to type then,
# samples in the resolution of their columns.
. "$(dirname "$0")/common.sh"
small=("$root/configs/points.toml" --set train.steps=60 --set 'model.hidden=[16,16]' --set train.tensorboard=false)
train() { expect 0 "$vapo" train "${small[@]}" "$@"; }  # refused_train CODE PATTERN …
refused_train() { refused "$1" "$2" "$vapo" train "${small[@]}" --out bad "${@:3}"; [ ! -e bad ] || fail "a folder for a run that was refused"; }
awk 'BEGIN { srand(3); print "date,rain,temp,wind,kind"; for (i = 0; i < 200; ++i)
  printf "2012-01-%02d,%.3f,%.2f,%s,%s\n", i % 28 + 1, rand() + i % 2 * 8, 20 * rand() + 100, i % 20 ? 5 * rand() : "NA", i % 3 ? "sun" : "rain" }' >weather.csv

# --- what is refused says what to type
refused_train 3 "line 2, column 1 \(date\): '2012-01-01' is a date.*Columns of numbers: rain, temp, wind. Hint: --set data.columns=numeric .*--set 'data.columns=\[\"rain\", \"temp\", \"wind\"\]'" \
  --set data.path=weather.csv
refused_train 3 "line 2, column 4 \(wind\): the value is NA; 10 of 200 rows .*Hint: --set data.missing=drop" \
  --set data.path=weather.csv --set data.columns=numeric
refused_train 3 "has no column 'snow'" --set data.path=weather.csv --set data.columns=snow
refused_train 3 'data.columns = 1.5: must be a name' --set data.path=weather.csv --set data.columns=1.5
refused_train 3 'data.columns = .*: must be a name, or an array' --set data.path=weather.csv --set 'data.columns=["a", 0]'
train --set data.path=weather.csv --set data.columns=numeric --set data.missing=drop --out all
grep -q 'weather.csv: columns left out: date (date), kind (text)' err || fail "not told which columns are left out"
grep -q 'weather.csv: left out: 10 of 200 rows have no value in: wind (10)' err || fail "rows left out are not counted"
grep -qx "columns = \\['numeric'\\]" all/config.toml || fail "the choice of columns is not kept"
train --set data.path=weather.csv --set 'data.columns=["temp","rain"]' --out run
grep -qx "columns = \\['temp', 'rain'\\]" run/config.toml || fail "the choice of columns is not kept"
train --set data.path=weather.csv --set 'data.columns=[3,2]' --out numbers
expect 0 "$vapo" likelihood run --json; nats=$(value nats <out)
expect 0 "$vapo" likelihood numbers --json
[ "$nats" = "$(value nats <out)" ] || fail "columns by number are not those by name"

# --- another file: by name, in any order, with columns between
cut -d, -f2,3 weather.csv >rain_temp.csv
awk -F, -v OFS=, '{ print $2, $5, $3 }' weather.csv >between.csv
tail -n +2 weather.csv | awk -F, -v OFS=, '{ print $3, $2 }' >nameless.csv
expect 0 "$vapo" likelihood run --data weather.csv --json; nats=$(value nats <out)
for file in rain_temp between nameless; do
  expect 0 "$vapo" likelihood run --data $file.csv --json
  [ "$(value nats <out)" = "$nats" ] || fail "$file.csv has other likelihoods than the same columns in weather.csv"
done
grep -q 'nameless.csv: columns are taken by their places: as temp, rain' err || fail "not told of places"
expect 0 "$vapo" density run --data between.csv --no-figures --out density --set density.sgld_steps=20 --set density.points=50 \
  --set density.sgld_particles=10 --set density.sgld_burn_in=30
grep -q "density.sgld_burn_in = 30 is not below density.sgld_steps = 20" err || fail "not told of a burn-in that is too long"
grep -q "between.csv: its columns are brought into the model's order: temp, rain" err || fail "not told of the order"
grep -q 'between.csv: columns that the model has not: kind' err || fail "not told of a column that is not used"
sed 's/temp/tmp/' rain_temp.csv >renamed.csv
refused 3 'renamed.csv: no column temp: it has rain, tmp, and .* was trained on temp, rain' "$vapo" likelihood run --data renamed.csv
tail -n +2 weather.csv | awk -F, -v OFS=, '{ print $2, $3, 7 }' >wide.csv
refused 3 'wide.csv.*3 columns|wide.csv.*has no column' "$vapo" likelihood run --data wide.csv
sed '2s/,.*/,x/' rain_temp.csv >text.csv
refused 3 "text.csv' line 2, column 2 \(temp\): 'x' is not a number.*Hint: temp, rain must hold a number" "$vapo" likelihood run --data text.csv
sed '5s/,.*/,/' rain_temp.csv >hole.csv
refused 3 'hole.csv. line 5, column 2 \(temp\): the field is empty; 1 of 200' "$vapo" density run --data hole.csv
expect 0 "$vapo" likelihood all --data weather.csv --json
[ "$(value n <out)" = 190 ] || fail "rows without a value are not left out as in training"

# --- resumed with other columns
more=("$vapo" train --out run --resume --set train.steps=61)
refused 2 'data.columns = .* cannot change on --resume' "${more[@]}" --set 'data.columns=["rain","temp"]'
train --set data.path=rain_temp.csv --out plain
awk -F, -v OFS=, '{ print $2, $1 }' rain_temp.csv >swapped.csv
refused 3 'swapped.csv: not the data that plain was trained on: columns temp, rain, and it had rain, temp' "$vapo" train --out plain --resume \
  --set train.steps=61 --set data.path=swapped.csv
refused 3 'renamed.csv: not the data .* columns rain, tmp, and it had rain, temp' "$vapo" train --out plain --resume --set train.steps=61 \
  --set data.path=renamed.csv

train --set data.path=swapped.csv --from plain --out tuned
grep -q 'the columns of .*plain.* were rain, temp; here they are temp, rain' err || fail "not told of other columns than those of --from"

# --- files that are packed, and that are none
gzip -k rain_temp.csv
expect 0 "$vapo" likelihood plain --data rain_temp.csv --json; nats=$(value nats <out)
expect 0 "$vapo" likelihood plain --data rain_temp.csv.gz --json
[ "$(value nats <out)" = "$nats" ] || fail "a packed table is another"
printf 'PAR1\0\1\2\3' >table.csv
refused_train 3 "table.csv' is Parquet.*Hint: pandas.read_parquet" --set data.path=table.csv
refused_train 3 'is a folder, not a table' --set data.path=.

# --- samples come back in the resolution of their columns
awk 'BEGIN { srand(5); print "jd,unix,north"; for (i = 0; i < 300; ++i)
  printf "%.6f,%d,%.3f\n", 2460000 + rand(), 1700000000 + 3600 * rand(), 5000000 + 10 * rand() }' >far.csv
train --set data.path=far.csv --out far
expect 0 "$vapo" sample far -n 1000 --save far.npy
tail -c +129 far.npy | od -A n -v -t f8 -w24 >values  # after a header of 128 bytes, f64
[ "$(wc -l <values)" = 1000 ] || fail "not f64: $(wc -l <values) rows of three"
for column in 1 2 3; do
  distinct=$(awk "{ print \$$column }" values | sort -u | wc -l)
  [ "$distinct" -ge 990 ] || fail "$distinct distinct values of 1000 in column $column: rounded to f32"
done
awk '$1 < 2459990 || $1 > 2460010 || $2 < 1699990000 || $2 > 1700015000 { exit 1 }' values || fail "samples of other places"
echo "tables: passed"
