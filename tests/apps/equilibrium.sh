# The equilibrium phase: after the flow in one run, resumed in its middle, on a finished run by --from, of images with
# their chains in a picture; and where energies run away.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"

phase=(--threads 1 --set train.steps=8 --set train.keep_checkpoints=1 --set equilibrium.buffer=16 --set equilibrium.batch_size=8
  --set 'equilibrium.times=[0.6, 0.9]' --set equilibrium.chain_steps=2 --set equilibrium.warmup_steps=2)
autonomous=(--set model.time_embedding=0 --set model.potential=raw --set path.kind=linear --set loss.weight=one
  --set equilibrium.energy=potential)

# --- one run: its steps are counted on, and told; the flow's last checkpoint stays
expect 0 "$vapo" train tiny.toml --out whole "${phase[@]}" --set equilibrium.steps=12 --json
[ "$(value steps <out)" = 20 ] || fail "steps are not counted on: $(cat out)"
grep -q 'steps 0 to 20, of the equilibrium phase from 8 on' err || fail "not told: $(cat err)"
[ "$(cd whole && echo checkpoint-*)" = 'checkpoint-20.safetensors checkpoint-8.safetensors' ] || fail "other checkpoints: $(ls whole)"
[ "$(value step <<<"$(sed -n 2p whole/metrics.jsonl)")" = 8 ] || fail "no line at the flow's end: $(cat whole/metrics.jsonl)"
grep -c '"equilibrium"' whole/metrics.jsonl | grep -qx 3 || fail "lines of the phase: $(cat whole/metrics.jsonl)"
tail -1 whole/metrics.jsonl | "$json_value" equilibrium >measured || fail "no measurements"
for name in energy_data energy_chains spread_data spread_chains gradient_flow gradient_contrast weight acceptance; do
  grep -q "\"$name\":[0-9-]" measured || fail "$name is not logged: $(cat measured)"
done
expect 0 "$vapo" sample whole -n 20
expect 0 "$vapo" report whole --out page.html
grep -q 'the last 12 steps: marginal energy, 16 chains' page.html || fail "the page does not know of the phase"

# --- resumed in its middle, and begun on a finished flow: the same bits
expect 0 "$vapo" train tiny.toml --out parts "${phase[@]}" --set equilibrium.steps=5
expect 0 "$vapo" train --out parts --resume --threads 1 --set equilibrium.steps=12
cmp whole/checkpoint-20.safetensors parts/checkpoint-20.safetensors || fail "resumed in the middle of the phase: other bits"
expect 0 "$vapo" train tiny.toml --out flow --threads 1 --set train.steps=8
cp -r flow plain
expect 0 "$vapo" train --out flow --resume "${phase[@]}" --set equilibrium.steps=12
cmp whole/checkpoint-20.safetensors flow/checkpoint-20.safetensors || fail "begun on a resumed run: other bits"
cmp -s whole/checkpoint-20.safetensors whole/checkpoint-8.safetensors && fail "the test cannot tell bits apart"
refused 2 'equilibrium.weight = 2: cannot change on --resume.*of the equilibrium phase, which has begun' \
  "$vapo" train --out parts --resume --set equilibrium.weight=2
refused 2 'train.steps = 30: cannot change' "$vapo" train --out parts --resume --set train.steps=30
refused 2 'equilibrium.steps = 0: 12 updates' "$vapo" train --out parts --resume --set equilibrium.steps=0
refused 2 'train.steps = 6: the run has done 8' "$vapo" train --out plain --resume --set train.steps=6 --set equilibrium.steps=3

# --- on a finished run: the phase alone, with its averaged weights and its optimizer
expect 0 "$vapo" train tiny.toml --out tuned --from plain "${phase[@]:0:2}" "${phase[@]:4}" --set equilibrium.steps=6
grep -q 'the equilibrium phase alone: train.steps = 0' err || fail "not told: $(cat err)"
grep -q 'from .*plain/checkpoint-8.safetensors: its averaged weights of step 8; its optimizer' err || fail "whose optimizer: $(cat err)"
expect 0 "$vapo" info tuned --json
[ "$(value step optimizer_steps <out | tr '\n' ' ')" = '6 14 ' ] || fail "the optimizer's steps: $(cat out)"
expect 0 "$vapo" train tiny.toml --out both --from plain "${phase[@]}" --set equilibrium.steps=6
grep -q 'averaged weights of step 8; a fresh optimizer' err || fail "train.steps=8 was asked for: $(cat err)"
expect 0 "$vapo" info both --json
[ "$(value step <out)" = 14 ] || fail "not both phases: $(cat out)"

