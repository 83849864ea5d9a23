#!/usr/bin/env bash
# kill -9 at random moments of training, sampling and evaluations, and disks that fill while they write: after each, the
# folder must open, the command must go on, and in the end every bit must be that of a run which nothing disturbed.
# Prints what happened as Markdown; exit 1 where anything was lost. docs/reliability.md has its numbers.
set -u
kills=1000 fills=200 seed=1 folder=
usage() {
  echo "usage: tools/hardening.sh [--kills N] [--fills N] [--seed N] [--folder DIR]   (1000, 200, 1, one that is removed again)"
  exit "$1"
}
while [ $# -gt 0 ]; do
  case $1 in
    --kills | --fills | --seed) [[ ${2-} =~ ^[0-9]+$ ]] || usage 2 >&2 ;;&
    --kills) kills=$2 ;;
    --fills) fills=$2 ;;
    --seed) seed=$2 ;;
    --folder) folder=${2:?} ;;
    --help) usage 0 ;;
    *) usage 2 >&2 ;;
  esac
  shift 2
done
root=$(cd "$(dirname "$0")/.." && pwd)
vapo=${VAPO:-$root/build/release/bin/vapo}
[ -x "$vapo" ] || { echo "hardening: no $vapo. Hint: cmake --preset release && cmake --build --preset release" >&2; exit 1; }

# Disks are small file systems in memory, in a name space of mounts that ends with this script.
disks=${HARDENING_DISKS-}
if [ -z "$disks" ] && [ "$fills" -gt 0 ]; then
  again=("$0" --kills "$kills" --fills "$fills" --seed "$seed" ${folder:+--folder "$folder"})
  for rights in "" "--map-root-user"; do
    # shellcheck disable=SC2086  # no word where there is none
    unshare --mount $rights bash -c 'd=$(mktemp -d) && mount -t tmpfs -o size=64k none "$d" && umount "$d"; r=$?; rmdir "$d"; exit $r' \
      2>/dev/null || continue
    export HARDENING_DISKS=mounts
    exec unshare --mount $rights bash "${again[@]}"
  done
  echo "hardening: this system lets us mount nothing: full disks are played by a limit on the size of files" >&2
  disks=files
fi

if [ -z "$folder" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder" && cd "$folder" || exit 5
export OMP_NUM_THREADS=1
RANDOM=$seed
exec {never}<> <(:)

# --- the commands, tiny: pictures of 8×8 pixels, and the work of half a second each

# shellcheck source=tests/apps/tiny_images.sh
. "$root/tests/apps/tiny_images.sh"
idx train 200 1
idx t10k 60 2
cat >points.toml <<'TOML'
[data]
set = "two_moons"
[model]
hidden = [16, 16]
[train]
steps = 1000
batch_size = 32
checkpoint_every = 20
log_every = 11
TOML
images_toml unet data.held_out=0.2 data.dequantize=true unet.base_width=4 'unet.attention_downsamplings=[]' unet.groups=2 \
  train.steps=100 train.batch_size=4 train.learning_rate=1e-3 train.checkpoint_every=20 train.sample_every=40 train.validate_every=50 \
  train.log_every=5 sample.grid=4 >images.toml
names=("train points" "train images" "sample" "ood" "fid")
weights=(2 3 1 1 1)  # of the kills; more than half are training's

# start NAME FOLDER: the command, its results in FOLDER.
start() {
  case $1 in
    "train "*) exec "$vapo" train "${1#train }.toml" --out "$2" --resume --threads 1 ;;
    sample)
      mkdir -p "$2"
      exec "$vapo" sample whole/images -n 256 --steps 4 --threads 1 --save "$2/s.npz" --grid "$2/s.png" ;;
    ood) exec "$vapo" ood whole/images --out black.npy --threads 1 --folder "$2" ;;
    fid) exec "$vapo" fid --features c.safetensors --data set --ref mnist:test --samples whole/images -n 64 --steps 8 \
      --batch-size 16 --threads 1 --out "$2" ;;
  esac
}
# Where the uninterrupted results are.
whole() { case $1 in "train "*) echo "whole/${1#train }" ;; *) echo "whole/$1" ;; esac }

# --- what must hold

without_times() { sed -E 's/"(seconds|seconds_per_step|steps_per_second|peak_bytes|machine)": ?("[^"]*"|[^,}]*),?//g' "$1"; }
lines() { without_times "$1" | sed 's/[ ,]*}$/}/'; }

