#!/usr/bin/env bash
# The program on a GPU, or on emulated kernels: training with recorded steps equals training without, bit for bit;
# a resumed run equals an uninterrupted one; the command says what it runs on. So do image networks, whose convolutions'
# plans are chosen by the clock and kept in the run's folder.
. "$3/tests/apps/common.sh"
. "$3/tests/apps/tiny_images.sh"

small=(--set model.hidden=[16,16] --set train.batch_size=8 --set train.steps=9 --set train.checkpoint_every=3
  --set train.warmup_steps=4 --set train.clip=norm --set train.clip_limit=0.5 --json)
expect 0 "$vapo" train tiny.toml --out recorded --device cuda "${small[@]}"
expect 0 "$vapo" train tiny.toml --out launched --device cuda --no-graph "${small[@]}"
grep -qE "^[^,]+, CUDA [0-9]+\.[0-9]+ .*, precision strict" err || fail "the log does not name the device: $(head -1 err)"
last() { ls "$1"/checkpoint*9.safetensors; }
cmp "$(last recorded)" "$(last launched)" || fail "recorded steps give other bits than launched ones"

published=("${small[@]}" --set loss.estimator=published --set loss.weight=one --set train.clip=std --set train.ema_ramp=true)
expect 0 "$vapo" train tiny.toml --out recorded-published --device cuda "${published[@]}"
expect 0 "$vapo" train tiny.toml --out launched-published --device cuda --no-graph "${published[@]}"
cmp "$(last recorded-published)" "$(last launched-published)" || fail "the published loss: other bits when recorded"

# Pairs, drawn times and their weights, and a path that blurs, in recorded steps.
coupled=("${small[@]}" --set path.kind=linear --set path.coupling=optimal --set model.potential=raw
  --set path.times=logit_normal --set path.times_uniform=0.2 --set path.times_unbiased=true)
expect 0 "$vapo" train tiny.toml --out recorded-coupled --device cuda "${coupled[@]}"
expect 0 "$vapo" train tiny.toml --out launched-coupled --device cuda --no-graph "${coupled[@]}"
cmp "$(last recorded-coupled)" "$(last launched-coupled)" || fail "pairs and weights: other bits when recorded"
. "$3/tests/apps/tiny_images.sh"
idx train 12 1
images_toml wide_resnet 'path.kind="blurring"' 'loss.weight="one"' train.batch_size=2 train.steps=9 >blurring.toml
expect 0 "$vapo" train blurring.toml --out recorded-blurring --device cuda
expect 0 "$vapo" train blurring.toml --out launched-blurring --device cuda --no-graph
cmp "$(last recorded-blurring)" "$(last launched-blurring)" || fail "a path that blurs: other bits when recorded"

expect 0 "$vapo" train tiny.toml --out stopped --device cuda "${small[@]}" --set train.steps=6 --set train.schedule_steps=9
expect 0 "$vapo" train --out stopped --resume --device cuda --set train.steps=9 --json
expect 0 "$vapo" train tiny.toml --out whole --device cuda "${small[@]}" --set train.schedule_steps=9
expect 0 "$vapo" sample stopped -n 8 --seed 1 --device cuda --save stopped.npy --json
expect 0 "$vapo" sample whole -n 8 --seed 1 --device cuda --save whole.npy --json
cmp stopped.npy whole.npy || fail "a resumed run gives other samples than an uninterrupted one"

# samples by a recorded gradient are those of a launched one
for how in "--method rk45" "--method rk23 --per-sample-norm" "--method heun --steps 4" "--method sgld --steps 4"; do
  for graph in "" --no-graph; do
    expect 0 "$vapo" sample whole -n 10 --batch-size 4 --seed 2 $how --device cuda $graph --save samples$graph.npy --json
    [ -s err ] && grep -q "not recorded" err && fail "$how: $(cat err)"
  done
  cmp samples.npy samples--no-graph.npy || fail "sample $how: a recorded gradient gives other bits"
done
# --- images in bf16: plans are timed once, and taken again by who has the file
idx train 60 1
images_toml unet unet.base_width=4 unet.groups=2 'unet.attention_downsamplings=[]' train.steps=4 train.checkpoint_every=2 \
  train.batch_size=2 train.log_every=1 train.ema_decay=0.5 train.sample_every=0 >images.toml