# --- energies that run away end the run; the flow's checkpoint stays
expect 4 "$vapo" train tiny.toml --out away "${phase[@]}" "${autonomous[@]}" --set equilibrium.steps=50 --set equilibrium.limit=1e-9 \
  --set train.checkpoint_every=1000
grep -q '^vapo: energies run away: at update 20 .*Hint' err || fail "not told: $(cat err)"
[ "$(grep -c '^vapo:' err)" = 1 ] || fail "more than one line"
expect 0 "$vapo" info away --json
[ "$(value step <out)" = 8 ] || fail "not the flow's last checkpoint: $(cat out)"

# --- chains that jump say how often; the others say nothing of it
expect 0 "$vapo" train tiny.toml --out jumps "${phase[@]}" "${autonomous[@]}" --set equilibrium.steps=4 --set equilibrium.jumps=2
tail -1 jumps/metrics.jsonl | "$json_value" equilibrium | grep -q '"jumped":0\.[0-9]' || fail "jumps are not logged: $(tail -1 jumps/metrics.jsonl)"
grep -q jumped measured && fail "jumps of chains that have none"

# --- the density of e^{Phi/T}, the law that its chains keep, also where the path leaves no marginal energy
expect 0 "$vapo" train tiny.toml --out paired "${phase[@]}" "${autonomous[@]}" --set equilibrium.steps=4 --set path.coupling=optimal \
  --set sample.energy=potential --set sample.temperature=0.1 --set energy.boltzmann=given
expect 0 "$vapo" density paired --json --no-figures
value tv_potential <paired/summary.json >/dev/null || fail "no distance of the law: $(cat paired/summary.json)"
grep -q tv_marginal paired/summary.json && fail "a marginal energy that is none"
refused 3 'path.coupling = "optimal" makes noise and data depend on each other' "$vapo" density paired --no-figures --set sample.energy=marginal

# --- what makes no sense, and what is not used
expect 0 "$vapo" train tiny.toml --out unused --set equilibrium.weight=2
grep -q 'equilibrium.weight is set and equilibrium.steps = 0' err || fail "not told that it is not used"
wrong() { refused 3 "$1" "$vapo" train tiny.toml --out no "${phase[@]}" --set equilibrium.steps=5 "${@:2}"; }
wrong 'equilibrium.times: 1 must be' --set equilibrium.times=1
wrong 'equilibrium.times = .*must be a number' --set 'equilibrium.times=[0.5, "late"]'
wrong 'equilibrium.batch_size = 7' --set equilibrium.batch_size=7
wrong 'equilibrium.buffer = 20' --set equilibrium.buffer=20
wrong 'equilibrium.energy = "potential" is for a potential that is raw' --set equilibrium.energy=potential
wrong 'equilibrium.clamp_states = true is for images' "${autonomous[@]}" --set equilibrium.clamp_states=true
wrong 'equilibrium.fade = 0.5' --set equilibrium.fade=0.5 --set loss.estimator=published --set loss.weight=one
wrong 'equilibrium.energy = .*must be one of: marginal, potential' --set equilibrium.energy=boltzmann
[ -e no ] && fail "a refused start leaves a folder"
expect 0 "$vapo" train tiny.toml --dry-run "${phase[@]}" --set equilibrium.steps=5 --json
[ "$(value equilibrium_steps <out)" = 5 ] || fail "--dry-run does not know of the phase: $(cat out)"

# --- images: an autonomous potential as published, and one that is told time and class; the chains in a picture
idx train 40 1
idx t10k 20 2
images_toml wide_resnet 'path.kind="linear"' 'loss.weight="one"' wide_resnet.time=false train.steps=2 train.sample_every=2 sample.grid=4 \
  equilibrium.steps=4 'equilibrium.energy="potential"' equilibrium.buffer=8 equilibrium.batch_size=4 equilibrium.chain_steps=2 \
  equilibrium.clamp_states=true equilibrium.fade=0.8 equilibrium.trim=0.25 equilibrium.clamp=0.02 equilibrium.share=0.5 >autonomous.toml
images_toml unet unet.classes=4 train.steps=2 train.accumulate=2 train.sample_every=2 sample.grid=4 equilibrium.steps=4 \
  equilibrium.buffer=8 equilibrium.batch_size=4 equilibrium.chain_steps=2 >classes.toml
