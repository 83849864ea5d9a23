# How far images are from others: in a classifier's features, in Inception's (with weights from a formula), of files,
# folders and a run, from which samples are drawn once.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"
idx train 320 1
idx t10k 80 2
pixels 320 1 | npy train.npy '(320, 8, 8)'
inception_weights=$4
export VAPO_DATA=
found() { value summary <out >summary.json && value "$@" <summary.json; }  # of the summary of ./out
near() { awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(d < 1e-5 && d > -1e-5) }'; }
head -c $((20 * 64)) set/t10k-images-idx3-ubyte | npy few.npy '(20, 8, 8)'
head -c $((20 * 64)) set/train-images-idx3-ubyte | npy others.npy '(20, 8, 8)'

# --- a classifier's features
expect 0 "$vapo" classifier train mnist --data set --epochs 2 --batch-size 16 --shift 0 --out c.safetensors
fid=("$vapo" fid --features c.safetensors --data set --json)
expect 0 "${fid[@]}" --ref mnist --samples mnist:test --halves --save-ref ref.npz
[ "$(found ref_n samples_n half_n | tr '\n' ' ')" = "320 80 160 " ] || fail "other counts: $(cat out)"
distance=$(found frechet_distance)
halves=$(found halves_distance)
grep -q '"fid"' summary.json && fail "a classifier's distance is called FID"
grep -q '"kid"' summary.json && fail "KID of a classifier's features"
expect 0 "${fid[@]}" --ref ref.npz --samples mnist:test
near "$(found frechet_distance)" "$distance" || fail "from saved statistics: $(found frechet_distance), from images: $distance"
[ "$(found ref_n)" = 320 ] || fail "the count was not saved"
expect 0 "${fid[@]}" --ref mnist:train --samples train.npy
near "$(found frechet_distance)" 0 || fail "of the same images: $(found frechet_distance)"
expect 0 "${fid[@]}" --ref mnist:train --samples black.npy
awk -v far="$(found frechet_distance)" -v near="$distance" 'BEGIN { exit !(far > 5 * near && near > 0) }' ||
  fail "black images are not farther ($(found frechet_distance)) than the test images ($distance)"
grep -q 'black.npy: 60 images for 128 features' err || fail "nothing is said of too few images"
expect 0 "${fid[@]}" --ref mnist --halves --seed 1
[ "$(found halves_distance)" != "$halves" ] || fail "another seed gave the same halves"
expect 0 "${fid[@]}" --ref mnist --samples mnist:test -n 50
[ "$(found samples_n)" = 50 ] || fail "-n 50 took $(found samples_n)"
some=$(found frechet_distance)  # at random: sets may lie in an order
expect 0 "${fid[@]}" --ref mnist --samples mnist:test -n 50 --seed 1
[ "$(found frechet_distance)" != "$some" ] || fail "another seed chose the same 50 images"
expect 0 "${fid[@]}" --ref mnist --samples mnist:test -n 50 --seed 0
[ "$(found frechet_distance)" = "$some" ] || fail "the same seed chose other images"

