#!/usr/bin/env bash
# Installs vapo, and builds README's example against the installed package: as a CMake project, and with pkg-config alone.
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
add_executable(two_moons two_moons.cpp)
target_link_libraries(two_moons PRIVATE vapo::vapo vapo::data)
CMAKE
cp "$root/tests/house/two_moons.cpp" "$scratch"
cmake -G "$generator" -S "$scratch" -B "$scratch/build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$scratch/prefix" \
  -DCMAKE_CXX_COMPILER="$compiler" >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
cmake --build "$scratch/build" >"$scratch/log" 2>&1 || { cat "$scratch/log"; exit 1; }
compare() {  # PROGRAM
  "$1" | tee "$scratch/out"
  diff <(awk '/^```text$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$root/README.md") "$scratch/out" ||
    { echo "the example prints something else than README.md says"; exit 1; }
}
compare "$scratch/build/consumer"

# What a consumer trains with the library alone is what the program trains: weights and likelihood to the last digit.
vapo=$scratch/prefix/bin/vapo config=$scratch/prefix/share/vapo/configs/two_moons.toml steps=40
"$vapo" train "$config" --set train.steps=$steps --set equilibrium.steps=4 --set train.checkpoint_every=$steps --out "$scratch/run" >"$scratch/log" 2>&1 ||
  { cat "$scratch/log"; exit 1; }
nats=$("$scratch/build/two_moons" "$config" $steps "$scratch/consumer.safetensors")
"$vapo" likelihood "$scratch/run" --json >"$scratch/out"
program=$(sed -En 's/.*"nats":([^,]+),.*/\1/p' "$scratch/out")
awk -v a="$nats" -v b="$program" 'BEGIN { exit a == "" || a + 0 != b + 0 }' ||  # as numbers: each is written its own way
  { echo "a consumer's training gives $nats, the program's $program"; exit 1; }

export PKG_CONFIG_PATH=$(dirname "$(find "$scratch/prefix" -name vapo.pc)")
cat >"$scratch/data.cpp" <<'CPP'
#include <cstdio>

#include "data/readers/npz.h"
#include "vapo/path.h"
int main(int, char** arguments) {
  vapo::data::write_npz(arguments[1], {{"ones", vapo::Tensor::ones({2, 3})}});
  std::printf("%s\n", vapo::data::read_npz(arguments[1]).at("ones").shape().str().c_str());
}
CPP
if command -v pkg-config >/dev/null; then
  "$compiler" -std=c++20 "$scratch/main.cpp" -o "$scratch/by-pkg-config" $(pkg-config --cflags --libs vapo)
  compare "$scratch/by-pkg-config"
  "$compiler" -std=c++20 "$scratch/data.cpp" -o "$scratch/with-data" $(pkg-config --cflags --libs vapo-data)
  [ "$("$scratch/with-data" "$scratch/ones.npz")" = "(2,3)" ] || { echo "vapo-data.pc: an .npz does not come back"; exit 1; }
else
  echo "left out: pkg-config is not installed"
fi
"$scratch/prefix/bin/vapo" --version
