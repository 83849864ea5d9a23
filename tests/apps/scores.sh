# Likelihoods of images, scores that tell sets apart, and long runs, of a tiny network: what they leave, that they go on
# where they were stopped, and what they refuse.
. "$(dirname "$0")/common.sh"
export OMP_NUM_THREADS=1  # of networks this small more threads make nothing quicker

. "$(dirname "$0")/tiny_images.sh"
idx train 120 1
idx t10k 60 2
pixels 60 3 | npy other.npy '(60, 8, 8)'
scored=(data.held_out=0.2 data.dequantize=true 'unet.attention_downsamplings=[]' train.steps=200 train.batch_size=16
  train.learning_rate=1e-3 sample.steps=4)
images_toml unet unet.classes=4 "${scored[@]}" >images.toml
expect 0 "$vapo" train images.toml --out run
inner() { value "$1" <out | "$json_value" "$2" || fail "no $2 in $1: $(cat out)"; }
between() { awk -v x="$1" -v a="$2" -v b="$3" 'BEGIN { exit !(x != "null" && x > a && x < b) }'; }

# --- likelihood
likelihood=("$vapo" likelihood run --limit 10 --batch-size 4 --tolerance 1e-3 --json)
expect 0 "${likelihood[@]}"
[ "$(inner summary n)" = 10 ] && [ "$(inner summary data)" = mnist:test ] || fail "other images: $(cat out)"
bits=$(inner summary bits_per_dim)
between "$bits" 0 50 || fail "$bits bits a dimension"
folder=run/evaluations/likelihood
for file in request.json result.json log_likelihood-1.npy log_likelihood-2.npy bits_per_dim.npy images.npy bits_per_dim.png; do
  [ -s $folder/$file ] || fail "no $file"
done
cp -r $folder whole
touch -d '2001-01-01' $folder/log_likelihood-?.npy
expect 0 "${likelihood[@]}"
[ "$(inner summary bits_per_dim)" = "$bits" ] || fail "a second call gives another value"
[ $folder/log_likelihood-1.npy -ot whole/request.json ] || fail "a second call computed anew"
cmp $folder/result.json whole/result.json || fail "a second call gives another result"
# Eight of the second dequantisation's ten rows were there when it stopped: (8,2) f64.
cut_rows() {  # FILE ROWS
  header=$(head -c 128 "$1" | tail -c +11 | tr -d '\n' | sed "s/(10, 2)/($2, 2) /; s/(10,2)/($2,2) /")
  { printf '\x93NUMPY\x01\x00\x76\x00'; printf '%-117s\n' "${header:0:117}"; tail -c +129 "$1" | head -c $(($2 * 16)); } >cut
  mv cut "$1"
}
cut_rows $folder/log_likelihood-2.npy 8
expect 0 "$vapo" info $folder/log_likelihood-2.npy
expect 0 "${likelihood[@]}"
cmp $folder/log_likelihood-2.npy whole/log_likelihood-2.npy || fail "other numbers after an interruption"
cmp $folder/result.json whole/result.json || fail "another result after an interruption"
expect 0 "${likelihood[@]}" --with-labels --out labelled --dequantisations 1
[ "$(inner summary bits_per_dim)" != "$bits" ] || fail "labels make no difference"
expect 0 "${likelihood[@]}" --data black.npy
[ -s run/evaluations/likelihood-black-npy/result.json ] || fail "no folder of its own for other images"

# --- out of distribution
ood=("$vapo" ood run --out other.npy,black.npy,interpolated --training-images 40 --likelihood 2 --json)
expect 0 "${ood[@]}"
same=$(inner summary 'auroc other.npy') black=$(inner summary 'auroc black.npy')
between "$same" 0.35 0.65 || fail "images of the same law are told apart: $same"
between "$black" 0.1 0.9 && fail "black images are not told apart: $black"
between "$(inner summary 'auroc interpolated')" -0.01 1.01 || fail "no score of interpolated images"
# The gradient among those of training images: one kind of images is there as often as another of its law, black ones
# never are.
row() { value tables <out | sed 's/\],\[\|\[\[/\n/g' | grep -F "\"$1\"," | head -1 | sed 's/\].*//; s/.*",//' | tr ',' ' '; }
for score in '|grad E|' "|grad E|^2 + v'Hv" "(|grad E|^2, v'Hv)"; do
  for energy in '4 Phi - |x|^2' 'marginal energy'; do
    read -r same black interpolated < <(row "density of $score, E = $energy")
    between "$same" 0.3 0.7 && between "$black" 0.9 1.01 && between "$interpolated" -0.01 1.01 ||
      fail "density of $score, E = $energy: $same, $black, $interpolated"
  done
