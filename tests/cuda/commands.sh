#!/usr/bin/env bash
# Every command on a GPU, or on emulated kernels, beside the same on the CPU: the numbers of its result within a stated
# tolerance, its images within so many grey levels; in `strict`, `fast` and `bf16`, of points and of images.
. "$3/tests/apps/common.sh"
. "$3/tests/apps/tiny_images.sh"
export OMP_NUM_THREADS=1  # of networks this small more threads make nothing quicker

# alike TOLERANCE ONE OTHER: the numbers of two JSON objects by their keys, each within TOLERANCE·(1 + |number|). How often an
# adaptive method asks, and what is beyond a bound, are numbers in strict alone: rounding may fall on either side of one.
alike() {
  local left_out='seconds|per_second|bytes|rate'
  [ "$precision" = strict ] || left_out+='|nfe|drifting'
  numbers() { grep -oE '"[^"]+": ?-?[0-9][0-9.e+-]*' "$1" | grep -vE "$left_out"; }
  paste -d'|' <(numbers "$2") <(numbers "$3") | LC_ALL=C awk -F'|' -v most="$1" '
    { split($1, a, /": ?/); split($2, b, /": ?/); d = a[2] - b[2]; if (d < 0) d = -d; size = a[2] < 0 ? -a[2] : a[2]
      if (a[1] != b[1] || !(d <= most * (1 + size))) { print "CPU " $1 ", GPU " $2; wrong = 1 } }
    END { if (NR == 0) print "no numbers"; exit wrong || NR == 0 }' >differences || fail "$what: $(head -3 differences) ($4)"
}
# images_alike MOST ONE OTHER: files of bytes of the same size, no byte further off than MOST.
images_alike() {
  [ -s "$2" ] && [ "$(wc -c <"$2")" = "$(wc -c <"$3")" ] || fail "$what: $2 and $3 are not of one size"
  cmp -l "$2" "$3" | LC_ALL=C awk -v most="$1" '
    function byte(o) { return int(o / 100) * 64 + int(o / 10) % 10 * 8 + o % 10 }
    { d = byte($2) - byte($3); if (d < 0) d = -d; if (d > worst) worst = d } END { print worst + 0; exit worst > most }' >worst ||
    fail "$what: $(cat worst) grey levels between $2 and $3"
}
# points_alike MOST: the tables points-cpu.csv and points-cuda.csv.
points_alike() {
  paste -d, points-cpu.csv points-cuda.csv | LC_ALL=C awk -F, -v most="$1" '
    NR > 1 { for (i = 1; i <= NF / 2; ++i) { d = $i - $(i + NF / 2); if (d < 0) d = -d; if (d > worst) worst = d } }
    END { print worst + 0; exit NR < 2 || worst > most }' >worst || fail "$what: points $(cat worst) apart"
}
# both TOLERANCE command…: on either device, @ in it being cpu or cuda; its result is compared.
both() {
  local tolerance=$1 device
  shift
  what="$* ($precision)"
  for device in cpu cuda; do
    expect 0 "$vapo" "${@//@/$device}" --device $device --precision $precision --json
    mv out out-$device
  done
  alike "$tolerance" out-cpu out-cuda "$what"
}

idx train 80 1
idx t10k 12 2
pixels 8 3 | npy other.npy '(8, 8, 8)'
tiny=(data.held_out=0.2 data.dequantize=true train.steps=5 train.batch_size=4 train.log_every=1 train.ema_decay=0.5
  train.learning_rate=1e-3 train.sample_every=5 sample.steps=1 sample.grid=2)
images_toml unet unet.base_width=4 'unet.attention_downsamplings=[]' unet.groups=2 unet.classes=4 "${tiny[@]}" >images.toml
images_toml wide_resnet 'path.kind="linear"' 'loss.weight="one"' "${tiny[@]}" >wide.toml

