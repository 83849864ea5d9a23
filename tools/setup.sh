#!/usr/bin/env bash
# Installs the Debian packages that are missing, and says which. Arguments: "build" (compile and run vapo), "test"
# (what the tests need on top). Run as root, or with sudo at hand; where nothing is missing neither is needed.
set -euo pipefail

# ocl-icd-opencl-dev: libdnnl-dev's CMake package looks for OpenCL and does not depend on it
build=(g++ cmake ninja-build libfmt-dev libhwy-dev libdnnl-dev ocl-icd-opencl-dev nlohmann-json3-dev libcli11-dev
  libtomlplusplus-dev gnuplot-nox
  libjpeg62-turbo-dev
  liblapacke-dev
  libpng-dev
  libprotobuf-dev protobuf-compiler
  libzip-dev
  zlib1g-dev)
test=(doctest-dev clang-format-14 git)
optional=(chromium-headless-shell)  # of "test": what needs it is skipped where it cannot be had

packages=()
for set in "${@:-build}"; do
  case $set in
    build) packages+=("${build[@]}") ;;
    test) packages+=("${test[@]}" "${optional[@]}") ;;
    *) echo "setup.sh: '$set' is no set of packages: build, test" >&2 && exit 2 ;;
  esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "setup.sh: no apt-get here. Install what these Debian packages hold by your system's means: ${packages[*]}" >&2
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null)" = "ii " ] || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0
is_optional() { [[ " ${optional[*]} " == *" $1 "* ]]; }
needed=0
for package in "${missing[@]}"; do is_optional "$package" || needed=1; done

as_root=()
if [ "$(id -u)" != 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "setup.sh: these packages are missing: ${missing[*]}" >&2
    echo "setup.sh: run as root: apt-get install ${missing[*]}" >&2
    exit $needed
  fi
  as_root=(sudo)
fi
"${as_root[@]}" apt-get update -qq
packages=()
for package in "${missing[@]}"; do
  ! is_optional "$package" || apt-cache show "$package" >/dev/null 2>&1 || continue
  packages+=("$package")
done
[ ${#packages[@]} = 0 ] && exit 0
echo "installing: ${packages[*]}" >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
