# What `vapo info` tells of a checkpoint, of any safetensors file and of an array; exact counts, and nothing of a file's
# text that would act on a terminal or stand in for an answer.
. "$(dirname "$0")/common.sh"

info() { expect 0 "$vapo" info "$@"; }
says() { grep -qE -- "$1" out || fail "vapo info does not say '$1'"; }

# --- a checkpoint: 2 coordinates and 16 sinusoids through 16 and 16 units
expect 0 "$vapo" train tiny.toml --out run --seed 5
info run --json
[ "$(value kind step seed parameters ema ema_updates optimizer optimizer_steps <out | tr '\n' ' ')" = \
  "checkpoint 20 5 $((18 * 16 + 16 + 16 * 16 + 16 + 16 + 1)) true 20 true 20 " ] || fail "info run"
value file <out | grep -q 'run/checkpoint-20.safetensors$' || fail "info run: the file"
value config <out | sed '$d' >config   # json-value ends what it prints with a line of its own
cmp config run/config.toml || fail "info run: the config"
value tensors <out >tensors
for tensor in param.network.layers.0.weight ema.network.layers.0.weight optimizer.v.network.layers.0.weight; do
  grep -qF "{\"bytes\":1152,\"dtype\":\"f32\",\"elements\":288,\"name\":\"$tensor\",\"shape\":[16,18]}" tensors ||
    fail "info run: $tensor"
done
value metadata <out | grep -qxF '{"format":"vapo-checkpoint-1"}' || fail "info run: metadata"
info run/checkpoint-10.safetensors
for line in 'kind: +checkpoint' 'step: +10' 'seed: +5' 'parameters: +593' 'ema: +true' 'optimizer: +true' \
  '  param.network.layers.1.bias +f32 \(16\)' 'metadata format: +vapo-checkpoint-1' 'config:' '\[train\]' 'seed = 5'; do
  says "^$line *$"
done
expect 0 "$vapo" train tiny.toml --out plain --set train.ema_decay=0
info plain --json
[ "$(value ema optimizer <out | tr '\n' ' ')" = "false true " ] || fail "info plain"

# --- any safetensors file, whatever it calls its metadata and tensors
tensors() {  # FILE HEADER BYTES
  local n=${#2}
  { printf "\\x$(printf %02x $((n % 256)))\\x$(printf %02x $((n / 256)))\x00\x00\x00\x00\x00\x00"; printf '%s' "$2"
    head -c "$3" /dev/zero; } >"$1"
}
tensors any.safetensors '{"__metadata__":{"file":"/etc/passwd","kind":"checkpoint","step":"3","tensors":"none","x\u001b[2J":"a\nstep: 9"},"config":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b\u001b[31m":{"dtype":"F64","shape":[],"data_offsets":[24,32]},"empty":{"dtype":"I64","shape":[4,0],"data_offsets":[32,32]}}' 32
info any.safetensors --json
[ "$(value file kind elements bytes <out | tr '\n' ' ')" = "any.safetensors safetensors 7 32 " ] || fail "any.safetensors"
value metadata <out | grep -qF '"file":"/etc/passwd","kind":"checkpoint","step":"3","tensors":"none"' || fail "its metadata"
value tensors <out | grep -qF '"dtype":"i64","elements":0,"name":"empty","shape":[4,0]' || fail "its empty tensor"
info any.safetensors
says '^file: +any.safetensors$'
says '^tensors: +3 of 7 elements, 32 bytes$'
says '^  config +f32 \(2,3\)$'
says '^  b\\x1b\[31m +f64 \(\)$'
says '^metadata kind: +checkpoint$'
says '^metadata x\\x1b\[2J: +a\\x0astep: 9$'
grep -q $'\x1b' out && fail "an escape sequence on standard output"

tensors odd.safetensors '{"__metadata__":{"config":"","step":"\u001b[1m"}}' 0
info odd.safetensors
says '^step: +\\x1b\[1m$'
says '^config: *$'

# --- dtypes by their own names, also of numbers that this program does not compute with
tensors dtypes.safetensors '{"b":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]},"l":{"dtype":"BOOL","shape":[2,3],"data_offsets":[6,12]},"q":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[12,16]},"u":{"dtype":"U64","shape":[1],"data_offsets":[16,24]},"i":{"dtype":"I32","shape":[2],"data_offsets":[24,32]}}' 32
info dtypes.safetensors --json
[ "$(value elements bytes <out | tr '\n' ' ')" = "16 32 " ] || fail "dtypes.safetensors: $(cat out)"
for one in '"bytes":6,"dtype":"BF16","elements":3' '"bytes":6,"dtype":"BOOL","elements":6' '"bytes":4,"dtype":"F8_E4M3","elements":4' \
  '"bytes":8,"dtype":"U64","elements":1' '"bytes":8,"dtype":"I32","elements":2'; do
  value tensors <out | grep -qF "$one" || fail "dtypes.safetensors: no $one: $(cat out)"
done
info dtypes.safetensors
says '^  q +F8_E4M3 \(4\)$'

# --- an array, told by its first bytes
expect 0 "$vapo" sample run -n 7 --save samples.npy
cp samples.npy samples.bin
for file in samples.npy samples.bin; do
  info $file --json
  [ "$(value kind elements bytes <out | tr '\n' ' ')" = "npy 14 $((14 * 8)) " ] || fail "info $file"
  info $file
  says ' f64 \(7,2\)$'
done
echo 'not an array' >wrong.npy
refused 3 'wrong.npy' "$vapo" info wrong.npy
echo "info: passed"
