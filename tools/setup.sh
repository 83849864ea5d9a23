#!/usr/bin/env bash
# Installs the Debian packages that are missing, and says which. Arguments: "build" (compile and run vapo), "test"
# (what the tests need on top), "package" (what tools/package.sh does). Run as root, or with sudo at hand; where nothing is missing neither is needed. Without
# apt-get it installs nothing, and names what this machine lacks.
set -euo pipefail

# ocl-icd-opencl-dev: libdnnl-dev's CMake package looks for OpenCL and does not depend on it
build=(g++ cmake ninja-build libcsv-dev libfmt-dev libhwy-dev libdnnl-dev ocl-icd-opencl-dev nlohmann-json3-dev libcli11-dev
  libtomlplusplus-dev libkainjow-mustache-dev gnuplot-nox
  libexif-dev libgif-dev libjpeg62-turbo-dev libnetpbm-dev libpng-dev libstb-dev libtiff-dev libwebp-dev
  liblapacke-dev
  libprotobuf-dev protobuf-compiler
  libzip-dev
  zlib1g-dev)
test=(doctest-dev git pkg-config xz-utils)
package=(dpkg-dev file)
# Of "test", where this Debian has them; what needs them is skipped where not, and says so.
optional=(clang-format-14 chromium-headless-shell libopenmpi-dev openmpi-bin)

# The same by what a compiler and a shell find, for other systems: programs, and headers with the library's name.
build_programs=(cmake ninja protoc)
build_headers=(csv.h:libcsv fmt/format.h:fmt hwy/highway.h:Highway dnnl.hpp:oneDNN omp.h:OpenMP nlohmann/json.hpp:nlohmann-json
  CLI/CLI.hpp:CLI11 toml++/toml.h:toml++ kainjow/mustache.hpp:mustache jpeglib.h:libjpeg lapacke.h:LAPACKE png.h:libpng
  google/protobuf/message_lite.h:Protobuf zip.h:libzip zlib.h:zlib libexif/exif-data.h:libexif gif_lib.h:giflib
  netpbm/pam.h:netpbm stb/stb_image.h:stb tiffio.h:libtiff webp/demux.h:libwebp)
test_programs=(git pkg-config xz)
test_headers=(doctest/doctest.h:doctest)

packages=() programs=() headers=()
for set in "${@:-build}"; do
  case $set in
    build) packages+=("${build[@]}") programs+=("${build_programs[@]}") headers+=("${build_headers[@]}") ;;
    test) packages+=("${test[@]}" "${optional[@]}") programs+=("${test_programs[@]}") headers+=("${test_headers[@]}") ;;
    package) packages+=("${package[@]}") programs+=(dpkg-shlibdeps file) ;;
    *) echo "setup.sh: '$set' is no set of packages: build, test, package" >&2 && exit 2 ;;
  esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  lacking=()
  compiler=${CXX:-c++}
  if ! command -v "$compiler" >/dev/null; then
    lacking+=("a C++20 compiler ($compiler; without it libraries cannot be looked for)")
    headers=()
  fi
  for program in "${programs[@]}"; do command -v "$program" >/dev/null || lacking+=("$program"); done
  include=()  # where CMake will look as well
  IFS=: read -ra prefixes <<<"${CMAKE_PREFIX_PATH:-}"
  for prefix in "${prefixes[@]//;/ }"; do for folder in $prefix; do include+=(-I "$folder/include"); done; done
  while IFS= read -r line; do lacking+=("${line#lacking }"); done < <(
    for entry in ${headers[@]+"${headers[@]}"}; do
      printf '#if !__has_include(<%s>)\nlacking %s (%s)\n#endif\n' "${entry%%:*}" "${entry##*:}" "${entry%%:*}"
    done | "$compiler" -std=c++20 "${include[@]}" -E -P -x c++ - 2>/dev/null | grep '^lacking')
  [ ${#lacking[@]} = 0 ] && exit 0
  list=$(printf '%s, ' "${lacking[@]}")
  echo "setup.sh: no apt-get here, and missing: ${list%, }. Hint: install them by your system's means; Debian's packages are ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
    ?i*) ;;
    *) missing+=("$package") ;;
  esac
done
[ ${#missing[@]} = 0 ] && exit 0
is_optional() { [[ " ${optional[*]} " == *" $1 "* ]]; }
needed=0
for package in "${missing[@]}"; do is_optional "$package" || needed=1; done

as_root=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "setup.sh: missing: ${missing[*]}. Hint: run as root: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit $needed
  fi
  as_root=(sudo)
fi
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq "$@"; }
apt update >/dev/null || echo "setup.sh: apt-get update failed: going on with the package lists that are here" >&2
packages=() absent=()
for package in "${missing[@]}"; do
  if is_optional "$package" && ! apt-cache show "$package" >/dev/null 2>&1; then absent+=("$package"); else packages+=("$package"); fi
done
[ ${#absent[@]} = 0 ] || echo "setup.sh: not in this system's archive: ${absent[*]}. What needs them is skipped" >&2
[ ${#packages[@]} = 0 ] && exit 0
echo "installing: ${packages[*]}" >&2
apt install -y --no-install-recommends "${packages[@]}" >/dev/null ||
  { echo "setup.sh: apt-get could not install ${packages[*]}: its lines above say why" >&2 && exit 1; }
