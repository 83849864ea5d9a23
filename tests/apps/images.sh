# Training on images: resumed runs have the bits of whole ones, in the middle of an epoch, with activations computed
# again, with a batch in parts; grids, events and samples; a stop in the middle of a grid; what is refused.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"

any_bytes set train 60 4096
any_bytes set t10k 20 40960
images_toml unet data.held_out=0.2 data.flip=true data.dequantize=true unet.dropout=0.1 unet.classes=10 train.steps=20 \
  train.checkpoint_every=5 train.log_every=5 train.validate_every=10 train.sample_every=10 sample.steps=4 sample.grid=4 >images.toml

timeless() { sed 's/,"steps_per_second":.*//' "$1"; }
# 48 images in batches of 8: step 9 lies in the middle of the second epoch.
for variant in plain recompute accumulate published coupled blurring; do
  case $variant in
    plain) settings=() ;;
    recompute) settings=(--set train.recompute=true) ;;
    accumulate) settings=(--set train.accumulate=2) ;;
    published) settings=(--set loss.estimator=published --set train.accumulate=4 --set train.recompute=true --set train.clip=std) ;;
    coupled) settings=(--set path.coupling=optimal --set path.times=logit_normal --set path.times_uniform=0.2
      --set path.times_unbiased=true --set unet.head=inner_product --set unet.output_scale=2) ;;
    blurring) settings=(--set path.kind=blurring --set path.times=logit_normal --set loss.estimator=covariance --set train.accumulate=2) ;;
  esac
  expect 0 "$vapo" train images.toml --out "$variant" "${settings[@]}"
  expect 0 "$vapo" train images.toml --out "$variant-parts" "${settings[@]}" --set train.steps=9
  expect 0 "$vapo" train --out "$variant-parts" --resume --set train.steps=20
  for step in 10 15 20; do
    [ -e "$variant-parts/checkpoint-$step.safetensors" ] || continue
    cmp "$variant/checkpoint-$step.safetensors" "$variant-parts/checkpoint-$step.safetensors" ||
      fail "$variant: the resumed run has other bits at step $step"
  done
  [ "$(timeless "$variant/metrics.jsonl")" = "$(timeless "$variant-parts/metrics.jsonl")" ] ||
    fail "$variant: the resumed run has other metrics"
  cmp "$variant/samples-20.png" "$variant-parts/samples-20.png" || fail "$variant: the resumed run has other samples"
done
weights() { tail -c 4096 "$1/checkpoint-20.safetensors" | cksum; }
[ "$(weights plain)" = "$(weights recompute)" ] || fail "recomputed activations give other weights"
for other in published coupled blurring; do
  [ "$(weights plain)" != "$(weights $other)" ] || fail "$other: another loss gives the same weights"
done
# The published loss in four parts, with dropout and classes, is that of the batch in one.
expect 0 "$vapo" train images.toml --out one-part --set loss.estimator=published --set train.clip=std
losses() { grep -o '"\(loss\|validation_loss\)":[-0-9.e]*' "$1/metrics.jsonl" | cut -d: -f2; }
[ "$(losses one-part | wc -l)" = 6 ] || fail "$(losses one-part | wc -l) losses instead of 6"
paste <(losses one-part) <(losses published) | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > 1e-3 * (1 + ($1 < 0 ? -$1 : $1))) exit 1 }' ||
  fail "in parts the losses are others: $(losses one-part | tr '\n' ' ') and $(losses published | tr '\n' ' ')"
grep -c validation_loss plain/metrics.jsonl | grep -qx 2 || fail "no losses of validation"
[ -n "$(ls plain/events.out.tfevents.* 2>/dev/null)" ] || fail "no event file"

# Samples: 8-bit images and a grid; the same whatever the batch, with fixed steps.
expect 0 "$vapo" sample plain -n 6 --save six.npy --grid six.png --json
[ "$(value nfe <out)" = 8 ] || fail "$(value nfe <out) evaluations of Heun's four steps"
expect 0 "$vapo" sample plain -n 6 --batch-size 4 --save again.npy
cmp six.npy again.npy || fail "samples depend on the batch size"
expect 0 "$vapo" sample plain -n 6 --class 3 --save three.npy
cmp -s six.npy three.npy && fail "a class makes no difference"
expect 0 "$vapo" sample plain -n 2 --save two.npz --method rk45
expect 0 "$vapo" info six.npy --json
head -c 8 six.png | grep -q PNG || fail "six.png is no PNG"

# A stop in the middle of a grid, of more steps than anyone waits for: saved, and the grid is drawn when the run goes
# on.
"$vapo" train images.toml --out stopped --set sample.steps=100000000 >out 2>err &
pid=$! code=0
until_there stopped/checkpoint-10.safetensors $pid
sleep 0.3
kill -TERM $pid
wait $pid || code=$?
[ "$code" = 143 ] || fail "exit code $code instead of 143"
[ "$(cat stopped/latest)" = checkpoint-10.safetensors ] || fail "latest names $(cat stopped/latest)"
[ -e stopped/samples-10.png ] && fail "a grid that was not finished"
expect 0 "$vapo" train --out stopped --resume --set sample.steps=4
cmp plain/samples-10.png stopped/samples-10.png || fail "the grid after the stop is another one"
[ "$(timeless plain/metrics.jsonl)" = "$(timeless stopped/metrics.jsonl)" ] || fail "other metrics after the stop"

