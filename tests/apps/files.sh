# Files out: the format that an ending names, or a refusal before any work; what vapo info says of whatever lies there;
# the scores of rows and images.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"
export OMP_NUM_THREADS=1  # of networks this small more threads make nothing quicker

begins() { [ "$(head -c "${#2}" "$1" | LC_ALL=C tr -c '[:print:]' .)" = "$2" ] || fail "$1 does not begin with $2"; }
near() { awk -v a="$1" -v b="$2" -v most="$3" 'BEGIN { exit !(a != "" && a - b <= most && b - a <= most) }'; }

# --- rows: in every format, and what is saved is read by vapo
expect 0 "$vapo" train tiny.toml --out points
for ending in csv npy npz NPY; do expect 0 "$vapo" sample points -n 40 --save x.$ending --json; done
[ "$(value saved <out)" = x.NPY ] || fail "where it was saved is not said"
[ "$(head -1 x.csv)" = x1,x2 ] && [ "$(wc -l <x.csv)" = 41 ] || fail "x.csv: $(head -2 x.csv)"
begins x.npy .NUMPY && begins x.npz PK && cmp x.npy x.NPY || fail "x.npy and x.NPY"
for ending in csv npy npz; do
  expect 0 "$vapo" likelihood points --data x.$ending --json
  nats=$(value nats <out)
  near "$nats" "${first:=$nats}" 1e-5 || fail "x.$ending: $nats nats and not $first"
done
# one that names no format, or cannot be there: told before a hundred million samples are drawn
huge=("$vapo" sample points -n 100000000)
for name in x.txt x x.png x.csv.gz .csv; do refused 3 'written as \.csv, \.npy or \.npz, by the ending' "${huge[@]}" --save $name; done
refused 5 "there is no folder 'none'" "${huge[@]}" --save none/x.csv
mkdir folder.csv
refused 5 'folder.csv: it is a folder' "${huge[@]}" --save folder.csv
refused 3 'statistics are written as \.npz,' "$vapo" fid --ref mnist --samples mnist:test --save-ref ref.csv
# under the names of the columns that it was trained on
printf '"a, b",c\n1,2\n3,5\n2,2\n0,1\n' >named.csv
expect 0 "$vapo" train tiny.toml --set data.path=named.csv --out named
expect 0 "$vapo" sample named -n 3 --save named-samples.csv
[ "$(head -1 named-samples.csv)" = '"a, b",c' ] || fail "other names: $(head -1 named-samples.csv)"
expect 0 "$vapo" likelihood named --data named-samples.csv

# --- images
idx train 40 1
idx t10k 20 2
cat >images.toml <<'TOML'
[data]
set = "mnist"
path = "set"
dequantize = true
[model]
kind = "unet"
potential = "raw"
[unet]
base_width = 8
multipliers = [1, 2]
blocks_per_level = 1
attention_downsamplings = []
groups = 4
[path]
kind = "linear"
[loss]
weight = "one"
[train]
steps = 20
batch_size = 16
[sample]
method = "heun"
steps = 2
TOML
expect 0 "$vapo" train images.toml --out images
draw=("$vapo" sample images -n 5)
expect 0 "${draw[@]}" --save i.npy --grid g.png
expect 0 "${draw[@]}" --save i.npz --grid g.jpg
expect 0 "${draw[@]}" --save i.png --grid g.jpeg
expect 0 "${draw[@]}" --save i.jpg
begins i.npy .NUMPY && begins i.npz PK && begins i.png .PNG && begins g.jpg ...... && begins i.jpg ......JFIF
cmp i.png g.png && cmp i.jpg g.jpg && cmp g.jpg g.jpeg || fail "a picture of images is another one than their grid"
refused 3 'images are written as \.npy, \.npz, \.png, \.jpg or \.jpeg' "$vapo" sample images -n 100000000 --save i.csv
refused 3 'a picture is written as \.png, \.jpg or \.jpeg' "$vapo" sample images -n 100000000 --grid g.gif

# --- what is there, by vapo info
facts() { expect 0 "$vapo" info "$1" --json; shift; value "$@" <out | tr '\n' ' '; }
[ "$(facts x.npz kind elements bytes)" = "npz 80 640 " ] || fail "info x.npz: $(cat out)"
value tensors <out | grep -qF '{"bytes":640,"dtype":"f64","elements":80,"name":"arr_0","shape":[40,2]}' || fail "its array"
[ "$(facts i.png kind format height width channels)" = "picture PNG 18 28 1 " ] || fail "info i.png: $(cat out)"
[ "$(facts i.jpg format height width channels)" = "JPEG 18 28 1 " ] || fail "info i.jpg: $(cat out)"
[ "$(facts x.csv kind rows header)" = "table 40 true " ] || fail "info x.csv: $(cat out)"
if command -v gzip >/dev/null; then
  gzip -k x.csv
  [ "$(facts x.csv.gz kind rows)" = "table 40 " ] || fail "info x.csv.gz: $(cat out)"
fi
mkdir -p pictures/{cats,dogs}
for i in 1 2 3; do expect 0 "$vapo" sample images -n 1 --seed $i --save pictures/cats/$i.png; done
cp i.jpg pictures/dogs/4.jpg && echo text >pictures/dogs/notes.txt
head -c 60 i.png >pictures/dogs/cut.png
[ "$(facts pictures kind pictures)" = "folder of pictures 5 " ] || fail "info pictures: $(cat out)"
value formats <out | grep -qF '{"format":"PNG","pictures":3}' || fail "formats: $(cat out)"
value sizes <out | grep -qF '{"channels":1,"height":8,"pictures":3,"width":8}' || fail "sizes: $(cat out)"
value classes <out | grep -qF '[{"name":"cats","pictures":3},{"name":"dogs","pictures":2}]' || fail "classes: $(cat out)"
value unreadable <out | grep -q 'cut.png' || fail "nothing is said of the broken one: $(cat out)"
expect 0 "$vapo" info pictures
grep -qE '^ +8 +8 +1 +3$' out || fail "no table of sizes: $(cat out)"
mkdir empty
refused 3 'no checkpoint' "$vapo" info empty
# what is none of these is called by its name
kind() { refused 3 "$2" "$vapo" info "$1"; }
printf 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n' >lfs.safetensors
kind lfs.safetensors "lfs.safetensors' is a Git LFS pointer.*git lfs pull"
printf 'PK\x03\x04\x14\x00\x00\x00\x08\x00rest of it a/b.txt' >a.zip && kind a.zip 'a zip archive'
printf 'PK\x03\x04\x14\x00\x00\x00\x08\x00archive/data.pkl' >a.pth && kind a.pth 'a PyTorch file'
printf '\x80\x02}q\x00(X\x05\x00\x00\x00' >a.pkl && kind a.pkl 'a Python pickle'
printf '\x89HDF\r\n\x1a\n\x00\x00\x00' >a.h5 && kind a.h5 'HDF5'
printf 'PAR1\x15\x04\x15\x10\x00' >a.parquet && kind a.parquet 'Parquet'

# --- scores of rows
expect 0 "$vapo" likelihood points --data x.csv --save rows.csv --json
nats=$(value nats <out)
[ "$(value saved <out)" = rows.csv ] && [ "$(head -1 rows.csv)" = row,log_likelihood,energy,gradient_norm ] || fail "rows.csv: $(head -1 rows.csv)"
[ "$(cut -d, -f1 rows.csv | tail -n +2 | tr '\n' ' ')" = "$(seq -s ' ' 40) " ] || fail "rows.csv: the numbers of its rows"
near "$(awk -F, 'NR > 1 { sum += $2 } END { printf "%.12g", sum/(NR - 1) }' rows.csv)" "$nats" 1e-8 || fail "another mean than $nats"
expect 0 "$vapo" likelihood points --data x.csv --save few.npz --limit 7
[ "$(facts few.npz kind elements)" = "npz 28 " ] || fail "few.npz: $(cat out)"
value tensors <out | grep -qF '"dtype":"i64","elements":7,"name":"row"' || fail "few.npz: $(cat out)"
expect 0 "$vapo" likelihood points --data x.csv --save few.npy --limit 7
[ "$(facts few.npy elements)" = "28 " ] || fail "few.npy: $(cat out)"
# rows that are left out keep their numbers from those that follow
printf 'x1,x2\n0,1\n,1\n1,0.5\n' >gaps.csv
expect 0 "$vapo" train tiny.toml --out dropping --set data.path=x.csv --set data.missing=drop
expect 0 "$vapo" likelihood dropping --data gaps.csv --save gaps-rows.csv
[ "$(cut -d, -f1 gaps-rows.csv | tr '\n' ' ')" = "row 1 3 " ] || fail "the rows of gaps.csv: $(cat gaps-rows.csv)"
expect 0 "$vapo" likelihood dropping --save held-out.csv
sed -n 's/,.*//; 2,$p' held-out.csv | while read -r row; do [ "$row" -ge 1 ] && [ "$row" -le 40 ] || fail "row $row of 40"; done
[ "$(sed 's/,.*//' held-out.csv | sort -u | wc -l)" = 9 ] || fail "8 rows were held out: $(cat held-out.csv)"
# the norm is that of the energy's gradient: differences of both columns, where they are not standardised
expect 0 "$vapo" train tiny.toml --set data.standardize=false --out raw
printf 'x1,x2\n.3,.2\n.31,.2\n.29,.2\n.3,.21\n.3,.19\n' >around.csv
expect 0 "$vapo" likelihood raw --data around.csv --save differences.csv
awk -F, 'NR == 2 { norm = $4 } NR > 2 { e[NR] = $3 } END {
  by_hand = sqrt(((e[3] - e[4])/.02)^2 + ((e[5] - e[6])/.02)^2); exit !(norm > 0 && by_hand > .98*norm && by_hand < 1.02*norm) }' \
  differences.csv || fail "the gradient of the energy: $(cat differences.csv)"
refused 3 'written as \.csv' "$vapo" likelihood points --data x.csv --save rows.txt

# --- and of images: as vapo ood scores them
expect 0 "$vapo" likelihood images --tolerance 1e-2 --dequantisations 1 --save scores.csv --json
bits=$(value summary <out | "$json_value" bits_per_dim)
[ "$(head -1 scores.csv)" = image,log_likelihood,bits_per_dim,energy,gradient_norm ] || fail "$(head -1 scores.csv)"
near "$(awk -F, 'NR > 1 { sum += $3 } END { printf "%.12g", sum/(NR - 1) }' scores.csv)" "$bits" 1e-8 || fail "another mean than $bits"
awk -F, 'NR > 1 { d = $2 + 64*log(2)*$3; exit !(d < 1e-6 && d > -1e-6) }' scores.csv || fail "nats are not -bits D ln 2"
expect 0 "$vapo" ood images --out black.npy --training-images 10
# There: E, -|grad E| and a trace of 4 Phi - |x|^2, and the same of the marginal energy.
od -A n -v -t f8 -w48 -j128 images/evaluations/ood/energies-0-mnist-test.npy | awk '{ print $4, -$5 }' >by-ood
tail -n +2 scores.csv | awk -F, '{ print $4, $5 }' | paste -d ' ' by-ood - |
  awk '{ a = $1 - $3; b = $2 - $4; if (a*a + b*b > 1e-12*($1*$1 + $2*$2)) exit 1 } END { exit NR != 20 }' || fail "other energies than ood's"
rm -r pictures/dogs
expect 0 "$vapo" likelihood images --data pictures --tolerance 1e-2 --dequantisations 1 --save files.csv
[ "$(cut -d, -f1 files.csv | tail -n +2 | tr '\n' ' ')" = "pictures/cats/1.png pictures/cats/2.png pictures/cats/3.png " ] || fail "$(cat files.csv)"
echo "files: passed"