done
folder=run/evaluations/ood
for file in energies-0-mnist-test.npy energies-2-black-npy.npy energies-3-interpolated.npy likelihood-0-mnist-test-1.npy \
    histograms.png histograms-1.dat histograms.gp result.json; do
  [ -s $folder/$file ] || fail "no $file: $(ls $folder)"
done
grep -q 'the model is of mnist' $folder/result.json || fail "the poster's CIFAR-10 is compared with: $(cat out)"
cp $folder/result.json first.json
touch -d '2001-01-01' $folder/energies-*.npy $folder/likelihood-*.npy
expect 0 "${ood[@]}"
[ -z "$(find $folder -newermt 2002-01-01 \( -name 'energies-*' -o -name 'likelihood-*' \))" ] || fail "scores were made anew"
cmp $folder/result.json first.json || fail "a second call gives another result"
rm $folder/energies-2-black-npy.npy
expect 0 "${ood[@]}"
cmp $folder/result.json first.json || fail "scores made again are others"
expect 0 "$vapo" ood run --in other.npy --out mnist:test --limit 30 --training-images 10 --folder few --json
[ "$(value request <out | "$json_value" limit likelihood | tr '\n' ' ')" = "30 0 " ] || fail "another request: $(cat out)"
grep -q 'likelihood was left out' few/result.json || fail "nothing is said of the likelihood"
expect 0 "$vapo" ood run --out black.npy --training-images 40 --no-trace --folder slopes --json
[ -n "$(row 'density of |grad E|, E = marginal energy')" ] || fail "no density of the gradient: $(cat out)"
grep -q "v'Hv)" out && fail "second derivatives that were not wanted: $(cat out)"
expect 0 "$vapo" ood run --out black.npy --training-images 3 --folder three
grep -q "density of the gradient are left out: (|grad E|^2, v'Hv), E = 4 Phi - |x|^2: 3 training samples are too few; " err || fail "nothing is said of 3 images: $(cat err)"
grep -q 'density of |grad E|, E = 4 Phi' three/result.json || fail "what three images are enough for is left out too"