temporaries() { find "$1" -name '.*.tmp-*' 2>/dev/null | wc -l; }
newest() {
  local file step best=-1
  for file in "$1"/checkpoint-*.safetensors; do
    step=${file##*-} step=${step%.safetensors}
    [ -e "$file" ] && [ "$step" -gt $best ] && best=$step
  done
  echo "$best"
}

# opens NAME FOLDER: every file under a final name is whole. Says what is not.
opens() {
  local file
  [ "$(temporaries "$2")" -le 2 ] || echo "temporary files pile up: $(find "$2" -name '.*.tmp-*' | tr '\n' ' ')"
  for file in "$2"/*.safetensors "$2"/*.npy; do
    [ -e "$file" ] && [ ! "$file" -ot "$2.began" ] && ! "$vapo" info "$file" >/dev/null 2>info && cat info
  done
  for file in "$2"/*.png; do
    [ -e "$file" ] && [ "$(tail -c 8 "$file" | head -c 4)" != IEND ] && echo "$file is a part of a picture"
  done
  case $1 in
    "train "*)
      [ -e "$2/latest" ] && [ ! -e "$2/$(cat "$2/latest")" ] && echo "latest names $(cat "$2/latest"), which is not there"
      [ -e "$2/config.toml" ] && ! "$vapo" report "$2" --out page.html >/dev/null 2>info && cat info
      ;;
    sample)
      for file in s.npz s.png; do
        [ -e "$2/$file" ] && ! cmp -s "$2/$file" "$(whole sample)/$file" && echo "$file is there, and another"
      done
      ;;
    *) [ -e "$2/request.json" ] && ! "$vapo" report "$2" --out page.html >/dev/null 2>info && cat info ;;
  esac
  return 0
}

# same NAME FOLDER: its results are those of the uninterrupted command. Says what is not.
same() {
  local file from
  from=$(whole "$1")
  [ "$(temporaries "$2")" = 0 ] || echo "temporary files are left: $(find "$2" -name '.*.tmp-*' | tr '\n' ' ')"
  for file in "$from"/*; do
    case ${file##*/} in
      events.* | report.html | samples-0*.npz) ;;  # with times in them; parts that hold times
      metrics.jsonl | result.json | request.json)
        [ "$(lines "$file")" = "$(lines "$2/${file##*/}")" ] || echo "${file##*/} differs" ;;
      *) cmp -s "$file" "$2/${file##*/}" || echo "${file##*/} differs" ;;
    esac
  done
  for file in "$2"/*; do
    [[ ${file##*/} = events.* ]] || [ -e "$from/${file##*/}" ] || echo "${file##*/} is too many"
  done
}

declare -A hits went_on ended lost refused
lose() {  # KIND NAME FOLDER REASON
  lost[$1:$2]=$((${lost[$1:$2]-0} + 1))
  echo "hardening: $1, $2: $(tr '\n' ';' <<<"$4")" >&2
  rm -rf "lost-$1-${2// /-}"
  cp -r "$3" "lost-$1-${2// /-}" 2>/dev/null
}

below() { echo $(((RANDOM << 15 | RANDOM) % $1)); }

# --- uninterrupted, and how long that takes

head -c $((60 * 64)) /dev/zero | npy black.npy '(60, 8, 8)'
mkdir -p whole
"$vapo" classifier train mnist --data set --epochs 1 --batch-size 16 --shift 0 --out c.safetensors --threads 1 >out 2>err ||
  { cat err >&2; exit 1; }
declare -A takes needs
for name in "${names[@]}"; do
  for attempt in 1 2; do  # the first one warms the system's caches
    rm -rf "$(whole "$name")"
    begin=${EPOCHREALTIME/./}
    (start "$name" "$(whole "$name")") >out 2>err || { echo "hardening: $name fails undisturbed: $(tail -1 err)" >&2; exit 1; }
    takes[$name]=$((${EPOCHREALTIME/./} - begin))
  done
  needs[$name]=$(du -sk "$(whole "$name")" | cut -f1)
done

# --- kills

# One start of NAME, killed at a random moment of the time that it takes; afterwards what must hold is looked at.
declare -A step_before
killed_once() {
  local name=$1 at problems status run="runs/${1// /-}"
  mkdir -p runs
  [ -e "$run" ] && went_on[kill:$name]=$((${went_on[kill:$name]-0} + 1))
  at=$(below "${takes[$name]}")
  touch "$run.began"  # files from before were looked at
  (start "$name" "$run") >out 2>err &
  local pid=$!
  read -rt "$((at / 1000000)).$(printf %06d $((at % 1000000)))" -u "$never"
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  status=$?
  [ -e "$run" ] || return 0  # before it had written anything, and that counts as nothing
  problems=$(opens "$name" "$run")
  grep '^vapo:\|passing over' err >said && problems+=$(cat said)
  if [[ $name = train* ]]; then
    local before=${step_before[$name]--1} now from
    now=$(newest "$run")
    [ "$now" -ge "$before" ] || problems+="the newest checkpoint was $before and is $now"
    from=$(sed -n 's/^resuming .* at step //p' err)
    [ -z "$from" ] || [ "$from" = "$before" ] || problems+="resumed at $from instead of $before"
    step_before[$name]=$now
  fi
  if [ $status = 137 ]; then
    hits[kill:$name]=$((${hits[kill:$name]-0} + 1))
  elif [ $status = 0 ]; then
    problems+=$(same "$name" "$run")
    ended[kill:$name]=$((${ended[kill:$name]-0} + 1))
  else
    problems+="exit code $status"
  fi
  [ -z "$problems" ] || lose kill "$name" "$run" "$problems"
  if [ $status != 137 ] || [ -n "$problems" ]; then
    rm -rf "$run"
    unset "step_before[$name]"
  fi
}

