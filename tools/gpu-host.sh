#!/usr/bin/env bash
# Everything that needs a GPU, on a machine that has nvcc, CMake and ninja but no network and none of our packages.
#   tools/gpu-host.sh prepare   where there is a network: the libraries' Debian packages into .gpu-bundle/
#                               (ignored by git; below 40 MB), to be carried along
#   tools/gpu-host.sh run [DIR [PART…]] there: builds and does what the parts say, all by default; logs and results go to
#                               DIR (default: build/gpu), a short table to standard output. Parts:
#                                 tests      all tests on both devices, the parity table
#                                 sanitizer  compute-sanitizer's memcheck and racecheck over the kernels
#                                 bench      operations, a residual block beside PyTorch's, the plane's step
#                                 images     a step of the U-Net and of the WideResNet beside PyTorch's, batch 128
#                               Each call ends within $VAPO_GPU_MINUTES (default: 8); what there is no time for, the
#                               table says. What is built stays for the next call.
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=$PWD/.gpu-bundle

prepare() {
  local packages=(libfmt-dev libfmt9 libhwy-dev libhwy1 libdnnl-dev libdnnl2 nlohmann-json3-dev libcli11-dev
    libtomlplusplus-dev libtomlplusplus3 doctest-dev ocl-icd-opencl-dev ocl-icd-libopencl1 opencl-c-headers opencl-clhpp-headers
    libprotobuf-dev libprotobuf-lite32 protobuf-compiler libprotoc32 libprotobuf32
    libpng-dev libpng16-16
    libjpeg62-turbo-dev libjpeg62-turbo
    liblapacke-dev liblapacke liblapack3 libblas3 libtmglib3 libgfortran5 libquadmath0
    libzip-dev libzip4 libssl3 libbz2-1.0
    zlib1g-dev zlib1g)
  rm -rf "$bundle"
  mkdir -p "$bundle"
  (cd "$bundle" && apt-get -o APT::Sandbox::User=root download -qq "${packages[@]}")
  local size
  size=$(du -sm "$bundle" | cut -f1)
  echo "$bundle: $size MB"
  [ "$size" -lt 40 ] || { echo "gpu-host.sh: the bundle must stay below 40 MB" >&2 && exit 1; }
}

