#!/usr/bin/env bash
# A minimal Debian in a folder, with git and nothing of ours, and in it the README's two commands on a clone of the last
# commit, timed:
#   tools/bare-machine.sh [bookworm|trixie] [OPTION…] [-- COMMAND…]
#     --user          as a user with sudo, instead of as root
#     --folder DIR    makes the system there and leaves it, or goes on in the one that an earlier call left
#     --cuda          this machine's CUDA toolkit is seen in it
#     --beside DIR    this machine's DIR is seen beside the clone, under its name
#     --quiet         no table at the end: the last lines are those of the last command
#     --check         makes nothing: whether this machine can (0), or why not (77)
#     COMMAND…        instead of ./tools/demo.sh and ./tools/test.sh; each is one word, a shell command line
# Needs root and debootstrap. Mounts live in a namespace of their own and end with the call.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

suite=bookworm user=root folder= beside= cuda=0 check=0 quiet=0 commands=()
while [ $# -gt 0 ]; do
  case $1 in
    bookworm | trixie) suite=$1 ;;
    --user) user=someone ;;
    --folder) folder=${2:?bare-machine.sh: --folder wants a folder} && shift ;;
    --beside) beside=$(cd "${2:?bare-machine.sh: --beside wants a folder}" && pwd) && shift ;;
    --cuda) cuda=1 ;;
    --quiet) quiet=1 ;;
    --check) check=1 ;;
    --) shift && commands=("$@") && break ;;
    *) sed -n '2,13s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
  esac
  shift
done
[ ${#commands[@]} -gt 0 ] || commands=(./tools/demo.sh ./tools/test.sh)

cannot() { echo "bare-machine.sh: no bare system can be made here: $1" >&2 && exit 77; }
[ "$(id -u)" = 0 ] || cannot "it takes root"
command -v debootstrap >/dev/null || cannot "debootstrap is not installed"
unshare --mount --pid --fork true 2>/dev/null || cannot "namespaces are not allowed"
[ $check = 0 ] || exit 0

keep=1
if [ -z "$folder" ]; then
  keep=0
  folder=$(mktemp -d "${TMPDIR:-/var/tmp}/vapo-$suite-XXXXXX")
fi
mkdir -p "$folder"
chmod 755 "$folder"  # the root of a system, which all of its users read
folder=$(cd "$folder" && pwd)
running=
finish() {
  [ -z "$running" ] || { kill -KILL "$running" && wait "$running"; } 2>/dev/null  # and with it all that runs in the system
  [ $keep = 1 ] || rm -rf --one-file-system "$folder"
}
trap finish EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

home=/root
[ "$user" = root ] || home=/home/$user
inside() {  # COMMAND…: as root in the system, whose processes end with it; takes the place of the shell that calls it
  exec unshare --mount --propagation private --pid --fork --kill-child bash -c '
    set -e
    folder=$1 toolkit=$2 beside=$3 home=$4 && shift 4
    mount -t proc proc "$folder/proc"
    mount --rbind /sys "$folder/sys"
    mount --rbind /dev "$folder/dev"
    if [ -n "$toolkit" ]; then
      mkdir -p "$folder$toolkit"
      mount --bind -o ro "$toolkit" "$folder$toolkit"
      [ "$toolkit" = /usr/local/cuda ] || ln -sfn "$toolkit" "$folder/usr/local/cuda"
    fi
    if [ -n "$beside" ]; then
      mkdir -p "$folder$home/$(basename "$beside")"
      mount --bind -o ro "$beside" "$folder$home/$(basename "$beside")"
    fi
    exec chroot "$folder" env -i --default-signal=INT,QUIT HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"' bash "$folder" "$toolkit" "$beside" "$home" "$@"
}
toolkit=
if [ $cuda = 1 ] && nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null); then
  # The compiler says where its toolkit is: what is found on the PATH may be a script that calls it.
  toolkit=$("$nvcc" -v --dryrun -x cu /dev/null 2>&1 | sed -n 's/^#\$ TOP=//p')
  toolkit=$(readlink -f "${toolkit:?bare-machine.sh: $nvcc does not say where its toolkit is}")
fi

if [ ! -e "$folder/made-by-bare-machine" ]; then
  begin=$SECONDS
  [ -z "$(ls -A "$folder")" ] || { echo "bare-machine.sh: $folder is not empty, and not a system of this script. Hint: another --folder" >&2 && exit 2; }
  mirror=$(apt-get indextargets --format '$(ORIGIN) $(CODENAME) $(SITE)' 2>/dev/null | awk '$1 == "Debian" && $2 !~ /-/ { print $3; exit }')
  log=$(mktemp)
  debootstrap --variant=minbase --include=git,ca-certificates "$suite" "$folder" $mirror >"$log" 2>&1 ||
    { tail -5 "$log" >&2 && echo "bare-machine.sh: debootstrap failed" >&2 && exit 1; }
  rm -f "$log"
  cp -L /etc/resolv.conf "$folder/etc/resolv.conf" 2>/dev/null || true
  echo "127.0.0.1 localhost $(hostname)" >"$folder/etc/hosts"  # sudo looks for itself
  apt-config dump 2>/dev/null | grep -E '^Acquire::[a-z]+::(Proxy|CAInfo)' >"$folder/etc/apt/apt.conf.d/90host" || true
  if [ "$user" != root ]; then
    (inside bash -c "apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends sudo &&
      useradd -m -s /bin/bash $user && echo '$user ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/$user") >/dev/null 2>&1
  fi
  git -C "$root" -c safe.directory='*' bundle create -q "$folder$home/vapo.bundle" HEAD
  chmod a+r "$folder$home/vapo.bundle"
  (beside= && inside su "$user" -c "cd && git clone -q vapo.bundle vapo 2>/dev/null && rm -f vapo.bundle; cd vapo && git log -1 --format='%h %s'")
  touch "$folder/made-by-bare-machine"
  echo "bare-machine.sh: $suite made in $((SECONDS - begin)) s, $(inside dpkg-query -W | wc -l) packages"
fi

table=() result=0
for command in "${commands[@]}"; do
  begin=$SECONDS
  inside su "$user" -c "cd ~/vapo && $command" </dev/null &
  running=$!
  wait $running || result=$?
  running=
  table+=("$(printf 'bare-machine.sh: %s as %s: %s: exit %d after %d s' "$suite" "$user" "$command" "$result" $((SECONDS - begin)))")
  [ $result = 0 ] || break
done
[ $quiet = 1 ] || printf '%s\n' "${table[@]}" >&2
exit $result
