#!/usr/bin/env bash
# Fuzzes every reader of bytes from outside under AddressSanitizer and UndefinedBehaviorSanitizer with Clang's libFuzzer:
# tools/fuzz.sh [EXECUTIONS [SEED]], so many of all targets together (10,000,000). Exit 1 at a finding, which stays in
# build/fuzz/findings. docs/reliability.md has the numbers.
set -euo pipefail
cd "$(dirname "$0")/.."
executions=${1:-10000000} seed=${2:-1}
[[ $executions =~ ^[0-9]+$ && $seed =~ ^[0-9]+$ ]] || { echo "usage: tools/fuzz.sh [EXECUTIONS [SEED]]" >&2; exit 2; }
command -v clang++-14 >/dev/null || { echo "fuzz.sh: no clang++-14. Hint: apt-get install clang-14 libclang-rt-14-dev" >&2; exit 1; }

cmake --preset fuzz --log-level=WARNING
cmake --build --preset fuzz
corpora=$PWD/tests/fuzz/corpus
cd build/fuzz
mkdir -p findings grown
# Shares of the executions: those that go through folders, or draw a page, take a millisecond each.
targets=(safetensors npy npz csv config cifar idx jpeg mat names png bmp exif gif pnm tiff webp metrics result latest checkpoint weights)
shares=(10 14 10 40 10 16 20 10 12 40 8 10 10 10 10 6 8 2 2 3 2 1)
all=0
for share in "${shares[@]}"; do all=$((all + share)); done

# A part at a time, so that after any time all have had their turns.
parts=8
declare -A done_ seconds found
for ((part = 0; part < parts; ++part)); do
  for i in "${!targets[@]}"; do
    target=${targets[i]} runs=$((executions * shares[i] / all / parts + 1))
    mkdir -p "grown/$target"
    begin=$(date +%s%N)
    # A file's checksum stands in the name of what was found. Pages of a gigabyte, and ten seconds, are findings too.
    UBSAN_OPTIONS=print_stacktrace=1 bin/fuzz-$target -runs=$runs -seed=$((seed * 1000 + part)) -max_len=4096 -timeout=10 \
      -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="findings/$target-" "grown/$target" "$corpora/$target" \
      >"findings/$target.log" 2>&1 || { found[$target]=$((${found[$target]-0} + 1)); tail -40 "findings/$target.log" >&2; }
    seconds[$target]=$((${seconds[$target]-0} + ($(date +%s%N) - begin) / 1000000))
    ran=$(sed -n 's/^stat::number_of_executed_units: //p' "findings/$target.log")
    done_[$target]=$((${done_[$target]-0} + ${ran:-0}))
    echo "part $((part + 1)) of $parts: $target: ${ran:-0} executions, ${found[$target]-0} findings so far" >&2
  done
done

echo "| target | executions | a second | findings |"
echo "|---|---|---|---|"
total=0 bad=0
for target in "${targets[@]}"; do
  ms=${seconds[$target]} n=${done_[$target]}
  echo "| $target | $n | $((n * 1000 / (ms > 0 ? ms : 1))) | ${found[$target]-0} |"
  total=$((total + n)) bad=$((bad + ${found[$target]-0}))
done
echo "| all | $total | | $bad |"
[ $bad = 0 ] || { echo "fuzz.sh: findings lie in build/fuzz/findings" >&2; exit 1; }
