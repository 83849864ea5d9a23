# Bad input: one clear line on standard error, the right exit code, and nothing left under a final name.
. "$(dirname "$0")/common.sh"

# --- the command line: 2
refused 2 'subcommand' "$vapo"
refused 2 'CONFIG' "$vapo" train --out run
refused 2 'out' "$vapo" train tiny.toml
refused 2 '' "$vapo" sample nowhere -n -5
refused 2 '' "$vapo" sample nowhere -n many
refused 2 '' "$vapo" sample nowhere --method magic
refused 2 'expected section.key=value' "$vapo" train tiny.toml --out run --set train.steps
refused 2 '' "$vapo" fly

# --- the config: 3, with file, line and key
config_refused() {  # PATTERN, then the text
  printf '%b' "$2" >bad.toml
  refused 3 "$1" "$vapo" train bad.toml --out run
}
config_refused 'bad.toml:2: unknown key train.stepz' '[train]\nstepz = 5\n'
config_refused 'bad.toml:1: unknown key trian' '[trian]\nsteps = 5\n'
config_refused 'bad.toml:3: train.steps = .*integer' '[train]\n\nsteps = "many"\n'
config_refused 'train.steps = 1.5.*integer' '[train]\nsteps = 1.5\n'
config_refused 'train.batch_size = -5.*from 1' '[train]\nbatch_size = -5\n'
config_refused 'model.hidden = -3' '[model]\nhidden = [16, -3]\n'
config_refused 'model.hidden' '[model]\nhidden = []\n'
config_refused 'data.noise' '[data]\nset = "two_moons"\nnoise = -0.1\n'
config_refused 'data.noise' '[data]\nset = "two_moons"\nnoise = nan\n'
config_refused 'data.set = .*two_moons' '[data]\nset = "three_moons"\n'
config_refused 'path.kind.*cosine' '[path]\nkind = "straight"\n'
config_refused 'model.time_embedding.*even' '[data]\nset = "two_moons"\n[model]\ntime_embedding = 7\n'
config_refused 'bad.toml:1: ' 'this is not TOML\n'
config_refused 'bad.toml:3: ' '[train]\nsteps = 5\nsteps = 6\n'
config_refused 'no data' '[train]\nsteps = 5\n'
config_refused 'loss.weight' '[data]\nset = "two_moons"\n[loss]\nestimator = "published"\n'
config_refused 'train.batch_size' '[data]\nset = "two_moons"\n[loss]\nestimator = "published"\nweight = "one"\n[train]\nbatch_size = 1\n'
config_refused 't_min' '[data]\nset = "two_moons"\n[train]\nt_min = 0.5\nt_max = 0.2\n'
refused 3 'unknown key train.stepz' "$vapo" train tiny.toml --out run --set train.stepz=5
refused 3 'train.batch_size = -1' "$vapo" train tiny.toml --out run --set train.batch_size=-1
refused 5 'missing.toml' "$vapo" train missing.toml --out run

# --- tables: 3
table_refused() {  # PATTERN, file name, then the text
  printf '%b' "$3" >"$2"
  refused 3 "$1" "$vapo" train tiny.toml --set data.path="$2" --out run
}
table_refused 'nan.csv' nan.csv 'x,y\n1,2\n3,nan\n4,5\n'
table_refused 'inf.csv' inf.csv '1,2\n3,inf\n4,5\n'
table_refused 'one.csv' one.csv 'x,y\n1,2\n'
table_refused 'ragged.csv' ragged.csv '1,2\n3,4,5\n6,7\n'
table_refused 'word.csv' word.csv '1,2\n3,four\n'
table_refused 'empty.csv' empty.csv ''
refused 5 'missing.csv' "$vapo" train tiny.toml --set data.path=missing.csv --out run