# Libraries of CUDA that come with PyTorch instead of with the toolkit, under the names that a linker looks for.
link_cuda_libraries() {
  links=$out/cuda-libraries
  mkdir -p "$links/include"
  local folder library name
  for folder in $(python3 -c 'import glob, os, site
roots = [p for s in site.getsitepackages() for p in glob.glob(os.path.join(s, "nvidia", "*"))]
print("\n".join(roots))' 2>/dev/null); do
    for library in "$folder"/lib/lib{cudnn,cublas,cublasLt}.so.*; do
      [ -e "$library" ] || continue
      name=$(basename "$library")
      ln -sf "$library" "$links/$name"
      ln -sf "$library" "$links/${name%%.so.*}.so"
    done
    for name in "$folder"/include/cudnn*.h; do [ -e "$name" ] && ln -sf "$name" "$links/include/"; done
  done
  return 0
}

table=()
# What a log comes to: the median milliseconds in it, or its last line.
summary() {
  local times
  times=$(grep -oE '"(median_)?ms": ?[0-9.e+-]+' "$1" | sed 's/.*: *//' | head -5 | xargs printf '%.3g ' 2>/dev/null) || times=
  if [ -n "${times// /}" ]; then echo "$times ms"; else tail -1 "$1" | cut -c1-90; fi
}
# step NAME SECONDS command…: its output to DIR/NAME.log; a line of the table. It gets no longer than what is left.
step() {
  local name=$1 most=$2 begin=$SECONDS result=ok left=$((deadline - SECONDS))
  shift 2
  if [ "$left" -lt 5 ]; then
    table+=("$(printf '%-46s left out: no time' "$name")")
    result=out
  else
    timeout $((most < left ? most : left)) "$@" >"$out/$name.log" 2>&1 || result="FAILED (exit $?)"
    table+=("$(printf '%-46s %-18s %4d s  %s' "$name" "$result" $((SECONDS - begin)) "$(summary "$out/$name.log")")")
  fi
  echo "${table[-1]}"
  [ "$result" = ok ]
}

tests() {
  step parity 120 "$bin/test-parity" || failed=1
  # what needs gnuplot or clang-format is left to machines that have them
  step tests 400 ctest --test-dir "$build" -j 8 --output-on-failure -E 'house|e2e.output|emulated|e2e.device' || failed=1
  step device-program 120 bash tests/cuda/device.sh "$bin/vapo" "$bin/json-value" "$PWD" || failed=1
}

sanitizer() {
  if command -v compute-sanitizer >/dev/null; then
    step memcheck 180 compute-sanitizer --tool memcheck --error-exitcode 9 "$bin/test-parity" || failed=1
    step racecheck 180 compute-sanitizer --tool racecheck --error-exitcode 9 "$bin/test-parity" || failed=1
  else
    table+=("compute-sanitizer is not on this machine")
  fi
}

bench() {
  local policy mode layout type
  for policy in strict fast bf16; do
    step "ops-$policy" 60 "$bin/vapo" bench ops --device cuda --precision $policy --seconds 0.1 --json || failed=1
    step "block-$policy" 60 "$bin/vapo" bench block --device cuda --precision $policy --channels 256 --batch 128 \
      --seconds 2 --json || failed=1
    step "step-$policy" 30 "$bin/vapo" bench step --device cuda --precision $policy --seconds 1 --json || failed=1
  done
  for mode in eager compiled; do
    for layout in "" --channels-last; do
      for type in "" --tf32 --bf16; do
        step "torch-$mode$layout$type" 90 python3 bench/torch_block.py --device cuda --channels 256 --batch 128 \
          --mode $mode $layout $type --seconds 1 || failed=1
      done
    done
  done
}

images() {
  local network policy mode layout type
  for network in unet wide_resnet; do
    for policy in strict fast bf16; do
      step "$network-$policy" 40 "$bin/vapo" bench step --network $network --batch 128 --device cuda \
        --precision $policy --seconds 3 --json || failed=1
    done
  done
  for mode in eager compiled; do  # the quick ones of both networks first
    for network in unet wide_resnet; do
      for layout in --channels-last ""; do
        for type in --bf16 --tf32; do
          step "torch-$network-$mode$layout$type" 100 python3 bench/torch_unet.py --network $network --batch 128 \
            --device cuda --mode $mode $layout $type --seconds 2 || failed=1
        done
      done
    done
  done
}

run() {
  deadline=$((SECONDS + 60 * ${VAPO_GPU_MINUTES:-8}))
  out=$(mkdir -p "${1:-build/gpu}" && cd "${1:-build/gpu}" && pwd)
  [ $# -eq 0 ] || shift
  local part parts=("$@")
  [ $# -gt 0 ] || parts=(tests sanitizer bench images)
  for part in "${parts[@]}"; do
    case $part in
      tests | sanitizer | bench | images) ;;
      *) echo "gpu-host.sh: '$part' is no part of run: tests, sanitizer, bench, images" >&2 && exit 2 ;;
    esac
  done
  compgen -G "$bundle/*.deb" >/dev/null || { echo "gpu-host.sh: no $bundle. Hint: tools/gpu-host.sh prepare, where there is a network" >&2 && exit 1; }
  build=$PWD/build/gpu-host
  local libraries=$PWD/build/gpu-libraries package link target
  mkdir -p "$libraries"
  for package in "$bundle"/*.deb; do dpkg-deb -x "$package" "$libraries"; done
  find "$libraries" -type l -lname '/*' | while read -r link; do  # libz.so names its library by the system's path
    target=$libraries$(readlink "$link")
    if [ -e "$target" ]; then ln -sfn "$target" "$link"; fi
  done
  link_cuda_libraries
  local found=$libraries/usr/lib/x86_64-linux-gnu
  # Debian's alternatives put LAPACK and BLAS into folders of their own
  export LD_LIBRARY_PATH=$found:$found/lapack:$found/blas:$links${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export CPLUS_INCLUDE_PATH=$libraries/usr/include/x86_64-linux-gnu${CPLUS_INCLUDE_PATH:+:$CPLUS_INCLUDE_PATH}  # zconf.h, jconfig.h
  {
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
    nvcc --version | tail -2
    git rev-parse --short HEAD 2>/dev/null || true
  } 2>&1 | tee "$out/machine.txt"

  step configure 120 cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DVAPO_CUDA=ON \
    -DCMAKE_PREFIX_PATH="$libraries/usr" \
    -DCMAKE_LIBRARY_PATH="$links;$libraries/usr/lib/x86_64-linux-gnu" \
    -DCMAKE_INCLUDE_PATH="$links/include;$libraries/usr/include" || { tail -20 "$out/configure.log"; exit 1; }
  step build 900 cmake --build "$build" || { grep -E "error|FAILED" "$out/build.log" | head -20; exit 1; }
  bin=$build/bin failed=0
  for part in "${parts[@]}"; do $part; done
  printf '\n%s\n' "$(cat "$out/machine.txt")"
  printf '%s\n' "${table[@]}" | tee "$out/table.txt"
  return $failed
}

case ${1:-} in
  prepare) prepare ;;
  run) shift && run "$@" ;;
  *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
