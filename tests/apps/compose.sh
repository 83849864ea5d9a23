# What a model of classes is asked for: samples of a class, guided, whatever the batch; rows between two noises and
# between two classes, whose ends are plain samples to the bit; the missing parts of images.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"

idx train 160 1
idx t10k 40 2
images_toml unet 'unet.attention_downsamplings=[2]' unet.dropout=0.0 unet.classes=10 train.steps=60 train.batch_size=16 \
  train.ema_decay=0.9 train.learning_rate=0.003 train.tensorboard=false sample.steps=3 >images.toml
expect 0 "$vapo" train images.toml --out run
expect 0 "$vapo" train images.toml --out plain --set unet.classes=0 --set train.steps=5
expect 0 "$vapo" train tiny.toml --out points --set train.steps=5
expect 0 "$vapo" classifier train mnist --data set --epochs 6 --batch-size 16 --shift 0 --out c.safetensors

# Images of a file of pixels: FIRST [COUNT] [STEP].
header() { echo $((10 + $(od -An -tu2 -j8 -N2 "$1"))); }
image() {  # FILE IMAGE…: their bytes, one after the other
  local file=$1 h
  h=$(header "$file")
  shift
  for k in "$@"; do tail -c +$((h + 64 * k + 1)) "$file" | head -c 64; done
}
same() { cmp -s <(image "$1" $2) <(image "$3" $4) || fail "${5}: images $2 of $1 are not images $4 of $3"; }
differ() { cmp -s <(image "$1" $2) <(image "$3" $4) && fail "${5}: images $2 of $1 are images $4 of $3"; return 0; }
summary() { value summary <out | "$json_value" "$@" || fail "no $*"; }

# --- samples of a class, whatever the batch
i=0
for how in "--class 1" "--class all --guidance 2" "" "--class 2 --method euler --steps 5" "--class 3 --method rk45 --per-sample-norm --rtol 1e-2" \
  "--method rk23 --per-sample-norm --rtol 1e-2" "--class 1 --guidance 1 --method sgld --energy boltzmann --steps 6 --step-size 0.01"; do
  for batch in 1 7 256; do
    expect 0 "$vapo" sample run -n 9 --batch-size $batch --save how-$i-$batch.npy $how
    cmp how-$i-1.npy how-$i-$batch.npy || fail "'$how': samples of a batch of $batch differ from those of 1"
  done
  i=$((i + 1))
done
for y in 0 1 2 3; do expect 0 "$vapo" sample run -n 4 --class $y --save class-$y.npy; done
expect 0 "$vapo" sample run -n 4 --class 0,2 --save two.npy --json
[ "$(value class <out)" = 0,2 ] || fail "the result does not name the classes"
same two.npy "0 2" class-0.npy "0 2" "--class 0,2"
same two.npy "1 3" class-2.npy "1 3" "--class 0,2"
differ two.npy 1 class-0.npy 1 "--class 0,2"
expect 0 "$vapo" sample run -n 4 --class all --save all.npy
same all.npy 3 class-3.npy 3 "--class all"
expect 0 "$vapo" sample run -n 4 --class 1 --guidance 0 --save zero.npy
cmp zero.npy class-1.npy || fail "guidance of 0 is not the class itself"
expect 0 "$vapo" sample run -n 4 --class 1 --guidance 2 --save guided-1.npy
cmp -s guided-1.npy class-1.npy && fail "guidance of 2 makes no difference"

# The classes asked for go with the samples, so that a classifier can tell how many are of them.
expect 0 "$vapo" sample run -n 6 --class 0,2 --save labelled.npz
expect 0 "$vapo" classifier test c.safetensors labelled.npz --json
[ "$(value n <out)" = 6 ] || fail "not all samples were judged: $(cat out)"
expect 0 "$vapo" sample run -n 6 --save unlabelled.npz
expect 0 "$vapo" classifier test c.safetensors unlabelled.npz
grep -q 'unlabelled.npz: its images have no labels' err || fail "not told: $(cat err)"
grep -q accuracy out && fail "an accuracy without labels: $(cat out)"