# --- gradients at several times: their density is that of all of them together, of training images as of the others
expect 0 "$vapo" ood run --out black.npy,mnist:test,interpolated --training-images 40 --times 0.9,0.3 --folder profile --json
profile="density of (|grad E|, v'Hv) of marginal energies at t = 0.9, 0.3"
read -r black self both < <(row "$profile")
between "$black" 0.9 1.01 && between "$self" 0.4999 0.5001 || fail "the profile tells black images apart by $black, and the set from itself by $self"
for t in 0.9 0.3; do
  expect 0 "$vapo" ood run --out interpolated --training-images 40 --times $t --folder profile-$t --json
  [ "$(row "density of (|grad E|, v'Hv) of marginal energies at t = $t")" != "$both" ] || fail "the profile is that of t = $t alone: $both"
done
expect 0 "$vapo" ood run --out black.npy --training-images 40 --times 0.9,0.3 --no-trace --folder profile-slopes --json
[ -n "$(row 'density of |grad E| of marginal energies at t = 0.9, 0.3')" ] || fail "no profile of norms: $(cat out)"
expect 0 "$vapo" ood run --out black.npy --training-images 4 --times 0.9,0.3 --folder four
grep -q 'left out: .* of marginal energies at t = 0.9, 0.3: 4 training samples are too few' err || fail "nothing is said of 4 images: $(cat err)"
refused 3 '--times 1: the path leaves no density there' "$vapo" ood run --out black.npy --times 0.3,1
refused 3 '--times: 0.3 is named twice' "$vapo" ood run --out black.npy --times 0.3,0.5,0.3

# --- beside the poster's row: another part, or a piece, of a set is not that set
records() { for i in $(seq 6); do printf "\\x0$1%b" "${2:+\\x05}"; tail -c +$((i * 4096)) "$vapo" | head -c 3072; done; }  # CLASS [FINE]
mkdir -p cifar-10-batches-bin cifar-100-binary
for i in 1 2 3 4 5; do records $i >cifar-10-batches-bin/data_batch_$i.bin; done
records 3 >cifar-10-batches-bin/test_batch.bin
records 3 fine | tee cifar-100-binary/train.bin >cifar-100-binary/test.bin
images_toml unet 'data.set="cifar10"' 'data.path=""' "${scored[@]}" >cifar.toml
export VAPO_DATA=$PWD
expect 0 "$vapo" train cifar.toml --out cifar --set train.steps=2
expect 0 "$vapo" ood cifar --in cifar10:test --out interpolated,cifar100:test --training-images 4
grep -q '"not_comparable_because": *"5 images of interpolated CIFAR-10, not 9999"' cifar/evaluations/ood-cifar10-test/result.json || fail "5 images stand for 9,999"
grep -q '6 images of CIFAR-100, not 10000' cifar/evaluations/ood-cifar10-test/result.json || fail "6 images stand for 10,000"
expect 0 "$vapo" ood cifar --in cifar10:test --out cifar100:train --training-images 4 --folder train-part
grep -q 'it is the train part of CIFAR-100, not the test part' train-part/result.json || fail "the training part stands for the test part"

# --- long runs
flow=("$vapo" longrun run --until 2 --steps-per-unit 10 -n 3 --json)
expect 0 "${flow[@]}"
[ "$(wc -l <run/evaluations/longrun-ode/ode.jsonl)" = 20 ] || fail "not a line for each step"
for file in ode.png ode.npy curves.png curves-1.dat result.json; do
  [ -s run/evaluations/longrun-ode/$file ] || fail "no $file"
done
expect 0 "$vapo" info run/evaluations/longrun-ode/ode.npy
grep -q '3,11,8,8,1' out || fail "not 11 images of 3 particles: $(cat out)"

sgld=("$vapo" longrun run --method sgld --energy marginal --start noise,samples --temperatures 1,0.01 --step-size 1e-5
  -n 2 --steps 100 --save-every 0 --json)
expect 0 "${sgld[@]}" --out whole-run
[ "$(inner summary runs)" = 4 ] || fail "$(inner summary runs) runs"
for name in noise-1 noise-0.01 samples-1 samples-0.01; do
  [ "$(wc -l <whole-run/sgld-$name.jsonl)" = 100 ] && [ -s whole-run/sgld-$name.png ] || fail "no run $name: $(ls whole-run)"
done
cmp -s whole-run/sgld-noise-1.jsonl whole-run/sgld-samples-1.jsonl && fail "the start makes no difference"
# A shorter run is its beginning, though its steps are made in other parts: every step has its own noise.
expect 0 "${sgld[@]/100/37}" --out shorter
cmp <(head -n 37 whole-run/sgld-samples-1.jsonl) shorter/sgld-samples-1.jsonl || fail "a shorter run is another one"
# Killed between the second and the third run, whose log is a pipe that nobody writes into: there the program waits.
mkdir parts && mkfifo parts/sgld-samples-1.jsonl
"${sgld[@]}" --out parts >out 2>err &
pid=$!
until_there parts/sgld-noise-0.01.safetensors $pid
kill -KILL $pid
wait $pid 2>/dev/null
rm parts/sgld-samples-1.jsonl
[ -e parts/sgld-samples-0.01.safetensors ] && fail "it had already ended"
expect 0 "${sgld[@]}" --out parts
for file in whole-run/*.jsonl whole-run/*.npy whole-run/result.json; do
  cmp "$file" "parts/$(basename "$file")" || fail "$(basename "$file"): other bits after an interruption"
done
# A log that was cut short: from the beginning.
truncate -s 300 parts/sgld-noise-1.jsonl
touch -d '2001-01-01' parts/*.safetensors
expect 0 "${sgld[@]}" --out parts
cmp whole-run/sgld-noise-1.jsonl parts/sgld-noise-1.jsonl || fail "other bits after a lost log"
[ "$(find parts -name '*.safetensors' -newermt 2002-01-01)" = parts/sgld-noise-1.safetensors ] || fail "whole runs were made anew"
expect 0 "$vapo" longrun run --method sgld --energy boltzmann --step-size 1e5 --steps 30 -n 2 --out far --json
grep -qE 'ended after .* steps: .*(not finite|NaN|infinite).*a smaller --step-size' far/result.json || fail "nothing is said of a run that ended early: $(cat out)"

# --- a path that blurs, and pairs: no marginal energy, and no second thought of it
for without in 'path.kind="blurring"' 'path.coupling="optimal"'; do
  images_toml unet "$without" train.steps=3 "${scored[@]:0:3}" >without.toml
  name=${without//[^a-z]/}
  reason="no marginal energy: ${without%%=*} = \"[a-z]*\""
  expect 0 "$vapo" train without.toml --out $name
  expect 0 "$vapo" ood $name --out black.npy --training-images 20 --json
  [ -z "$(row 'marginal energy')" ] && [ -n "$(row '4 Phi - |x|^2')" ] || fail "$name: other scores: $(cat out)"
  grep -q "marginal energy was left out: ${without%%=*}" out || fail "$name: nothing is said of the marginal energy"
  refused 3 "^vapo: --t 0.5: ${without%%=*} = " "$vapo" ood $name --out black.npy --t 0.5
  refused 3 "^vapo: --times: ${without%%=*} = " "$vapo" ood $name --out black.npy --times 0.5
  refused 3 "$reason" "$vapo" longrun $name --method sgld --energy marginal
  refused 3 "$reason" "$vapo" sample $name -n 4 --method sgld --energy marginal
  refused 3 "$reason" "$vapo" likelihood $name --limit 4 --save scores.csv
  expect 0 "$vapo" longrun $name --method sgld --energy boltzmann --steps 12 -n 2
  expect 0 "$vapo" likelihood $name --limit 2 --tolerance 1e-2 --out $name-likelihood
  refused 3 'known pixels cannot be as noisy as the path has them' "$vapo" inpaint $name --images mnist:test -n 2 --renoised
done

# --- points
awk 'BEGIN { srand(3); for (i = 0; i < 200; ++i) printf "%.4f,%.4f\n", rand(), rand() * 2 }' >points.csv
awk 'BEGIN { srand(4); for (i = 0; i < 50; ++i) printf "%.4f,%.4f\n", 5 + rand(), 9 + rand() }' >far.csv
expect 0 "$vapo" train tiny.toml --out whole --set data.path=points.csv --set data.held_out=0
expect 0 "$vapo" train tiny.toml --out points
expect 0 "$vapo" ood points --out eight_gaussians,two_moons,interpolated --limit 300 --likelihood 20 --json
read -r others same _ < <(row '4 Phi - |x|^2')
between "$same" 0.4 0.6 && between "$others" 0.7 1.01 || fail "points: $same, $others"
read -r others same _ < <(row "density of (|grad E|^2, v'Hv), E = marginal energy")
between "$same" 0.4 0.6 && between "$others" -0.01 1.01 || fail "points, by their gradients: $same, $others"
[ -s points/evaluations/ood/points-1-eight-gaussians.npy ] || fail "no places of the points: $(ls points/evaluations/ood)"
expect 0 "$vapo" train tiny.toml --out table --set data.path=points.csv --set data.held_out=0.3
expect 0 "$vapo" ood table --out far.csv --training-images 50 --json
between "$(row 'marginal energy')" 0.9 1.01 || fail "far points are not told apart: $(cat out)"
refused 3 'no rows were held out' "$vapo" ood whole --out far.csv

# --- what cannot be used
refused 3 'small.npy: images of \(4,4,1\), the model .* is of \(8,8,1\)' "$vapo" ood run --out small.npy
refused 3 "no image set 'nist'" "$vapo" ood run --out nist
refused 3 "'tset' is no part of a set" "$vapo" likelihood run --data mnist:tset
refused 5 'none/svhn.*mat' env VAPO_DATA=none "$vapo" ood run --out svhn
refused 3 'black.npy: named twice' "$vapo" ood run --out black.npy,black.npy
refused 3 'the path leaves no density' "$vapo" ood run --out black.npy --t 1
refused 2 'limit' "$vapo" ood run --out black.npy --limit 1
refused 3 'Hint: another --out' "${likelihood[@]}" --seed 5
refused 3 'black.npy: its images have no labels' "$vapo" likelihood run --data black.npy --with-labels
refused 3 'not the state of a long run|cannot|safetensors' bash -c 'cp other.npy whole-run/sgld-noise-1.safetensors && exec "$@"' - "${sgld[@]}" --out whole-run
refused 3 'samples and data are starts of --method sgld' "$vapo" longrun run --start samples
refused 3 'burn-in 97' "$vapo" longrun run --method sgld --steps 100 --burn-in 97
refused 3 'black.npy.: shape \(60,8,8,1\), expected rows' "$vapo" ood points --out black.npy
refused 3 'a model of points' "$vapo" likelihood points --with-labels
echo "scores: passed"
