#!/usr/bin/env bash
# A command on several hosts that are network namespaces of this machine, with links of a given rate between them:
#   tools/many-hosts.sh [--hosts N] [--rate 1gbit] [--latency MS] [--vanish SECONDS] COMMAND…
# Runs COMMAND by mpirun, one rank on each of N hosts (default 4), over TCP. --latency: a message from one host to another takes so
# many milliseconds more (delay_link.py); --vanish: the last host's link goes down after so long. Needs root, iproute2 and Open MPI,
# and for a latency python3. Its exit code is mpirun's; says the bytes that crossed the links.
set -euo pipefail

hosts=4 rate=1gbit latency='' vanish=''
while [ $# -gt 0 ]; do
  case $1 in
    --hosts) hosts=${2:?} && shift 2 ;;
    --rate) rate=${2:?} && shift 2 ;;
    --latency) latency=${2:?} && shift 2 ;;
    --vanish) vanish=${2:?} && shift 2 ;;
    --*) sed -n '2,7s/^# \{0,1\}//p' "$0" >&2 && exit 2 ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2 && exit 2; }
[ "$(id -u)" = 0 ] || { echo "many-hosts.sh: it takes root" >&2 && exit 77; }
command -v mpirun >/dev/null || { echo "many-hosts.sh: no mpirun here" >&2 && exit 77; }

name=vapo$$ net=10.77.0 delay='' scratch=$(mktemp -d)
# shellcheck disable=SC2317  # by the trap
finish() {
  for ((k = 1; k <= hosts; ++k)); do
    pids=$(ip netns pids "$name-$k" 2>/dev/null) || continue
    # shellcheck disable=SC2086  # several
    [ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
    ip netns del "$name-$k"
  done
  ip link del "${name}b" 2>/dev/null || true
  [ -z "$delay" ] || kill "$delay" 2>/dev/null || true
  rm -rf "$scratch"
}
trap finish EXIT

ip link add name "${name}b" type bridge
ip link set "${name}b" up
if [ -n "$latency" ]; then
  # half of it on each side of the bridge; large frames, for they pass through a program
  pairs=()
  for ((k = 1; k <= hosts; ++k)); do pairs+=("${name}v$k:${name}e$k"); done
  half=$(awk -v ms="$latency" 'BEGIN { print ms / 2 }')
  mkfifo "$scratch/ready"
  "$(dirname "$0")/delay_link.py" "$half" "${pairs[@]}" >"$scratch/ready" &
  delay=$!
  read -r _ <"$scratch/ready" || { echo "many-hosts.sh: no delayed links here" >&2 && exit 77; }
fi
list=
for ((k = 1; k <= hosts; ++k)); do
  ip netns add "$name-$k"
  if [ -n "$latency" ]; then
    ip link set "${name}e$k" netns "$name-$k" name eth0 mtu 60000
    ip link set "${name}v$k" mtu 60000
  else
    ip link add "${name}v$k" type veth peer name eth0 netns "$name-$k"
  fi
  ip link set "${name}v$k" master "${name}b" up
  ip -n "$name-$k" addr add "$net.$k/24" dev eth0
  ip -n "$name-$k" link set eth0 up
  ip -n "$name-$k" link set lo up
  ip netns exec "$name-$k" tc qdisc add dev eth0 root tbf rate "$rate" burst 256kb latency 100ms
  list+=${list:+,}$net.$k:1
done
# What mpirun starts its daemons by, in the place of ssh: in the namespace of that address, as a host of its own name.
cat >"$scratch/agent" <<AGENT
#!/bin/sh
k=\${1##*.}
shift
exec ip netns exec $name-\$k unshare --uts sh -c "hostname host\$k; \$*"
AGENT
chmod +x "$scratch/agent"

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
if [ -n "$vanish" ]; then (sleep "$vanish" && ip link set "${name}v$hosts" down) & fi
code=0
ip netns exec "$name-1" unshare --uts sh -c 'hostname host1 && exec "$@"' - mpirun -q --host "$list" --mca plm_rsh_agent "$scratch/agent" \
  --mca orte_keep_fqdn_hostnames 1 --mca oob_tcp_if_include "$net.0/24" --mca btl self,tcp --mca btl_tcp_if_include "$net.0/24" \
  --mca oob_tcp_keepalive_time 5 --mca oob_tcp_keepalive_intvl 5 --mca oob_tcp_keepalive_probes 3 \
  --bind-to none -x OMP_NUM_THREADS "$@" || code=$?
bytes=0
for ((k = 1; k <= hosts; ++k)); do bytes=$((bytes + $(cat "/sys/class/net/${name}v$k/statistics/rx_bytes"))); done
echo "many-hosts.sh: $hosts hosts at $rate${latency:+ and $latency ms} sent $bytes bytes; exit code $code" >&2
exit $code