# A kill beside a grid's picture and its line, then another sampler: the picture first, then its line, each of the
# sampler that drew it, and no line twice.
grid_line() { grep -c '"step":10,"grid"' "$1/metrics.jsonl"; }
method() { grep '"step":10,"grid"' "$1/metrics.jsonl" | grep -o '"method":"[a-z]*"'; }
expect 0 "$vapo" train images.toml --out heun --set train.steps=10
expect 0 "$vapo" train images.toml --out euler --set train.steps=10 --set sample.method=euler
cmp -s heun/samples-10.png euler/samples-10.png && fail "the sampler makes no difference to a grid"
other=(--resume --set sample.method=euler)
cp -r heun whole
expect 0 "$vapo" train --out whole "${other[@]}"
cmp whole/samples-10.png heun/samples-10.png || fail "a grid that was finished is drawn again"
cmp whole/metrics.jsonl heun/metrics.jsonl || fail "a grid that was finished has another line"
for lost in picture line half; do
  cp -r heun "no-$lost"
  case $lost in
    picture) rm "no-$lost/samples-10.png" ;;
    line) sed -i '/"step":10,"grid"/d' "no-$lost/metrics.jsonl" ;;
    half) truncate -s -20 "no-$lost/metrics.jsonl" ;;
  esac
  expect 0 "$vapo" train --out "no-$lost" "${other[@]}"
  cmp "no-$lost/samples-10.png" euler/samples-10.png || fail "without its $lost the grid is not of the sampler of now"
  [ "$(grid_line "no-$lost") $(method "no-$lost")" = '1 "method":"euler"' ] ||
    fail "without its $lost: $(grid_line "no-$lost") lines, $(method "no-$lost")"
  [ "$(timeless "no-$lost/metrics.jsonl" | sort)" = "$(timeless euler/metrics.jsonl | sort)" ] || fail "without its $lost: other metrics"
done
expect 0 "$vapo" train images.toml --out in-the-way --set train.steps=9
mkdir in-the-way/samples-10.png  # a picture that cannot be written
expect 5 "$vapo" train --out in-the-way --resume --set train.steps=10
[ "$(grid_line in-the-way)" = 0 ] || fail "a line without its picture"
rmdir in-the-way/samples-10.png
expect 0 "$vapo" train --out in-the-way --resume
cmp in-the-way/samples-10.png heun/samples-10.png || fail "the grid that had no room is another one"
[ "$(timeless in-the-way/metrics.jsonl)" = "$(timeless heun/metrics.jsonl)" ] || fail "other metrics after a grid that had no room"

# What a run would cost.
expect 0 "$vapo" train images.toml --out nothing --dry-run --json
[ "$(value parameters <out)" -gt 1000 ] || fail "no parameters"
[ "$(value peak_bytes <out)" -gt 1000 ] || fail "no memory"
measured=$(value measured_with <out)
[ "$measured" -ge 4 ] && [ "$measured" -le 8 ] || fail "timed with $measured of 8 images"
[ -e nothing ] && fail "a dry run wrote something"
# In parts the published loss asks for Φ once more: a sixth of the work, and not much more memory than a part's.
published=(--set loss.estimator=published --dry-run --json)
expect 0 "$vapo" train images.toml "${published[@]}"
whole=$(value flops_per_step forward_passes_first <out)
expect 0 "$vapo" train images.toml "${published[@]}" --set train.accumulate=2
parts=$(value flops_per_step forward_passes_first <out)
awk -v a="$(head -1 <<<"$whole")" -v b="$(head -1 <<<"$parts")" 'BEGIN { exit !(b > 1.1 * a && b < 1.3 * a) }' || fail "FLOPs: $whole and $parts"
[ "$(tail -1 <<<"$whole") $(tail -1 <<<"$parts")" = "false true" ] || fail "the dry run does not tell of the first pass"

# Refused in one line.
refused 3 'train.batch_size = 8 .*train.accumulate = 3' "$vapo" train images.toml --out bad --set train.accumulate=3
refused 3 'unet.classes = 5, and mnist has 10' "$vapo" train images.toml --out bad --set unet.classes=5
refused 3 'model.kind = "mlp" is for points' "$vapo" train images.toml --out bad --set model.kind=mlp
refused 3 'has classes 0 to 9' "$vapo" sample plain --class 10
refused 5 'set/none' "$vapo" train images.toml --out bad --set data.path=set/none
head -c 1000 set/train-images-idx3-ubyte >short && cp -r set broken && cp short broken/train-images-idx3-ubyte
refused 3 'train-images-idx3-ubyte' "$vapo" train images.toml --out bad --set data.path=broken
mkdir tiny && any_bytes tiny train 60 4096 && any_bytes tiny t10k 20 4096
expect 0 "$vapo" train tiny.toml --out points --set train.steps=5
refused 3 'a model of points' "$vapo" sample points --grid x.png
echo "images: passed"