# --- interpolations
expect 0 "$vapo" interpolate run --pairs 2 --points 3 --class 1 --json
[ "$(summary n nfe pairs points weights | tr '\n' ' ')" = "6 6 2 3 ema " ] || fail "another summary: $(cat out)"
between=run/evaluations/interpolate
same $between/interpolate.npy "0 2 3 5" class-1.npy "0 1 2 3" "the ends of an interpolation"
differ $between/interpolate.npy 1 class-1.npy 0 "the middle of an interpolation"
head -c 8 $between/interpolate.png | grep -q PNG || fail "no picture"
cp $between/interpolate.npy before.npy
date -r $between/part-000000.npz +%s.%N >written
rm $between/result.json
expect 0 "$vapo" interpolate run --pairs 2 --points 3 --class 1
cmp before.npy $between/interpolate.npy || fail "the same call made other images"
date -r $between/part-000000.npz +%s.%N | cmp - written || fail "what was done was done again"
grep -q '"poster"' $between/result.json || fail "nothing beside the poster"
refused 3 'holds an evaluation with points 3, asked is 4' "$vapo" interpolate run --pairs 2 --points 4 --class 1
expect 0 "$vapo" interpolate run --pairs 2 --points 3 --out rk --method rk45 --batch-size 4
expect 0 "$vapo" sample run -n 4 --method rk45 --per-sample-norm --save rk.npy
same rk/interpolate.npy "0 2 3 5" rk.npy "0 1 2 3" "the ends with rk45"
[ -e rk/part-000004.npz ] || fail "no second batch"
expect 0 "$vapo" interpolate plain --pairs 1 --points 2 --out plain-ends
refused 3 'no classes' "$vapo" interpolate plain --class 1
refused 3 'sgld adds noise' "$vapo" interpolate run --method sgld
refused 3 'a model of points' "$vapo" interpolate points

# --- compositions: rows of 5 weights, two noises for each of two pairs
expect 0 "$vapo" compose run --classes 0,1 --classes 3,2 -n 2 --json
[ "$(summary n nfe | tr '\n' ' ')" = "20 6 " ] || fail "another summary: $(cat out)"
row=run/evaluations/compose/compose.npy
same $row "0 5" class-0.npy "0 1" "the first column"
same $row "4 9" class-1.npy "0 1" "the last column"
same $row "10 15" class-3.npy "0 1" "the first column of the second pair"
same $row "14 19" class-2.npy "0 1" "the last column of the second pair"
differ $row 2 class-0.npy 0 "the middle"
differ $row 2 class-1.npy 0 "the middle"
expect 0 "$vapo" compose run --pairs '0,1;3,2' -n 2 --out pairs
cmp pairs/compose.npy $row || fail "--pairs is not --classes"
expect 0 "$vapo" compose run --classes 0,1 --weights 0.5,0.5 --out half
same half/compose.npy 0 $row 2 "--weights 0.5,0.5"
expect 0 "$vapo" compose run --classes 3,1 --weights 0,1 --guidance 2 -n 4 --out guided
cmp guided/compose.npy guided-1.npy || fail "a guided composition of one class is not the guided class"
expect 0 "$vapo" compose run --classes 0,1,2 --out three --method sgld --energy boltzmann --steps 3
[ "$("$json_value" request <three/result.json | "$json_value" weights)" = "[[0.3333333333333333,0.3333333333333333,0.3333333333333333]]" ] ||
  fail "three classes are not weighted alike"
expect 0 "$vapo" compose run --classes 0,1 --weights 1,1 --against-none 1 --out against
differ against/compose.npy 0 $row 2 "against none"
refused 3 'they sum to 0.9, not to 1' "$vapo" compose run --classes 0,1 --weights 0.5,0.4 --out bad
refused 3 '3 weights for 2 classes' "$vapo" compose run --classes 0,1 --weights 0.5,0.4,0.1 --out bad
refused 3 '--classes 10: the model has classes 0 to 9' "$vapo" compose run --classes 0,10 --out bad
refused 3 'groups of 2 and of 3' "$vapo" compose run --pairs '0,1;1,2,3' --out bad
refused 3 'no classes' "$vapo" compose plain --classes 0,1 --out bad
refused 2 'of which classes' "$vapo" compose run --out bad
refused 2 'expected numbers' "$vapo" compose run --classes 0,x --out bad
refused 2 'not both' "$vapo" compose run --classes 0,1 --guidance 1 --against-none 1 --out bad

