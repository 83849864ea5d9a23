#!/usr/bin/env bash
# Runs the examples, and compares what they print with what stands at their ends, in lines that begin with "// > ".
# Arguments: their sources' folder; the programs, example-NAME, each after those whose files it reads.
set -euo pipefail
sources=$1 && shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
failures=0
for program; do
  name=$(basename "$program")
  name=${name#example-}
  arguments=()
  [ "$name" != sample_and_score ] || arguments=(three_clusters.safetensors)
  "$program" ${arguments[@]+"${arguments[@]}"} >out
  sed -n 's|^// > ||p' "$sources/$name.cpp" >expected
  [ -s expected ] || { echo "$name.cpp does not say what it prints" && failures=1; }
  diff expected out || { echo "$name prints something else than $name.cpp says" && failures=1; }
done
# What the README shows of an example is in it, line by line.
while IFS= read -r line; do
  grep -qF -- "$line" "$sources/train_potential.cpp" || { echo "README.md shows a line that train_potential.cpp has not: $line" && failures=1; }
done < <(awk '/^```c\+\+$/ { inside = 1; next } /^```$/ { inside = 0 } inside && NF' "$sources/../README.md")
[ $failures = 0 ] && echo "examples: passed"
exit $failures
