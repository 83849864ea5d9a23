# What a resumed run may be told, and what it may not: paths are stored absolute, an option equal to the saved one is no
# change, another table or other classes under the same name are refused.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"

table() { awk -v n="$1" -v shift="${2:-0}" 'BEGIN { print "a,b"; for (i = 0; i < n; ++i) print i % 7 + shift "," (i * i) % 11 }'; }
table 50 >a.csv
cat >points.toml <<'TOML'
[data]
path = "a.csv"
[model]
hidden = [8]
[train]
steps = 5
batch_size = 16
learning_rate = 1e-3
seed = 4
TOML
path_in() { grep '^path = ' "$1/config.toml"; }
cp a.csv moved.csv
mkdir -p deep/er
cp a.csv deep/

# --- paths
expect 0 "$vapo" train points.toml --out run
[ "$(path_in run)" = "path = '$PWD/a.csv'" ] || fail "a fresh start stores $(path_in run)"
steps=5
for given in moved.csv ./deep/../moved.csv deep/er/../a.csv; do
  steps=$((steps + 1))
  expect 0 "$vapo" train --out run --resume --set train.steps=$steps --set data.path=$given
  [ "$(path_in run)" = "path = '$(realpath "$given")'" ] || fail "--resume --set data.path=$given stores $(path_in run)"
  (cd / && "$vapo" train --out "$OLDPWD/run" --resume --set train.steps=$steps >/dev/null 2>&1) ||
    fail "after data.path=$given the run cannot be resumed from /"
  (cd / && "$vapo" likelihood "$OLDPWD/run" >/dev/null 2>&1) || fail "after data.path=$given no likelihood from /"
done
refused 5 "$PWD/nowhere.csv" "$vapo" train --out run --resume --set data.path=nowhere.csv

# --- equal options
resume=("$vapo" train --out run --resume --set train.steps=9)
expect 0 "${resume[@]}" --seed 4
expect 0 "${resume[@]}" --set train.seed=4 --set 'model.hidden=[ 8 ]' --set train.learning_rate=0.001
expect 0 "${resume[@]}" --set train.clip_limit=1 --set train.ema_ramp=true --set model.kind=mlp --set 'model.kind="mlp"'
expect 0 "${resume[@]}" --set train.batch_size=99 --set train.batch_size=16  # the last one counts
expect 0 "${resume[@]}" --set train.from=
cp -r run sampled
expect 0 "$vapo" train --out sampled --resume --set train.steps=9 --set sample.t_start=1  # of samples alone: none is drawn here
refused 2 'train.seed = 5: cannot change on --resume, the run has 4' "${resume[@]}" --seed 5
refused 2 'train.learning_rate = 0.0011.*the run has 0.001' "${resume[@]}" --set train.learning_rate=1.1e-3
refused 2 'model.hidden = \[8, 8\]' "${resume[@]}" --set 'model.hidden=[8, 8]'
refused 2 'data.jitter = 0.5' "${resume[@]}" --set data.jitter=0.5
refused 3 'data.jiter' "${resume[@]}" --set data.jiter=0.5
expect 0 "${resume[@]}" --set data.path=a.csv
expect 0 "$vapo" train points.toml --out run --resume --set train.steps=9
[ "$(grep -c '^points.toml: not used' err)" = 0 ] || fail "an equal config is called another: $(cat err)"
sed 's/16/32/; s/a.csv/moved.csv/' points.toml >changed.toml
expect 0 "$vapo" train changed.toml --out run --resume --set train.steps=9
grep -q '^changed.toml: not used.*train.batch_size = 16 and not 32' err || fail "nothing is said of an unread config"

# --- another table
begin() { rm -rf run; cp a.csv data.csv; expect 0 "$vapo" train points.toml --set data.path=data.csv --out run; }
told() { refused 3 "data.csv: not the data that run was trained on: $1.*Hint: .*--from run" "${resume[@]}"; }
begin
table 60 >data.csv; told '60 rows, and it had 50'
table 50 1 >data.csv; told 'as many rows, and other values'
{ head -1 a.csv; tail -n +2 a.csv | tac; } >data.csv; told 'as many rows, and other values'
{ tail -n +2 a.csv | sed 's/$/,1/'; } >data.csv; told '3 columns, and it had 2'
cp a.csv data.csv
cp run/config.toml before
table 60 >data.csv; told '60 rows'
cmp before run/config.toml || fail "a refused resumption has changed the config"
expect 0 "$vapo" likelihood run
grep -q 'data.csv has changed since .*60 rows' err || fail "nothing is said of held-out rows that are others"
refused 3 'no data' "$vapo" train --out run --resume --set data.path= --set train.steps=9
expect 0 "$vapo" train points.toml --out both --set data.set=two_moons
refused 3 'two_moons: not the data.*another set' "$vapo" train --out both --resume --set data.path=
# The same rows in another place and another format are the same.
tail -n +2 a.csv | tr ',' '\t' | sed 's/^\([0-9]*\)/\1.0/' >data.tsv
expect 0 "${resume[@]}" --set data.path=data.tsv
rm data.csv
expect 0 "$vapo" train --out run --resume --set train.steps=10
# A synthetic set does not become a table.
expect 0 "$vapo" train tiny.toml --out synthetic
refused 3 'a.csv: not the data.*another set' "$vapo" train --out synthetic --resume --set data.path=a.csv

# --- other images, other classes
idx train 40 1
folder_of_classes() {
  rm -rf classes
  for class in "$@"; do
    mkdir -p "classes/$class"
    for i in 0 1 2 3; do cp image.png "classes/$class/$i.png"; done
  done
}
images_toml wide_resnet wide_resnet.classes=4 sample.steps=1 >images.toml
expect 0 "$vapo" train images.toml --out images
more=("$vapo" train --out images --resume --set train.steps=2)
idx train 44 1; refused 3 'not the data.*44 images, and it had 40' "${more[@]}"
idx train 40 2; refused 3 'not the data.*other pixels or labels' "${more[@]}"
idx train 40 1
printf '\x03' | dd of=set/train-labels-idx1-ubyte bs=1 seek=8 conv=notrunc 2>/dev/null
refused 3 'not the data.*other pixels or labels' "${more[@]}"
idx train 40 1
cp -r set elsewhere
expect 0 "${more[@]}" --set data.path=elsewhere

expect 0 "$vapo" sample images -n 4 --grid image.png --class 0
folder_of_classes cat dog
expect 0 "$vapo" train images.toml --out folders --set data.set=image_folder --set data.path=classes --set data.size=8
more=("$vapo" train --out folders --resume --set train.steps=2)
folder_of_classes ant cat dog; refused 3 'not the data.*"ant" as class 0 of 3, and it had "cat" as class 0 of 2' "${more[@]}"
folder_of_classes cat cow; refused 3 'not the data.*"cow" as class 1 of 2, and it had "dog"' "${more[@]}"
folder_of_classes cat dog cow; refused 3 'not the data.*"cow" as class 1 of 3, and it had "dog"' "${more[@]}"
folder_of_classes cat; refused 3 'not the data.*1 classes, and it had "dog" as class 1 of 2' "${more[@]}"
folder_of_classes dog cat
expect 0 "${more[@]}"
echo "resume_changes: passed"
