# Sourced after common.sh by scripts about images: functions that make a tiny set, and files of images.

u32() { printf "\\x00\\x00\\x$(printf %02x $(($1 / 256)))\\x$(printf %02x $(($1 % 256)))"; }
# 8×8 images in four classes: the left, right, top or lower half is bright.
pixels() {  # COUNT SEED
  LC_ALL=C awk -v n="$1" -v seed="$2" 'BEGIN { srand(seed); for (i = 0; i < n; ++i) for (y = 0; y < 8; ++y) for (x = 0; x < 8; ++x) {
    c = i % 4; on = c == 0 ? x < 4 : c == 1 ? x >= 4 : c == 2 ? y < 4 : y >= 4
    printf "%c", 1 + int(100 * rand()) + 120 * on } }'
}
# Folder `set`, as mnist's: its training or test part.
idx() {  # train|t10k COUNT SEED
  mkdir -p set
  { printf '\x00\x00\x08\x03'; u32 "$2"; u32 8; u32 8; pixels "$2" "$3"; } >set/$1-images-idx3-ubyte
  { printf '\x00\x00\x08\x01'; u32 "$2"
    for ((i = 0; i < $2; ++i)); do printf "\\x0$((i % 4))"; done; } >set/$1-labels-idx1-ubyte
}
# The same of any bytes, for this program has some: images of no kind.
any_bytes() {  # FOLDER train|t10k COUNT SKIP
  mkdir -p "$1"
  { printf '\x00\x00\x08\x03'; u32 "$3"; u32 8; u32 8; tail -c +"$4" "$vapo" | head -c $(($3 * 64)); } >"$1/$2-images-idx3-ubyte"
  { printf '\x00\x00\x08\x01'; u32 "$3"; for i in $(seq "$3"); do printf "\\x0$((i % 10))"; done; } >"$1/$2-labels-idx1-ubyte"
}
npy() {  # FILE SHAPE: u8 elements from standard input
  local header="{'descr': '|u1', 'fortran_order': False, 'shape': $2, }"
  while [ $(((10 + ${#header} + 1) % 64)) != 0 ]; do header="$header "; done
  { printf '\x93NUMPY\x01\x00'; printf "\\x$(printf %02x $(((${#header} + 1) % 256)))\\x$(printf %02x $(((${#header} + 1) / 256)))"
    printf '%s\n' "$header"; cat; } >"$1"
}
# The config of a run on `set` that takes a moment; what differs follows, a key of a section and its value in TOML each.
images_toml() {  # unet|wide_resnet [SECTION.KEY=VALUE]…
  local network=$1
  shift
  {
    printf '%s\n' 'data.set="mnist"' 'data.path="set"' "model.kind=\"$network\"" 'model.potential="raw"'
    case $network in
      unet) printf '%s\n' unet.base_width=8 'unet.multipliers=[1, 2]' unet.blocks_per_level=1 unet.groups=4 \
        'path.kind="linear"' 'loss.weight="one"' ;;
      wide_resnet) printf '%s\n' wide_resnet.base_width=4 wide_resnet.depth=10 wide_resnet.widen=1 ;;
    esac
    printf '%s\n' train.steps=1 train.batch_size=8 'sample.method="heun"' sample.steps=2 "$@"
  } | awk -F= '!($1 in line) { keys[++n] = $1 } { line[$1] = $0 } END { for (i = 1; i <= n; ++i) print line[keys[i]] }'
}
head -c $((60 * 64)) /dev/zero | npy black.npy '(60, 8, 8, 1)'
head -c $((5 * 16)) /dev/zero | npy small.npy '(5, 4, 4)'
