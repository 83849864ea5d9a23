#!/usr/bin/env bash
# Trains a step on every .csv file below a folder as it is, by its columns of numbers and its whole rows, and says of
# each what came out: tests/tools/package_tables.sh VAPO [FOLDER]. Without a folder: on those that ship in three Python
# packages, which pip fetches. Exit 1 where one is refused for anything but fewer than two rows or no column of numbers.
set -euo pipefail
vapo=$(realpath "${1:?usage: package_tables.sh VAPO [FOLDER]}")
root=$(cd "$(dirname "$0")/../.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
folder=${2:-}
if [ -z "$folder" ]; then
  folder=$scratch/packages
  python3 -m venv "$scratch/venv"
  "$scratch/venv/bin/pip" install --quiet --no-deps --target "$folder" vega_datasets statsmodels scikit-learn
fi
cd "$folder"
trained=0 refused=0 failed=0
# Tests' own files, and the raw ones that statsmodels keeps beside its tables, are nobody's data.
while IFS= read -r file; do
  code=0
  "$vapo" train "$root/configs/points.toml" --out "$scratch/run" --set data.path="$file" --set data.columns=numeric \
    --set data.missing=drop --set train.steps=2 --set 'model.hidden=[8]' --set train.tensorboard=false \
    --threads 1 >/dev/null 2>"$scratch/err" || code=$?
  rm -rf "$scratch/run"
  if [ $code = 0 ]; then
    trained=$((trained + 1))
    echo "trained  $file: $(grep -o 'data .* of [0-9]* columns' "$scratch/err" | grep -o '[0-9]* columns')"
  elif [ $code = 3 ] && grep -qE 'no column holds numbers|No column holds numbers|rows? left|rows? of numbers, at least 2' "$scratch/err"; then
    refused=$((refused + 1))
    echo "refused  $file: $(cat "$scratch/err")"
  else
    failed=$((failed + 1))
    echo "FAILED   $file: exit code $code: $(tail -1 "$scratch/err")"
  fi
done < <(find . -name '*.csv' ! -path '*/tests/*' ! -path '*/src/*' | sort)
echo "$trained trained, $refused refused, $failed failed"
[ $failed = 0 ]
