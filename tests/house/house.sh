#!/usr/bin/env bash
# The rules of the house that a compiler does not check. Argument: its root.
set -uo pipefail
shopt -s lastpipe  # `… | check` counts in this shell
cd "$1" || exit 1
failures=0
complain() {
  echo "$1:" >&2
  sed 's/^/  /' >&2
  failures=$((failures + 1))
}
check() {  # TITLE, standard input: nothing where all is well
  local found
  found=$(cat)
  [ -z "$found" ] || complain "$1" <<<"$found"
}

floors=(tensor autograd nn vapo data apps)
declare -A may_include=(
  [tensor]="tensor" [autograd]="autograd tensor" [nn]="nn autograd tensor" [vapo]="vapo nn autograd tensor"
  [data]="data tensor" [apps]="apps data vapo nn autograd tensor")
for floor in "${floors[@]}"; do
  allowed=${may_include[$floor]// /|}
  grep -rnE '#include "(tensor|autograd|nn|vapo|data|apps|tests|bench)/' --include='*.h' --include='*.cpp' --include='*.cu' "$floor" |
    grep -vE "#include \"($allowed)/" | check "$floor/ may include only ${may_include[$floor]}"
done

declare -A may_use=([run]="run" [sampling]="run|sampling" [training]="run|sampling|training" [evaluation]="run|sampling|evaluation"
  [report]="run|report" [bench]="run|bench")
for room in apps/*/; do
  allowed=${may_use[$(basename "$room")]:-nothing}
  grep -rnE '#include "apps/' "$room" | grep -vE "#include \"apps/($allowed)/" |
    check "$room may include of apps/ only ${allowed//|/, }"
done

grep -rnE '#include <(cuda|cublas|cudnn|nccl)|#include <(cuda|nv)/' --include='*.h' --include='*.cpp' "${floors[@]}" tests bench |
  grep -v '^tensor/cuda/' | check "CUDA headers stay in tensor/cuda/"
grep -rnE '#include [<"](CLI|png|jpeglib)' --include='*.h' --include='*.cpp' tensor autograd nn vapo |
  check "command-line and image libraries stay in data/ and apps/"
grep -rnE '#include [<"]toml\+\+' --include='*.h' --include='*.cpp' tensor autograd nn vapo data |
  grep -v '^vapo/toml.cpp' | check "below apps/, TOML is read in vapo/toml.cpp only"
grep -rnE '#include [<"]nlohmann' --include='*.h' --include='*.cpp' tensor autograd nn vapo | grep -v '^tensor/io/' |
  check "below data/, JSON is read in tensor/io/ only"

sources=$(find "${floors[@]}" examples tests bench -name '*.h' -o -name '*.cpp' -o -name '*.cu' | sort)
wc -l $sources | awk '$2 != "total" && $1 > 400 { print $2 ": " $1 " lines" }' | check "no source above 400 lines"
grep -nE 'TODO|FIXME' $sources | check "nothing is left to do in a comment"
grep -L '#pragma once' $(grep '\.h$' <<<"$sources") | check "headers begin with #pragma once"
find . -path ./build -prune -o -path ./.git -prune -o -path ./out -prune -o -path ./.gpu-bundle -prune -o -type f -size +1M -print |
  check "no file above 1 MiB"

if command -v clang-format-14 >/dev/null; then
  clang-format-14 --dry-run $sources 2>&1 | grep 'warning:' | check "formatting: clang-format-14 -i FILE mends it"
else
  echo "skipped: clang-format-14 is not installed"
fi

[ $failures = 0 ] && echo "house: passed"
exit $((failures > 0))
