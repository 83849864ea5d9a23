#!/usr/bin/env bash
# Everything that needs a GPU, on a machine that has nvcc, CMake and ninja but no network and none of our packages.
#   tools/gpu-host.sh prepare   where there is a network: the libraries' Debian packages into .gpu-bundle/
#                               (ignored by git; below 40 MB), to be carried along
#   tools/gpu-host.sh run [DIR] there: builds, runs all tests on both devices, the parity table, compute-sanitizer's
#                               memcheck and racecheck over the kernels, and the benchmarks beside PyTorch's; logs and
#                               results go to DIR (default: build/gpu), a short table to standard output
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
    libzip-dev libzip4
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
# step NAME command…: its output to DIR/NAME.log; a line of the table.
step() {
  local name=$1 begin=$SECONDS result=ok
  shift
  "$@" >"$out/$name.log" 2>&1 || result="FAILED (exit $?)"
  table+=("$(printf '%-24s %-18s %4d s  %s' "$name" "$result" $((SECONDS - begin)) "$(tail -1 "$out/$name.log" | cut -c1-90)")")
  echo "${table[-1]}"
  [ "$result" = ok ]
}

run() {
  out=$(mkdir -p "${1:-build/gpu}" && cd "${1:-build/gpu}" && pwd)
  compgen -G "$bundle/*.deb" >/dev/null || { echo "gpu-host.sh: no $bundle. Hint: tools/gpu-host.sh prepare, where there is a network" >&2 && exit 1; }
  local build=$PWD/build/gpu-host libraries=$PWD/build/gpu-libraries package
  mkdir -p "$libraries"
  for package in "$bundle"/*.deb; do dpkg-deb -x "$package" "$libraries"; done
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

  step configure cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DVAPO_CUDA=ON \
    -DCMAKE_PREFIX_PATH="$libraries/usr" \
    -DCMAKE_LIBRARY_PATH="$links;$libraries/usr/lib/x86_64-linux-gnu" \
    -DCMAKE_INCLUDE_PATH="$links/include;$libraries/usr/include" || { tail -20 "$out/configure.log"; exit 1; }
  step build cmake --build "$build" || { grep -E "error|FAILED" "$out/build.log" | head -20; exit 1; }
  local bin=$build/bin failed=0
  step parity "$bin/test-parity" || failed=1
  # what needs gnuplot or clang-format is left to machines that have them
  step tests ctest --test-dir "$build" -j 8 --output-on-failure -E 'house|e2e.output|emulated|e2e.device' || failed=1
  step device-program bash tests/cuda/device.sh "$bin/vapo" "$bin/json-value" "$PWD" || failed=1
  if command -v compute-sanitizer >/dev/null; then
    step memcheck timeout 120 compute-sanitizer --tool memcheck --error-exitcode 9 "$bin/test-parity" || failed=1
    step racecheck timeout 120 compute-sanitizer --tool racecheck --error-exitcode 9 "$bin/test-parity" || failed=1
  else
    table+=("compute-sanitizer        not on this machine")
  fi
  local policy
  for policy in strict fast bf16; do
    step "ops-$policy" "$bin/vapo" bench ops --device cuda --precision $policy --seconds 0.1 --json || failed=1
    step "block-$policy" "$bin/vapo" bench block --device cuda --precision $policy --channels 256 --batch 128 \
      --seconds 2 --json || failed=1
    step "step-$policy" "$bin/vapo" bench step --device cuda --precision $policy --seconds 1 --json || failed=1
  done
  local mode layout type
  for mode in eager compiled; do
    for layout in "" --channels-last; do
      for type in "" --tf32 --bf16; do
        step "torch-$mode$layout$type" timeout 90 python3 bench/torch_block.py --device cuda --channels 256 \
          --batch 128 --mode $mode $layout $type --seconds 1 || failed=1
      done
    done
  done
  printf '\n%s\n' "$(cat "$out/machine.txt")"
  printf '%s\n' "${table[@]}" | tee "$out/table.txt"
  return $failed
}

case ${1:-} in
  prepare) prepare ;;
  run) run "${2:-}" ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
esac