# --- full disks

# NAME on a disk of a random size below what it needs; when that is full, room is made and it goes on.
filled_once() {
  local name=$1 status=0 problems disk=disk size
  size=$(below "${needs[$name]}")
  mkdir -p $disk
  if [ "$disks" = mounts ]; then
    mount -t tmpfs -o "size=$((size < 4 ? 4 : size))k" none $disk || exit 5
    (start "$name" $disk/run) >out 2>err || status=$?
  else
    (ulimit -f $((size % 16)); start "$name" $disk/run) >out 2>err || status=$?
  fi
  if [ $status != 0 ]; then
    hits[fill:$name]=$((${hits[fill:$name]-0} + 1))
    problems=$(opens "$name" $disk/run)
    [ "$(temporaries $disk/run)" = 0 ] || problems+="a temporary file is left"
    [ $status = 5 ] || problems+="exit code $status: $(tail -1 err)"
    if [ "$(grep -c '^vapo:' err)" = 1 ] && [[ $(tail -1 err) = vapo:* ]] && [ ! -s out ]; then
      refused[fill:$name]=$((${refused[fill:$name]-0} + 1))
    else
      problems+="not one line: $(tail -3 err)"
    fi
    [ "$disks" = mounts ] && mount -o remount,size=64m $disk
    if (start "$name" $disk/run) >out 2>err; then
      went_on[fill:$name]=$((${went_on[fill:$name]-0} + 1))
      problems+=$(same "$name" $disk/run)
      ended[fill:$name]=$((${ended[fill:$name]-0} + 1))
    else
      problems+="does not go on: $(tail -1 err)"
    fi
    [ -z "$problems" ] || lose fill "$name" $disk/run "$problems"
  fi
  if [ "$disks" = mounts ]; then umount $disk; else rm -rf $disk; fi
}

# --- all of it, by turns

total() { local n=0 name; for name in "${names[@]}"; do n=$((n + ${hits[$1:$name]-0})); done; echo $n; }
rounds() {  # KIND HOW-MANY FUNCTION
  local begin=$SECONDS told=$SECONDS i n
  while [ "$(total "$1")" -lt "$2" ]; do
    for i in "${!names[@]}"; do
      for ((n = 0; n < weights[i] && $(total "$1") < $2; ++n)); do "$3" "${names[i]}"; done
    done
    [ $((SECONDS - told)) -lt 30 ] || { told=$SECONDS; echo "$1: $(total "$1") of $2" >&2; }
  done
  took=$((SECONDS - begin))
}
row() { printf '| %s |' "$1"; shift; printf ' %s |' "$@"; echo; }
bad=0

rounds kill "$kills" killed_once
echo "kill -9 at $kills random moments, seed $seed, $took s:"
echo
row command kills "starts in what a kill left" "ended, bits as undisturbed" lost
echo "|---|---|---|---|---|"
for name in "${names[@]}"; do
  row "$name" "${hits[kill:$name]-0}" "${went_on[kill:$name]-0}" "${ended[kill:$name]-0}" "${lost[kill:$name]-0}"
  bad=$((bad + ${lost[kill:$name]-0}))
done

rounds fill "$fills" filled_once
echo
echo "a disk that was full at $fills random moments ($([ "$disks" = mounts ] && echo "file systems of random sizes" ||
  echo "limits on the size of files")), seed $seed, $took s:"
echo
row command "full" "one line, exit code 5" "went on, bits as undisturbed" lost
echo "|---|---|---|---|---|"
for name in "${names[@]}"; do
  row "$name" "${hits[fill:$name]-0}" "${refused[fill:$name]-0}" "${ended[fill:$name]-0}" "${lost[fill:$name]-0}"
  bad=$((bad + ${lost[fill:$name]-0}))
done
[ $bad = 0 ] || { echo "hardening: $bad rounds lost something" >&2; exit 1; }