npy() {  # FILE HEADER BYTES…: version 1.0, the header padded as the format asks
  local header=$2
  while [ $(((10 + ${#header} + 1) % 64)) != 0 ]; do header="$header "; done
  { printf '\x93NUMPY\x01\x00'; printf "\\x$(printf %02x $(((${#header} + 1) % 256)))\\x$(printf %02x $(((${#header} + 1) / 256)))"
    printf '%s\n' "$header"; head -c "$3" /dev/zero; } >"$1"
}
npy object.npy "{'descr': '|O', 'fortran_order': False, 'shape': (3, 2), }" 48
npy short.npy "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }" 40
npy long.npy "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }" 56
npy good.npy "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }" 48
for file in object.npy short.npy long.npy; do
  refused 3 "$file" "$vapo" train tiny.toml --set data.path=$file --out run
  refused 3 "$file" "$vapo" info $file
done
expect 0 "$vapo" info good.npy

[ -e run ] && fail "a refused run left its folder behind"

# --- safetensors
tensors() {  # FILE HEADER BYTES: header length, header, zeros
  local n=${#2}
  { printf "\\x$(printf %02x $((n % 256)))\\x$(printf %02x $((n / 256)))\x00\x00\x00\x00\x00\x00"; printf '%s' "$2"
    head -c "$3" /dev/zero; } >"$1"
}
one='{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
tensors good.safetensors "$one" 8
tensors short.safetensors "$one" 4
tensors double.safetensors '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}' 8
tensors overlap.safetensors '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' 4
tensors list.safetensors '[1,2,3]' 8
tensors negative.safetensors '{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}' 8
{ printf '\xff\xff\xff\xff\xff\xff\xff\x7f'; printf '{}'; } >huge.safetensors
printf 'abc' >tiny.safetensors
: >empty.safetensors
expect 0 "$vapo" info good.safetensors
for file in short double overlap list negative huge tiny empty; do
  refused 3 "$file.safetensors" "$vapo" info $file.safetensors
done
refused 5 'missing.safetensors' "$vapo" info missing.safetensors
refused 3 'good.safetensors' "$vapo" sample good.safetensors -n 4
mkdir nothing
refused 3 'no checkpoint' "$vapo" sample nothing -n 4
ln -s nothing/at_all broken.safetensors
refused 5 'broken.safetensors' "$vapo" info broken.safetensors

# --- what a trained model is asked
expect 0 "$vapo" train tiny.toml --out run
head -c 3000 run/checkpoint-20.safetensors >cut.safetensors
refused 3 'cut.safetensors' "$vapo" sample cut.safetensors -n 4
printf '1,2,3\n4,5,6\n' >three.csv
refused 3 '3 columns' "$vapo" likelihood run --data three.csv
refused 3 '3 columns' "$vapo" density run --data three.csv
expect 0 "$vapo" train tiny.toml --out steep --set train.steps=1 --set train.warmup_steps=0 --set train.learning_rate=30
expect 4 "$vapo" density steep --no-figures
grep -q '^vapo: ode: 2000 evaluations and only at .*Hint: .*less steep' err || fail "a potential that diverged: $(cat err)"
refused 3 'already holds a run' "$vapo" train tiny.toml --out run
refused 2 'cannot change on --resume' "$vapo" train --out run --resume --set model.hidden=[8]
refused 2 'seed' "$vapo" train --out run --resume --seed 4
refused 3 'train.steps = -1' "$vapo" train --out run --resume --set train.steps=-1

# --- places that cannot be written: 5
: >file
refused 5 'file' "$vapo" train tiny.toml --out file/run
refused 5 'file' "$vapo" train tiny.toml --out file
refused 5 '/proc/' "$vapo" train tiny.toml --out /proc/vapo-run
refused 5 'file/x.npy' "$vapo" sample run -n 4 --save file/x.npy
if [ -w /dev/full ]; then
  code=0
  "$vapo" info run >/dev/full 2>err || code=$?
  [ "$code" = 5 ] && grep -q 'standard output' err || fail "a full standard output: exit code $code"
fi
echo "bad input: passed"