# --- a run, from which samples are drawn; they and their features count as done
images_toml unet train.steps=5 >images.toml
expect 0 "$vapo" train images.toml --out run
expect 0 "${fid[@]}" --ref mnist:test --samples run -n 70
folder=run/evaluations/fid
[ "$(found nfe samples_n weights | tr '\n' ' ')" = '4 70 ema ' ] || fail "other samples: $(cat out)"
distance=$(found frechet_distance)
grep -q 'not of Inception' out || fail "nothing is said beside the poster's number: $(cat out)"
head -c 8 $folder/samples.png | grep -q PNG || fail "no picture of samples"
cp $folder/result.json before.json
stat -c %Y.%i $folder/samples-*.npz $folder/*-features-*.safetensors >before
expect 0 "${fid[@]}" --ref mnist:test --samples run -n 70
[ "$(found frechet_distance)" = "$distance" ] || fail "run again, another distance"
stat -c %Y.%i $folder/samples-*.npz $folder/*-features-*.safetensors | cmp - before || fail "what was done is made again"
refused 3 "holds an evaluation with n 70, asked is 71" "${fid[@]}" --ref mnist:test --samples run -n 71
expect 0 "$vapo" sample run -n 70 --save drawn.npz
expect 0 "${fid[@]}" --ref mnist:test --samples drawn.npz
near "$(found frechet_distance)" "$distance" || fail "of vapo sample's file: $(found frechet_distance), drawn: $distance"

# --- folders of pictures, one picture
mkdir -p pictures/a pictures/b
for i in 0 1 2 3; do expect 0 "$vapo" sample run -n 1 --seed $i --grid pictures/$([ $i -lt 2 ] && echo a || echo b)/$i.png; done
expect 0 "${fid[@]}" --ref mnist --samples pictures
[ "$(found samples_n)" = 4 ] || fail "$(found samples_n) pictures of 4"
refused 3 'a/0.png: too few images: 1' "${fid[@]}" --ref mnist --samples pictures/a/0.png

# --- Inception's features
expect 0 "$inception_weights" inception.safetensors
expect 0 "$vapo" info inception.safetensors --json
inception=("$vapo" fid --inception inception.safetensors --json)
expect 0 "${inception[@]}" --ref few.npy --samples others.npy -n 18 --save-ref wide.npz --out results
[ "$(found width ref_n samples_n | tr '\n' ' ')" = '2048 20 18 ' ] || fail "other counts: $(cat out)"
[ "$(found kid_subsets kid_subset_size inception_score_splits resize | tr '\n' ' ')" = '100 18 10 tf1 ' ] || fail "other scores: $(cat out)"
distance=$(found fid)
found kid inception_score >scores
grep -q '"frechet_distance"' summary.json && fail "FID under two names"
for remark in 'few.npy: 20 images for 2048 features' 'others.npy: 18 images for 2048' 'KID: subsets of 18 images' 'against the training set'; do
  grep -q "$remark" err && grep -q "$remark" results/result.json || fail "no remark '$remark'"
done
grep -q 'the reference is few.npy, not cifar10:train' results/result.json || fail "the poster's FID is compared with another set's"
before=$(stat -c %Y.%i results/*-features-*.safetensors)
expect 0 "${inception[@]}" --ref few.npy --samples others.npy -n 18 --out results
[ "$(found fid) $(found kid inception_score)" = "$distance $(cat scores)" ] || fail "run again, other scores: $(cat out)"
[ "$(stat -c %Y.%i results/*-features-*.safetensors)" = "$before" ] || fail "features are computed again"
VAPO_DATA=$PWD expect 0 "$vapo" fid --ref wide.npz --samples few.npy --json
near "$(found fid)" 0 || fail "of the same images: $(found fid)"
grep -q 'No KID' err || fail "nothing is said of KID beside statistics"
expect 0 "${inception[@]}" --ref wide.npz --samples others.npy -n 18 --resize pytorch-fid
awk -v a="$(found fid)" -v b="$distance" 'BEGIN { exit !(a != b && a > b / 3 && a < 3 * b) }' || fail "--resize changes nothing, or all"

# --- what cannot be used
refused 3 "small.npy: images \(5,4,4,1\), the classifier c.safetensors takes \(5,8,8,1\)" "${fid[@]}" --ref mnist --samples small.npy
refused 3 "'tset' is no part of a set" "${fid[@]}" --ref mnist --samples mnist:tset
refused 3 "no image set 'nist'" "${fid[@]}" --ref nist --halves
refused 3 'halves needs the images' "${fid[@]}" --ref ref.npz --halves
refused 3 'wide.npz: statistics of 2048 features, those of c.safetensors are 128' "${fid[@]}" --ref wide.npz --samples few.npy
refused 3 'others.npy: -n 21: it has 20 images' "${fid[@]}" --ref mnist --samples others.npy -n 21
refused 2 'samples, --halves' "${fid[@]}" --ref mnist
refused 5 'missing.npz' "${fid[@]}" --ref mnist --samples missing.npz
refused 5 'no/folder: no such file or folder' "${fid[@]}" --ref mnist --samples no/folder
refused 3 '' "$vapo" fid --features train.npy --ref mnist --halves
refused 5 'missing.safetensors: no such file. Hint: tools/convert_inception.py' "$vapo" fid --inception missing.safetensors --ref few.npy --halves
refused 3 'VAPO_DATA is not set. Hint: tools/convert_inception.py' "$vapo" fid --ref few.npy --halves
refused 3 'c.safetensors: holds no Inception network' "$vapo" fid --inception c.safetensors --ref few.npy --halves
echo "fid: passed"
