#!/usr/bin/env bash
# tools/gpu-host.sh where there is no GPU: its parts on emulated kernels leave a table in which none failed; what was packed runs
# with the libraries that were packed; what it refuses. Arguments: the folder of the build, the root of the house.
set -u
build=$1 root=$2
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
host=("$root/tools/gpu-host.sh")
fail() {
  echo "FAILED: $*" >&2
  tail -n 5 "$scratch"/out "$scratch"/err >&2
  exit 1
}
expect() {
  local want=$1 got=0
  shift
  "$@" >"$scratch/out" 2>"$scratch/err" || got=$?
  [ "$got" = "$want" ] || fail "exit code $got instead of $want: $*"
}
export VAPO_GPU_BUILD=$build VAPO_GPU_BUNDLE=$scratch/bundle VAPO_GPU_MINUTES=100

expect 0 bash "${host[@]}" run --dry "$scratch/dry" bench images
[ "$(grep -cE '^(ops|block|step|unet|wide_resnet)-(strict|fast|bf16) +ok ' "$scratch/dry/table.txt")" = 15 ] || fail "not every row is there"
grep -q '"device":"emulated"' "$scratch/dry/ops-bf16.log" || fail "no row was measured there"
env -u VAPO_DATA bash "${host[@]}" run --dry "$scratch/parts" published sampling >"$scratch/out" 2>"$scratch/err" || fail "published, sampling"
[ "$(grep -cE '^(published-(bf16|fast)|digits|mnist|sample) +ok ' "$scratch/parts/table.txt")" = 5 ] || fail "not every step of the parts is there"
grep -q '"pass":"recorded step"' "$scratch/parts/published-bf16.log" || fail "no recorded step was measured"
VAPO_GPU_MINUTES=0 expect 1 bash "${host[@]}" run --dry "$scratch/late" images
[ "$(grep -c 'left out: no time' "$scratch/late/table.txt")" = 6 ] || fail "it is not told what there was no time for"

expect 2 bash "${host[@]}" run "$scratch/bad" sanitizer
grep -q "'sanitizer' is no part of run: parity program bench" "$scratch/err" || fail "the parts are not named"
expect 2 bash "${host[@]}" run --fast
expect 1 bash "${host[@]}" run "$scratch/bad" parity
grep -q 'gpu-host.sh prepare' "$scratch/err" || fail "no hint at prepare"
expect 1 bash "${host[@]}" run --packed "$scratch/bad" parity
grep -q 'gpu-host.sh pack' "$scratch/err" || fail "no hint at pack"
VAPO_GPU_BUILD=$scratch expect 1 bash "${host[@]}" pack
grep -q "no $scratch/bin/vapo" "$scratch/err" || fail "the program that is missing is not named"

if [ -x "$build/bin/test-launch" ]; then  # a build with CUDA
  XZ_OPT=-0 expect 0 bash "${host[@]}" pack
  tar xJf "$scratch/bundle/packed.tar.xz" -C "$scratch"
  for library in libfmt libdnnl libpng liblapacke; do
    compgen -G "$scratch/packed/lib/$library*" >/dev/null || fail "$library was not packed"
  done
  compgen -G "$scratch/packed/lib/libcud*" >/dev/null && fail "CUDA's libraries were packed"
fi
echo "gpu-host: ok"
