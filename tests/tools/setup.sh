#!/usr/bin/env bash
# tools/setup.sh where there is no apt-get: it names what this machine lacks, and nothing that is here. Argument: the root of the house.
set -u
root=$1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
fail() { echo "FAILED: $*" >&2 && sed 's/^/  /' "$scratch/err" >&2 && exit 1; }

# All programs of this machine but those named.
without() {
  rm -rf "$scratch/bin" && mkdir "$scratch/bin"
  local folder program
  IFS=: read -ra folders <<<"$PATH"
  for folder in "${folders[@]}"; do ln -s -t "$scratch/bin" "$folder"/* 2>/dev/null; done  # what came first stays
  for program in "$@"; do rm -f "$scratch/bin/$program"; done
}
setup() {  # CODE SET…
  local want=$1 got=0
  shift
  PATH=$scratch/bin CXX= bash "$root/tools/setup.sh" "$@" 2>"$scratch/err" || got=$?
  [ $got = "$want" ] || fail "exit code $got instead of $want: setup.sh $*"
}

without apt-get
setup 0 build test
[ -s "$scratch/err" ] && fail "nothing is missing, and yet it speaks"
without apt-get cmake protoc
setup 1 build
grep -q 'missing: cmake, protoc\. Hint' "$scratch/err" || fail "it does not name cmake and protoc alone"
[ "$(wc -l <"$scratch/err")" = 1 ] || fail "more than a line"
without apt-get c++
setup 1 build
grep -q 'missing: a C++20 compiler' "$scratch/err" || fail "it does not name the compiler"
without apt-get
cat >"$scratch/no-zlib" <<'SH'
#!/bin/sh
# A compiler that finds all headers but one: what it reads asks for each.
grep -q '__has_include(<zlib.h>)' && echo 'lacking zlib (zlib.h)'
SH
chmod +x "$scratch/no-zlib" && ln -sf "$scratch/no-zlib" "$scratch/bin/c++"
setup 1 build
grep -q 'missing: zlib (zlib.h)\. Hint' "$scratch/err" || fail "it does not name zlib alone"
setup 2 nonsense
echo "setup: passed"
