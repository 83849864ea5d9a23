#!/usr/bin/env bash
# Everything that needs a GPU, on a machine that has NVIDIA's driver but no network and none of our packages.
#   tools/gpu-host.sh prepare   where there is a network: the libraries' Debian packages into .gpu-bundle/
#                               (ignored by git; below 40 MB), to be carried along
#   tools/gpu-host.sh pack      besides, what was built here with CUDA (build/release, or VAPO_GPU_BUILD) and the libraries it needs
#                               into .gpu-bundle/packed/: then nothing is built there
#   tools/gpu-host.sh run [--packed|--dry] [DIR [PART…]] there: does what the parts say, all by default, with what it builds or, --packed,
#                               what was packed; logs and results go to DIR (default: build/gpu), a short table to standard output.
#                               Parts, each below five minutes:
#                                 parity     every kernel beside the CPU's, the golden cases, composed potentials, failed launches
#                                 program    the program on both devices, every command (as far as a packed program goes)
#                                 tests      all other tests (built there only)
#                                 memcheck   compute-sanitizer over the kernels; racecheck: the same
#                                 racecheck
#                                 bench      operations, a residual block, the plane's step
#                                 published  the published U-Net's training step, launched and recorded, and ∇Φ
#                                 profile    where that step's time goes, kernel by kernel
#                                 sampling   1,000 images of a small U-Net by RK45; configs/mnist.toml's steps
#                                 images     a step of the U-Net and of the WideResNet, batch 128
#                                 torch-published, torch-compiled, torch-block, torch-images   the same in PyTorch;
#                                            torch-compiled takes some 400 s before it runs at all
#                               --dry tries the script where there is no GPU: programs on emulated kernels (of VAPO_GPU_BUILD), small
#                               operands, PyTorch with its meta device.
#                               Each call ends within $VAPO_GPU_MINUTES (default: 5); what there is no time for, the
#                               table says. What is built stays for the next call.
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=${VAPO_GPU_BUNDLE:-$PWD/.gpu-bundle}
libdir=usr/lib/x86_64-linux-gnu
development=(libcsv-dev libfmt-dev libhwy-dev libdnnl-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libkainjow-mustache-dev doctest-dev
  ocl-icd-opencl-dev libprotobuf-dev protobuf-compiler libpng-dev libjpeg62-turbo-dev liblapacke-dev libzip-dev zlib1g-dev
  libexif-dev libgif-dev libnetpbm-dev libstb-dev libtiff-dev libwebp-dev)
# What every machine has, or nothing of ours needs; of BLAS the plain one is enough.
assumed='^(libc6|libc6-dev|libc-bin|libc-dev-bin|linux-libc-dev|libgcc-s1|libstdc\+\+6|gcc-[0-9]+-base|libcrypt.*|debconf.*|cmake.*|.*-doc|libstdc\+\+-.*|libtirpc.*|libnsl.*|rpcsvc-proto|libgssapi.*|libk5.*|libkrb5.*|libkeyutils.*|libcom-err.*|libatlas.*|libblis.*|libopenblas.*)$'

# The packages behind those, as this release of Debian names them: libfmt9 or libfmt10, libdnnl2 or libdnnl3.
needed_packages() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    "${development[@]}" | grep -E '^[a-z0-9]' | grep -vE "$assumed" | sed 's/:.*//' | sort -u
}