for precision in strict fast bf16; do
  # of a loss or a likelihood; of what amplifies (scores of few images, distances of few features); grey levels
  case $precision in strict | fast) near=0.002 wide=0.02 levels=1 ;; bf16) near=0.1 wide=0.5 levels=24 ;; esac

  # --- training: the same losses
  both $near train tiny.toml --out points-$precision-@ --set train.steps=6 --set train.log_every=2
  both $near train images.toml --out images-$precision-@
  both $near train wide.toml --out wide-$precision-@ --set train.steps=4
  for net in points images wide; do
    alike $near $net-$precision-cpu/metrics.jsonl $net-$precision-cuda/metrics.jsonl "its metrics"
  done
  ls images-$precision-cuda/samples-*.png >/dev/null || fail "no grid of samples"
  both $near train images.toml --out again-$precision-@ --set train.accumulate=2 --set train.recompute=true \
    --set unet.dropout=0.1 --set loss.estimator=published --set train.clip=std --set train.steps=3
  both $near train --out again-$precision-@ --resume --set train.steps=4

  # --- points
  points=points-strict-cpu images=images-strict-cpu
  for how in "--method rk45" "--method rk23 --per-sample-norm" "--method heun --steps 3" "--method sgld --steps 5 --step-size 0.01"; do
    both $near sample $points -n 8 --seed 3 $how --save points-@.csv
    points_alike $near
  done
  both $near likelihood $points --limit 6 --tolerance 1e-3
  both $near likelihood $points --limit 6 --tolerance 1e-3 --trace hutchinson --probes 2
  density=(--set density.points=60 --set density.grid=8 --set density.likelihood_points=4 --set density.sgld_particles=8
    --set density.sgld_steps=10 --set density.sgld_burn_in=2)
  figures=--no-figures  # drawn once: where gnuplot is
  if [ $precision = strict ] && command -v gnuplot >/dev/null; then figures=; fi
  both $wide density $points $figures --out density-$precision-@ "${density[@]}"

  # --- images
  for how in "" "--class all --guidance 2" "--class 1 --method rk45 --per-sample-norm --rtol 0.2 --atol 0.2" \
    "--class 3 --guidance 1 --method sgld --energy boltzmann --steps 3 --step-size 0.001"; do
    both $near sample $images -n 2 --batch-size 1 $how --save images-@.npy
    images_alike $levels images-cpu.npy images-cuda.npy
  done
  both $near sample wide-strict-cpu -n 2 --save images-@.npy
  images_alike $levels images-cpu.npy images-cuda.npy
  both $near interpolate $images --pairs 1 --points 3 --class 1 --out between-$precision-@
  images_alike $levels between-$precision-{cpu,cuda}/interpolate.npy
  both $near compose $images --classes 0,1 -n 1 --guidance 1 --out composed-$precision-@
  images_alike $levels composed-$precision-{cpu,cuda}/compose.npy
  for how in "--mask box" "--mask half --renoised --with-labels --guidance 1"; do
    name=painted-$precision-${#how}
    both $near inpaint $images --data set --images mnist -n 3 $how --out $name-@
    images_alike $levels $name-{cpu,cuda}/inpaint.npy
  done
  likelihood=(likelihood $images --limit 2 --tolerance 0.2 --dequantisations 1 --batch-size 2)
  both $near "${likelihood[@]}" --out likelihood-$precision-@
  both $near "${likelihood[@]}" --with-labels --probes 2 --out labelled-$precision-@
  both $wide ood $images --out other.npy,interpolated --limit 4 --training-images 4 --folder ood-$precision-@
  both $near longrun $images --until 1 --steps-per-unit 3 -n 2 --out flow-$precision-@
  both $near longrun $images --method sgld --energy marginal --start noise,samples --temperatures 0.1 --step-size 1e-5 \
    -n 2 --steps 6 --burn-in 1 --out chain-$precision-@

  # --- a classifier, and distances in its features
  both $wide classifier train mnist --data set --epochs 1 --batch-size 16 --shift 0 --out c-$precision-@.safetensors
  both $near classifier test c-strict-cpu.safetensors mnist --data set
  fid=(fid --features c-strict-cpu.safetensors --data set --ref mnist:test)
  both $wide "${fid[@]}" --samples other.npy --out fid-$precision-@
  both $wide "${fid[@]}" --samples $images -n 6 --class all --out fid-model-$precision-@

  # --- what is measured: every row, small; in the other precisions tests/tools/gpu_host.sh has them
  [ $precision = bf16 ] || continue
  for suite in "ops" "block --channels 32" "step" "step --network unet" "step --network wide_resnet"; do
    expect 0 "$vapo" bench $suite --quick --device cuda --precision $precision --json
    mv out rows
    expect 0 "$vapo" bench $suite --quick --device cpu --precision $precision --json
    [ "$(grep '"pass"' rows | grep -vc '"recorded step"')" = "$(grep -c '"pass"' out)" ] ||  # there is none on a CPU
      fail "bench $suite ($precision): other rows than on the CPU"
  done
done

# the report looks at files alone
expect 0 "$vapo" report images-strict-cuda --json

# --- a convolution without a deterministic algorithm of cuDNN's: told once, counted, and the same result
if "$vapo" bench step --quick --device cuda 2>&1 >/dev/null | grep -q '^emulated,'; then
  export VAPO_EMULATED_CUDNN_REFUSES=1
  expect 0 "$vapo" train images.toml --out refused --device cuda --json
  [ "$(grep -c 'no deterministic algorithm for .* of the convolutions' err)" = 1 ] || fail "it is not told once: $(cat err)"
  grep -q '"plain_convolutions":[1-9]' refused/metrics.jsonl || fail "it is not counted"
  precision=strict what="plain convolutions"
  alike 0.002 images-strict-cpu/metrics.jsonl <(sed 's/,"plain_convolutions":[0-9]*//' refused/metrics.jsonl) "its metrics"
  expect 0 "$vapo" bench ops --quick --only conv2d --device cuda --json
  grep -q '"plain_convolutions":1' out || fail "bench does not count it: $(head -1 out)"
  expect 0 "$vapo" sample images-strict-cpu -n 2 --device cuda --save plain.npy
  [ "$(grep -c 'no deterministic algorithm' err)" = 1 ] || fail "sampling does not tell it: $(cat err)"
  unset VAPO_EMULATED_CUDNN_REFUSES
  expect 0 "$vapo" sample images-strict-cpu -n 2 --device cuda --save quick.npy
  grep -q 'no deterministic algorithm' err && fail "it is told where nothing is missing"
  images_alike 1 plain.npy quick.npy
fi
echo "commands: passed"
