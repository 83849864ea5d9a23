#!/usr/bin/env bash
# Installs vapo, and builds README's example against the installed package as a project of its own.
# Arguments: the build tree, the root of the house, a C++ compiler, CMake's generator (a bare system may lack its default).
set -euo pipefail
build=$1 root=$2 compiler=$3 generator=$4
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cmake --install "$build" --prefix "$scratch/prefix" >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
awk '/^```cpp$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$root/README.md" >"$scratch/main.cpp"
[ "$(wc -l <"$scratch/main.cpp")" -ge 10 ] || { echo "README.md has no example in C++"; exit 1; }
cat >"$scratch/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(vapo REQUIRED)
add_executable(consumer main.cpp)
target_link_libraries(consumer PRIVATE vapo::autograd)
CMAKE
cmake -G "$generator" -S "$scratch" -B "$scratch/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$scratch/prefix" \
  -DCMAKE_CXX_COMPILER="$compiler" >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
cmake --build "$scratch/build" >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
"$scratch/build/consumer" | tee "$scratch/out"
diff <(awk '/^```text$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$root/README.md") "$scratch/out" ||
  { echo "the example prints something else than README.md says"; exit 1; }
"$scratch/prefix/bin/vapo" --version
