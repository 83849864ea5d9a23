# A classifier learns a tiny set, is tested, and measures samples in its features.
. "$(dirname "$0")/common.sh"

# FOLDER-like mnist: 8×8 images whose left, right, top or lower half is bright.
u32() { printf "\\x00\\x00\\x$(printf %02x $(($1 / 256)))\\x$(printf %02x $(($1 % 256)))"; }
idx() {  # KIND COUNT SEED
  { printf '\x00\x00\x08\x03'; u32 "$2"; u32 8; u32 8
    LC_ALL=C awk -v n="$2" -v seed="$3" 'BEGIN { srand(seed); for (i = 0; i < n; ++i) for (y = 0; y < 8; ++y) for (x = 0; x < 8; ++x) {
      c = i % 4; on = c == 0 ? x < 4 : c == 1 ? x >= 4 : c == 2 ? y < 4 : y >= 4
      printf "%c", 1 + int(100 * rand()) + 120 * on } }'; } >set/$1-images-idx3-ubyte
  { printf '\x00\x00\x08\x01'; u32 "$2"
    for ((i = 0; i < $2; ++i)); do printf "\\x0$((i % 4))"; done; } >set/$1-labels-idx1-ubyte
}
mkdir set
idx train 320 1
idx t10k 80 2
npy() {  # FILE SHAPE: u8 elements from standard input
  local header="{'descr': '|u1', 'fortran_order': False, 'shape': $2, }"
  while [ $(((10 + ${#header} + 1) % 64)) != 0 ]; do header="$header "; done
  { printf '\x93NUMPY\x01\x00'; printf "\\x$(printf %02x $(((${#header} + 1) % 256)))\\x$(printf %02x $(((${#header} + 1) / 256)))"
    printf '%s\n' "$header"; cat; } >"$1"
}
tail -c $((320 * 64)) set/train-images-idx3-ubyte | npy train.npy '(320, 8, 8)'
head -c $((60 * 64)) /dev/zero | npy black.npy '(60, 8, 8, 1)'
head -c $((5 * 16)) /dev/zero | npy small.npy '(5, 4, 4)'

learn=("$vapo" classifier train mnist --data set --epochs 4 --batch-size 16 --shift 0 --json)
expect 0 "${learn[@]}" --out c.safetensors
[ "$(value test_n <out)" = 80 ] && [ "$(value test_errors <out)" = 0 ] || fail "errors on 80 easy images: $(cat out)"
[ "$(grep -c 'epoch . of 4: loss .*, test accuracy' err)" = 4 ] || fail "not a line for each epoch: $(cat err)"
expect 0 "${learn[@]}" --out again.safetensors
cmp c.safetensors again.safetensors || fail "the same seed gave another classifier"
expect 0 "$vapo" classifier test c.safetensors mnist --data set --json
[ "$(value n <out)" = 80 ] && [ "$(value accuracy <out)" = 1.0 ] || fail "the file judges otherwise: $(cat out)"
expect 0 "$vapo" classifier test c.safetensors mnist:train --data set --json
[ "$(value n <out)" = 320 ] || fail "mnist:train is not the training part"

# --- distances
near() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(d < 1e-5 && d > -1e-5) }'; }
frechet=("$vapo" frechet --features c.safetensors --data set --json)
expect 0 "${frechet[@]}" --ref mnist --samples mnist:test --halves --save-ref ref.npz
[ "$(value ref_n samples_n half_n <out | tr '\n' ' ')" = "320 80 160 " ] || fail "other counts: $(cat out)"
distance=$(value distance <out)
halves=$(value halves_distance <out)
expect 0 "${frechet[@]}" --ref ref.npz --samples mnist:test
near "$(value distance <out)" "$distance" || fail "from saved statistics: $(value distance <out), from images: $distance"
[ "$(value ref_n <out)" = 320 ] || fail "the count was not saved"
expect 0 "${frechet[@]}" --ref mnist:train --samples train.npy
near "$(value distance <out)" 0 || fail "of the same images: $(value distance <out)"
expect 0 "${frechet[@]}" --ref mnist:train --samples black.npy
awk -v far="$(value distance <out)" -v near="$distance" 'BEGIN { exit !(far > 5 * near && near > 0) }' ||
  fail "black images are not farther ($(value distance <out)) than the test images ($distance)"
grep -q 'black.npy: 60 images for 128 features' err || fail "nothing is said of too few images"
expect 0 "${frechet[@]}" --ref mnist --halves --seed 1
[ "$(value halves_distance <out)" != "$halves" ] || fail "another seed gave the same halves"

# --- what cannot be used
refused 3 "small.npy: images \(5,4,4,1\), the classifier c.safetensors takes \(5,8,8,1\)" "${frechet[@]}" --ref mnist --samples small.npy
refused 3 "'tset' is no part of a set" "${frechet[@]}" --ref mnist --samples mnist:tset
refused 3 "no image set 'nist'" "${frechet[@]}" --ref nist --halves
refused 3 'halves needs the images' "${frechet[@]}" --ref ref.npz --halves
refused 2 'samples, --halves' "${frechet[@]}" --ref mnist
refused 5 'missing.npz' "${frechet[@]}" --ref mnist --samples missing.npz
refused 3 'small.npy: its images have no labels' "$vapo" classifier test c.safetensors small.npy
refused 3 '' "$vapo" frechet --features train.npy --ref mnist --halves
expect 0 "$vapo" train tiny.toml --out run
refused 3 'of no classifier' "$vapo" classifier test run/checkpoint-20.safetensors mnist --data set
refused 5 'nowhere' "$vapo" classifier train mnist --data set --out nowhere/c.safetensors
refused 2 'subcommand' "$vapo" classifier
echo "classifier: passed"