for kind in autonomous classes; do
  expect 0 "$vapo" train $kind.toml --out $kind --threads 1
  [ "$(cd $kind && echo *-[0-9]*.png)" = 'buffer-4.png buffer-6.png samples-2.png samples-4.png samples-6.png' ] || fail "pictures: $(ls $kind)"
  expect 0 "$vapo" train $kind.toml --out $kind-parts --threads 1 --set equilibrium.steps=1
  expect 0 "$vapo" train --out $kind-parts --resume --threads 1 --set equilibrium.steps=4
  cmp $kind/checkpoint-6.safetensors $kind-parts/checkpoint-6.safetensors || fail "$kind: resumed, other bits"
  for picture in buffer-4 buffer-6; do cmp $kind/$picture.png $kind-parts/$picture.png || fail "$kind: another $picture.png"; done
done

# --- samples that the phase trains: heated beyond t = 1, and chains at a time that the flow carries on
expect 0 "$vapo" sample autonomous --method euler --steps 40 --t-end 2 --temperature 0.01 -n 4 --save hot.npy
expect 0 "$vapo" sample autonomous --method euler --steps 40 --t-end 2 -n 4 --save cold.npy
cmp -s hot.npy cold.npy && fail "--temperature does nothing to a flow"
refused 3 'takes steps of one length. Hint: --method euler' "$vapo" sample autonomous --method heun --temperature 0.01 -n 4
refused 3 'is of an autonomous potential' "$vapo" sample classes --method euler --temperature 0.01 -n 4
at_a_time=(--method sgld --t 0.8 --step-size 1e-3 --steps 5 -n 4)
expect 0 "$vapo" sample classes "${at_a_time[@]}" --denoise --class all --save denoised.npy --json
[ "$(value nfe <out)" -gt 5 ] || fail "the flow takes no evaluation: $(cat out)"
expect 0 "$vapo" sample classes "${at_a_time[@]}" --class all --save noisy.npy
cmp -s denoised.npy noisy.npy && fail "--denoise does nothing"
refused 3 'denoising: of chains of the marginal energy' "$vapo" sample autonomous "${at_a_time[@]}" --energy potential --denoise
expect 0 "$vapo" sample autonomous --method sgld --energy potential --temperature 0.01 --step-size 0.02 --steps 5 -n 4

# --- long runs: from data, held in [-1,1], with temperatures in turn, carried on to t = 1; of points too
long=("$vapo" longrun autonomous --method sgld --step-size 1e-3 --steps 40 -n 3 --json)
expect 0 "${long[@]}" --energy potential --temperatures 0.01 --start data,noise --clamp --out held
[ "$(value summary <held/result.json | "$json_value" runs)" = 2 ] || fail "runs: $(cat held/result.json)"
grep -q '"R-hat","drift of F","its standard error"' out || fail "no drift beside R-hat"
grep -q 'R-hat is flattered' out || fail "not told what a drift does"
awk -F'"outside":' '{ split($2, a, ","); if (a[1] > 0) exit 1 }' <(tail -n +2 held/sgld-data-0.01.jsonl) || fail "not held in [-1,1]"
expect 0 "${long[@]}" --t 0.8 --temperatures 0.5,2 --start data --together --denoise --out turns
[ "$(wc -l <turns/sgld-data.jsonl)" = 40 ] || fail "not one run: $(ls turns)"
for temperature in 0.5 2; do
  expect 0 "$vapo" info turns/sgld-data-$temperature-denoised.npy
  grep -q '3,16,8,8,1' out || fail "not 16 images of 3 particles: $(cat out)"
done
cmp -s turns/sgld-data-2.npy turns/sgld-data-2-denoised.npy && fail "--denoise does nothing"
expect 0 "${long[@]}" --t 0.8 --temperatures 0.5,2 --start data --together --denoise --out turns  # as it was left
refused 3 '--denoise: of --method sgld' "$vapo" longrun autonomous --method sgld --energy potential --denoise
expect 0 "$vapo" longrun whole --method sgld --t 0.9 --start data,samples,noise --steps 40 --step-size 1e-3 -n 4 --denoise --out points --json
[ -s points/sgld-data-1-denoised.npy ] || fail "no states of points: $(ls points)"
expect 0 "$vapo" longrun whole --until 2 --steps-per-unit 10 -n 4 --json
echo "equilibrium: passed"