# --- inpainting
paint=("$vapo" inpaint run --data set --json)
originals=set/t10k-images-idx3-ubyte
original() { tail -c +$((17 + 64 * $1)) $originals | head -c 64; }
i=0
for how in "--mask box" "--mask half --renoised" "--mask random --with-labels --guidance 1" "--mask random --renoised --method rk45" \
  "--mask half --method sgld --energy boltzmann --steps 4 --step-size 0.01"; do
  expect 0 "${paint[@]}" --images mnist -n 5 --out paint-$i $how
  [ "$(summary n known_unchanged | tr '\n' ' ')" = "5 1.0 " ] || fail "$how: $(summary known_unchanged) of the known pixels kept"
  cmp -s <(image paint-$i/inpaint.npy 3) <(original 3) && fail "$how: nothing was painted"
  head -c 8 paint-$i/inpaint.png | grep -q PNG || fail "no picture"
  for batch in 1 7; do
    expect 0 "${paint[@]}" --images mnist -n 5 --out paint-$i-$batch $how --batch-size $batch
    cmp paint-$i/inpaint.npy paint-$i-$batch/inpaint.npy || fail "$how: a batch of $batch paints otherwise"
  done
  i=$((i + 1))
done
for y in 0 3 7; do  # left halves are known
  cmp <(image paint-1/inpaint.npy 2 | tail -c +$((8 * y + 1)) | head -c 4) <(original 2 | tail -c +$((8 * y + 1)) | head -c 4) ||
    fail "a known row was painted over"
done
expect 0 "${paint[@]}" --images mnist:train -n 20 --mask half --with-labels --classifier c.safetensors --out judged
[ "$(summary chance)" = 0.25 ] || fail "chance: $(summary chance)"
awk -v o="$(summary accuracy_original)" -v m="$(summary accuracy_masked)" -v i="$(summary accuracy_inpainted)" \
  'BEGIN { exit !(o > 0.9 && m <= 1 && m >= 0 && i >= 0 && i <= 1) }' || fail "accuracies: $(cat out)"
expect 0 "$vapo" sample run -n 1 --class 0 --grid one.png --save one.npy
expect 0 "$vapo" sample run -n 4 --grid four.png
expect 0 "${paint[@]}" --images one.png --mask one.png --out one
[ "$(summary n known_unchanged | tr '\n' ' ')" = "1 1.0 " ] || fail "one image: $(cat out)"
expect 0 "${paint[@]}" --images class-0.npy --out file
[ "$(summary n known_unchanged | tr '\n' ' ')" = "4 1.0 " ] || fail "a file of images: $(cat out)"
refused 3 'four.png: a mask of 18×18, the images are 8×8' "${paint[@]}" --images mnist --mask four.png --out bad
refused 3 'four.png: images of \(18,18,1\), the model .* paints \(8,8,1\)' "${paint[@]}" --images four.png --out bad
refused 3 "expected box, half, random or a picture" "${paint[@]}" --images mnist --mask stripes --out bad
refused 3 '40 images, --number asks for 41' "${paint[@]}" --images mnist -n 41 --out bad
refused 3 'class-0.npy: its images have no labels' "${paint[@]}" --images class-0.npy --with-labels --out bad
refused 3 'class-0.npy: its images have no labels' "${paint[@]}" --images class-0.npy --classifier c.safetensors --out bad
refused 3 'the model has no classes' "$vapo" inpaint plain --data set --images mnist --with-labels --out bad
refused 3 'holds an evaluation with pixels' "${paint[@]}" --images mnist -n 4 --mask box --out paint-0
refused 2 'excludes' "${paint[@]}" --images mnist --published --renoised --out bad
refused 2 'with-labels' "${paint[@]}" --images mnist --guidance 2 --out bad

# --- what sample refuses
refused 3 '--class 10: the model has classes 0 to 9' "$vapo" sample run --class 10
refused 3 'no classes' "$vapo" sample plain --class 1
refused 2 'towards which class' "$vapo" sample run --guidance 2
refused 2 'expected numbers' "$vapo" sample run --class two
echo "compose: passed"