prepare() {
  local packages
  mapfile -t packages < <(needed_packages)
  [ ${#packages[@]} -gt ${#development[@]} ] || { echo "gpu-host.sh: apt-cache knows none of the packages. Hint: apt-get update" >&2 && exit 1; }
  mkdir -p "$bundle"
  rm -f "$bundle"/*.deb
  (cd "$bundle" && apt-get -o APT::Sandbox::User=root download -qq "${packages[@]}")
  local size
  size=$(du -cm "$bundle"/*.deb | tail -1 | cut -f1)
  echo "$bundle: ${#packages[@]} packages, $size MB"
  [ "$size" -lt 40 ] || { echo "gpu-host.sh: the bundle must stay below 40 MB" >&2 && exit 1; }
}

packed_programs=(vapo test-parity test-composed test-launch vapo-golden json-value libvapo-kernel-trace.so)
pack() {
  local build=${VAPO_GPU_BUILD:-build/release} to=$bundle/packed program library
  rm -rf "$to"
  mkdir -p "$to/bin" "$to/lib"
  for program in "${packed_programs[@]}"; do
    [ -x "$build/bin/$program" ] || { echo "gpu-host.sh: no $build/bin/$program. Hint: build it with -DVAPO_CUDA=ON, or name the build in VAPO_GPU_BUILD" >&2 && exit 1; }
    strip -o "$to/bin/$program" "$build/bin/$program"
  done
  # of the libraries all but the system's own, and CUDA's, which come with the driver, the toolkit or PyTorch
  for library in $(ldd "$to"/bin/* | grep -oE '=> /[^ ]+' | sed 's/=> //' | sort -u); do
    case $(basename "$library") in
      libc.so* | libm.so* | ld-linux* | libpthread* | libdl.so* | librt.so* | libcuda* | libcublas* | libcudnn* | libnv*) ;;
      *) cp -L "$library" "$to/lib/" ;;
    esac
  done
  git rev-parse --short HEAD >"$to/commit" 2>/dev/null || true
  tar cJf "$bundle/packed.tar.xz" -C "$bundle" packed
  echo "$bundle/packed.tar.xz: $(du -m "$bundle/packed.tar.xz" | cut -f1) MB, commit $(cat "$to/commit")"
  rm -rf "$to"
}

# Libraries of CUDA that come with PyTorch instead of with the toolkit, under the names that a linker looks for.
link_cuda_libraries() {
  links=$out/cuda-libraries
  mkdir -p "$links/include"
  local folder library name
  for folder in $(python3 -c 'import glob, os, site
roots = [p for s in site.getsitepackages() for p in glob.glob(os.path.join(s, "nvidia", "*"))]
print("\n".join(roots))' 2>/dev/null); do
    for library in "$folder"/lib/lib{cudnn,cudnn_*,cublas,cublasLt,cudart,nvrtc}.so.*; do
      [ -e "$library" ] || continue
      name=$(basename "$library")
      ln -sf "$library" "$links/$name"
      case $name in libcudnn.so.* | libcublas*) ln -sf "$library" "$links/${name%%.so.*}.so" ;; esac
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
  [ "$how" != dry ] || most=$((100 * most))  # nothing is measured there
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

parity() {
  step parity 150 "$bin/test-parity$suffix" || failed=1
  step composed 60 "$bin/test-composed$suffix" || failed=1
  step launch 30 "$bin/test-launch$suffix" || failed=1
  step golden 100 "$bin/vapo-golden$suffix" "${goldens[@]}" || failed=1
}

program() {
  step device 90 bash tests/cuda/device.sh "$bin/vapo$suffix" "$bin/json-value" "$PWD" || failed=1
  step commands 200 bash tests/cuda/commands.sh "$bin/vapo$suffix" "$bin/json-value" "$PWD" || failed=1
}

tests() {
  if [ "$how" != build ]; then
    table+=("tests: left out: only where they are built")
    echo "${table[-1]}"
    return
  fi
  # what needs gnuplot or clang-format is left to machines that have them
  step tests 290 ctest --test-dir "$build" -j 8 --output-on-failure -E 'house|e2e|emulated|cuda' || failed=1
}

sanitize() {  # TOOL
  if ! command -v compute-sanitizer >/dev/null; then
    table+=("$1: left out: compute-sanitizer is not on this machine")
    echo "${table[-1]}"
    return
  fi
  step "$1" 290 compute-sanitizer --tool "$1" --error-exitcode 9 "$bin/test-parity$suffix" || failed=1
}
memcheck() { sanitize memcheck; }
racecheck() { sanitize racecheck; }

bench() {
  local policy
  for policy in strict fast bf16; do
    step "ops-$policy" 60 "$bin/vapo$suffix" bench ops --device cuda --precision $policy --seconds 0.05 "${small[@]}" --json || failed=1
    step "block-$policy" 40 "$bin/vapo$suffix" bench block --device cuda --precision $policy --channels $channels \
      --batch $batch --seconds 1 "${small[@]}" --json || failed=1
    step "step-$policy" 30 "$bin/vapo$suffix" bench step --device cuda --precision $policy --seconds 1 "${small[@]}" --json || failed=1
  done
}

published() {
  local policy
  for policy in bf16 fast; do
    step "published-$policy" 60 "$bin/vapo$suffix" bench step --network published --batch $batch --device cuda \
      --precision $policy --seconds 2 "${small[@]}" --json || failed=1
  done
}

profile() {
  local trace=$out/published.tsv
  step trace 60 env CUDA_INJECTION64_PATH="$bin/libvapo-kernel-trace.so" VAPO_KERNEL_TRACE="$trace" \
    "$bin/vapo$suffix" bench step --network published --only "recorded step" --batch $batch --device cuda \
    --precision bf16 --seconds 0.5 "${small[@]}" --json || { failed=1 && return; }
  if [ "$how" = dry ]; then return; fi  # nothing runs on a GPU there
  step kernels 30 python3 bench/kernel_table.py "$trace" || failed=1
  rm -f "$trace"
}

# On MNIST where VAPO_DATA has it, else on noise of the same shape, which takes as long.
sampling() {
  local data=() steps=2600 n=1000
  if [ ! -d "${VAPO_DATA:-}/mnist" ]; then
    step digits 30 python3 -c 'import sys
head = str({"descr": "|u1", "fortran_order": False, "shape": (10000, 28, 28, 1)}).ljust(117) + "\n"
with open(sys.argv[1], "wb") as file, open("/dev/urandom", "rb") as noise:
    file.write(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head.encode() + noise.read(10000 * 784))' \
      "$out/digits.npy" || { failed=1 && return; }
    data=(--set data.set=image_array --set data.path="$out/digits.npy")
  fi
  if [ "$how" = dry ]; then
    steps=1 n=2
    data+=(--set train.batch_size=2 --set unet.base_width=4 --set unet.groups=2 --set data.held_out=0 --set sample.method=euler --set sample.steps=2)
  fi
  rm -rf "$out/mnist"
  step mnist 90 "$bin/vapo$suffix" train configs/mnist.toml --device cuda --precision bf16 --out "$out/mnist" \
    --set train.steps=$steps --set train.sample_every=0 "${data[@]}" || { failed=1 && return; }
  step sample 60 "$bin/vapo$suffix" sample "$out/mnist" -n $n --device cuda --precision bf16 --save "$out/digits-drawn.npy" || failed=1
}

images() {
  local network policy
  for network in unet wide_resnet; do
    for policy in bf16 fast strict; do
      step "$network-$policy" 48 "$bin/vapo$suffix" bench step --network $network --batch $batch --device cuda \
        --precision $policy --seconds 2 "${small[@]}" --json || failed=1
    done
  done
}

# PyTorch brings its own libraries of CUDA.
torch() { step "$1" "$2" env LD_LIBRARY_PATH="$libraries_before" python3 "${@:3}" || failed=1; }
torch_step() {  # NAME SECONDS options of bench/torch_unet.py…
  torch "torch-$1" "$2" bench/torch_unet.py --batch $batch --device $torch_device --channels-last --seconds 2 \
    "${torch_options[@]}" "${@:3}"
}
torch-published() {
  torch_step published-eager 60 --network published --bf16
  torch_step published-recorded 90 --network published --bf16 --recorded
  torch_step published-tf32-recorded 90 --network published --tf32 --recorded
}
torch-compiled() { torch_step published-compiled 560 --network published --bf16 --mode compiled; }
torch-block() {
  local mode layout type
  for mode in eager compiled; do  # the quick ones first: what there is no time for is left out
    for layout in --channels-last ""; do
      for type in --bf16 --tf32 ""; do
        torch "torch-block-$mode$layout$type" 60 bench/torch_block.py --device $torch_device --channels $channels \
          --batch $batch --mode $mode $layout $type --seconds 1 "${torch_options[@]}"
      done
    done
  done
}
torch-images() {
  local network mode layout type
  for mode in eager compiled; do
    for network in unet wide_resnet; do
      for layout in --channels-last ""; do
        for type in --bf16 --tf32; do
          torch "torch-$network-$mode$layout$type" 120 bench/torch_unet.py --network $network --batch $batch \
            --device $torch_device --mode $mode $layout $type --seconds 2 "${torch_options[@]}"
        done
      done
    done
  done
}

all_parts=(parity program bench published profile sampling images memcheck racecheck torch-published torch-compiled torch-block torch-images tests)

# The packages' and CUDA's libraries, where a linker and a loader find them; and everything is built.
build_here() {
  compgen -G "$bundle/*.deb" >/dev/null || { echo "gpu-host.sh: no $bundle. Hint: tools/gpu-host.sh prepare, where there is a network" >&2 && exit 1; }
  local libraries=$PWD/build/gpu-libraries package link target
  mkdir -p "$libraries"
  for package in "$bundle"/*.deb; do dpkg-deb -x "$package" "$libraries"; done
  find "$libraries" -type l -lname '/*' | while read -r link; do  # libz.so names its library by the system's path
    target=$libraries$(readlink "$link")
    if [ -e "$target" ]; then ln -sfn "$target" "$link"; fi
  done
  link_cuda_libraries
  local found=$libraries/$libdir
  # Debian's alternatives put LAPACK and BLAS into folders of their own
  export LD_LIBRARY_PATH=$found:$found/lapack:$found/blas:$links${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export CPLUS_INCLUDE_PATH=$libraries/usr/include/x86_64-linux-gnu${CPLUS_INCLUDE_PATH:+:$CPLUS_INCLUDE_PATH}  # zconf.h, jconfig.h
  build=$PWD/build/gpu-host bin=$PWD/build/gpu-host/bin
  step configure 120 cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DVAPO_CUDA=ON \
    -DCMAKE_PREFIX_PATH="$libraries/usr" \
    -DCMAKE_LIBRARY_PATH="$links;$libraries/$libdir" \
    -DCMAKE_INCLUDE_PATH="$links/include;$libraries/usr/include" || { tail -20 "$out/configure.log"; exit 1; }
  step build 900 cmake --build "$build" || { grep -E "error|FAILED" "$out/build.log" | head -20; exit 1; }
}

unpack() {
  [ -s "$bundle/packed.tar.xz" ] || { echo "gpu-host.sh: no $bundle/packed.tar.xz. Hint: tools/gpu-host.sh pack, where it was built" >&2 && exit 1; }
  tar xJf "$bundle/packed.tar.xz" -C "$out"
  link_cuda_libraries
  bin=$out/packed/bin
  export LD_LIBRARY_PATH=$out/packed/lib:$links:/usr/local/cuda/lib64${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
}

run() {
  local part
  how=build
  deadline=$((SECONDS + 60 * ${VAPO_GPU_MINUTES:-5}))
  case ${1:-} in
    --packed | --dry) how=${1#--} && shift ;;
    -*) echo "gpu-host.sh: run takes --packed or --dry, not $1" >&2 && exit 2 ;;
  esac
  local out=${1:-build/gpu}
  [ $# -eq 0 ] || shift
  local parts=("$@")
  [ $# -gt 0 ] || parts=("${all_parts[@]}")
  for part in "${parts[@]}"; do
    [[ " ${all_parts[*]} " == *" $part "* ]] || { echo "gpu-host.sh: '$part' is no part of run: ${all_parts[*]}" >&2 && exit 2; }
  done
  out=$(mkdir -p "$out" && cd "$out" && pwd)
  libraries_before=${LD_LIBRARY_PATH:-}
  suffix='' batch=128 channels=256 torch_device=cuda small=() torch_options=() goldens=(tests/golden/cases) failed=0
  {
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader || true
    git rev-parse --short HEAD || true
  } >"$out/machine.txt" 2>&1
  case $how in
    build) build_here ;;
    packed) unpack && cat "$out/packed/commit" >>"$out/machine.txt" ;;
    dry)
      bin=$(cd "${VAPO_GPU_BUILD:-build/release}/bin" && pwd)
      suffix=-emulated batch=2 channels=32 torch_device=meta small=(--quick) torch_options=(--check)
      goldens=(tests/golden/cases/*norm*.safetensors)
      ;;
  esac
  for part in "${parts[@]}"; do $part; done
  printf '\n%s\n' "$(cat "$out/machine.txt")"
  printf '%s\n' "${table[@]}" | tee "$out/table.txt"
  return $failed
}

case ${1:-} in
  prepare) prepare ;;
  pack) pack ;;
  run) shift && run "$@" ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2 && exit 2 ;;
esac
