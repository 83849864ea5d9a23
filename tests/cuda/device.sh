#!/usr/bin/env bash
# The program on a GPU, or on emulated kernels: training with recorded steps equals training without, bit for bit;
# a resumed run equals an uninterrupted one; the command says what it runs on.
. "$3/tests/apps/common.sh"

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
echo "device: ok"