images() { expect 0 "$vapo" train "$@" --device cuda --precision bf16 --json; }
kept() { grep -oE "convolutions: .*" err; }
images images.toml --out chosen
kept | grep -qE "plans of cuDNN's for [1-9][0-9]* shapes chosen of [1-9][0-9]* in [0-9.]+ s, 0 kept" || fail "no line says what was chosen: $(kept)"
[ "$(kept | wc -l)" = 1 ] || fail "$(kept | wc -l) lines say what was chosen"
plans=chosen/convolutions.jsonl
head -1 $plans | grep -q '"for":".*cuDNN [0-9]' || fail "$plans does not say what it is for: $(head -1 $plans)"
tail -n +2 $plans | grep -vqE '"microseconds":[0-9.]*[1-9]' && fail "a plan was not timed: $(grep -m1 -vE '"microseconds":[0-9.]*[1-9]' $plans)"
for how in launched recorded; do  # a folder that holds nothing but plans has them taken
  mkdir of-$how && cp $plans of-$how/
  images images.toml --out of-$how $([ $how = launched ] && echo --no-graph)
  kept | grep -q "for 0 shapes .* $(($(wc -l <$plans) - 1)) kept from before" || fail "$how: not taken from the file: $(kept)"
  cmp $plans of-$how/convolutions.jsonl || fail "$how: the file changed"
  cmp chosen/checkpoint-4.safetensors of-$how/checkpoint-4.safetensors || fail "$how: other bits by the same plans"
done
images images.toml --out paused --set train.steps=2
cp paused/convolutions.jsonl before
images --resume --out paused --set train.steps=4
cmp before paused/convolutions.jsonl || fail "a resumed run does not keep its plans"
mkdir whole-images && cp before whole-images/convolutions.jsonl
images images.toml --out whole-images
tensors() { tail -c 4096 "$1"; }
cmp <(tensors paused/checkpoint-4.safetensors) <(tensors whole-images/checkpoint-4.safetensors) || fail "a resumed run of images gives other bits"
# what the file holds may be anything
mkdir other && sed '1s/cuDNN [0-9]*/cuDNN 1/' $plans >other/convolutions.jsonl
images images.toml --out other
[ "$(grep -c 'other/convolutions.jsonl: chosen for .*, cuDNN 1, and this is .*: convolutions choose their plans anew' err)" = 1 ] ||
  fail "plans of another cuDNN: $(cat err)"
head -1 other/convolutions.jsonl | cmp - <(head -1 $plans) || fail "plans of another cuDNN stay"
mkdir spoilt
{ head -3 $plans; echo '{"pass":"forward"'; echo '[]'; echo '{"pass":"sideways"}'; tail -1 $plans | sed 's/"engine":[0-9]*/"engine":99999/'
  tail -1 $plans | sed 's/"input":\[[0-9]*/"input":[9223372036854775807/'; tail -1 $plans | sed 's/"dtype":"[a-z0-9]*"/"dtype":7/'; } >spoilt/convolutions.jsonl
images images.toml --out spoilt
[ "$(grep -c 'spoilt/convolutions.jsonl: 6 of 8 lines are no plan that can be had here' err)" = 1 ] || fail "a spoilt file: $(cat err)"
kept | grep -q '2 kept from before' || fail "what is left of a spoilt file is not taken: $(kept)"
if grep -q '"for":"emulated' $plans; then  # whose engines are known: another that computes the same
  mkdir known && sed 's/"engine":6,"knobs":\[\[2,1\]\]/"engine":8,"knobs":[[2,0]]/' $plans >known/convolutions.jsonl
  grep -q '"engine":8' known/convolutions.jsonl && ! grep -q '"engine":6' known/convolutions.jsonl || fail "other plans than were expected: $(head -2 $plans)"
  cp known/convolutions.jsonl before
  images images.toml --out known
  cmp before known/convolutions.jsonl || fail "a plan that was kept is timed again"
  export VAPO_EMULATED_CUDNN_REFUSES=graph
  images images.toml --out older
  [ "$(grep -c "cuDNN's graph API has no plan for [1-9][0-9]* of the convolutions, which take its older algorithms: .*CUDNN_STATUS_NOT_SUPPORTED" err)" = 1 ] ||
    fail "a refused graph is not told once: $(cat err)"
  grep -q '"legacy_convolutions":[1-9]' older/metrics.jsonl || fail "nor counted"
  unset VAPO_EMULATED_CUDNN_REFUSES
fi
echo "device: ok"
