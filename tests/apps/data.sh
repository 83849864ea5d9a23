# vapo data: what tables, folders of images, sets and configs are understood to be; that training says the same; the
# pictures, and what becomes of them without gnuplot.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/tiny_images.sh"

data() { expect 0 "$vapo" data "$@" --json; }
says() { [ "$(value "${@:2}" <out | tr '\n' ' ')" = "$1 " ] || fail "not $1: $(cat out)"; }
list() { value "$1" <out | grep -qF -- "$2" || fail "$1 has no $2: $(cat out)"; }
is_picture() { [ "$(head -c 4 "$1" | tail -c 3)" = PNG ] || fail "$1 is no picture"; }

# --- a table that training refuses is described all the same, with what it is refused for
printf 'name,height,weight,shoe\nAnn,1.5,50,38\nBob,1.8,NA,38\nCem,1.7,65.25,38\nDan,1.6,70,38\n' >people.csv
data people.csv --no-picture
says 'table 4 true' kind rows header
list columns '{"column":1,"high":null,"kind":"text","low":null,"missing":0,"name":"name","remark":""}'
list columns '{"column":3,"high":70.0,"kind":"number","low":50.0,"missing":1,"name":"weight","remark":""}'
list columns '{"column":4,"high":38.0,"kind":"number","low":38.0,"missing":0,"name":"shoe","remark":"constant"}'
list refused "'Ann' is not a number"
[ -z "$(find . -name '*.png')" ] || fail "a picture that was not wanted"
expect 0 "$vapo" data people.csv --no-picture
grep -qE '^ +column +name +kind +low +high +missing +remark$' out && grep -qE '^ +3 +weight +number +50 +70 +1$' out || fail "no table of columns: $(cat out)"
# as --set chooses, and as training with the same settings sees it
choice=(--set data.columns=numeric --set data.missing=drop)
data people.csv --no-picture "${choice[@]}"
says '["height","weight","shoe"] 3 1' used_columns used_rows held_out
list notes 'left out: 1 of 4 rows'
grep -q '"refused"' out && fail "it is refused: $(cat out)"
mv out described
expect 0 "$vapo" train tiny.toml --set data.path=people.csv "${choice[@]}" --dry-run --json
for key in kind rows header columns used_columns used_rows held_out notes; do
  [ "$(value $key <out)" = "$(value $key <described)" ] || fail "vapo train --dry-run says another $key: $(cat out)"
done
value parameters hours <out >/dev/null

# --- images: classes with their counts, what was left out and why, the picture as the network gets them
idx train 40 1
idx t10k 20 2
data set --picture set.png
says 'images 40 8 8 1 8' kind images height width channels held_out
list classes '{"class":3,"images":10,"name":""}'
is_picture set.png
expect 0 "$vapo" info set.png --json
says '58 58' height width  # 32 images of training in six columns: 6·10 − 2
data set --picture set.jpg && [ "$(head -c 2 set.jpg | od -An -tx1)" = ' ff d8' ] || fail "set.jpg is no JPEG image"
mkdir -p pets/{cats,dogs}
expect 0 "$vapo" data set --picture pets/cats/1.png
for i in 2 3; do cp pets/cats/1.png pets/cats/$i.png; done
cp set.png pets/dogs/4.png && cp set.png pets/dogs/5.png && echo text >pets/dogs/notes.txt
data pets --picture pets.png --set data.size=16
says 'images 5 16 16' kind images height width
list classes '[{"class":0,"images":3,"name":"cats"},{"class":1,"images":2,"name":"dogs"}]'
list left_out '{"files":1,"first":"'"$PWD"'/pets/dogs/notes.txt","kind":".txt"}'
mv out described
printf '[data]\nset = "image_folder"\npath = "pets"\nsize = 16\n' >pets.toml
data pets.toml --no-picture
for key in kind images classes left_out; do [ "$(value $key <out)" = "$(value $key <described)" ] || fail "of a config: another $key"; done
printf '\x89PNG cut' >pets/cats/cut.png
data pets --no-picture --set data.size=16
list refused 'cut.png'
list unreadable 'cut.png'
data pets --no-picture --set data.size=16 --set data.skip_unreadable=true
says 5 images
list unreadable 'cut.png'
rm pets/cats/cut.png
# of several sizes: refused by training, shown small
cp set.png pets/dogs/6.png && expect 0 "$vapo" train tiny.toml --out small
head -c $((3 * 5 * 7)) "$vapo" | npy odd.npy '(3, 5, 7)'
expect 0 "$vapo" data odd.npy --picture pets/dogs/7.png
data pets --picture sizes.png
says 'folder of pictures' kind
list refused 'data.size'
is_picture sizes.png
data odd.npy --no-picture
says 'images 3 5 7' kind images height width

# --- a path: nine times of each image, from noise to data
images_toml unet 'path.kind="blurring"' >blurring.toml
idx train 12 1
idx t10k 6 2
for kind in blurring linear; do
  data blurring.toml --path --set path.kind=$kind --picture $kind.png
  is_picture $kind.png
done
cmp -s blurring.png linear.png && fail "the path makes no difference"
refused 3 'two_moons is of points, and a path is drawn of images' "$vapo" data two_moons --path

# --- points of a known construction; a run
data two_moons --no-picture --set data.noise=0.2
says 'two_moons 2 true 0.2' data dims density_known noise
data pinwheel --no-picture
says false density_known
data small --no-picture
says two_moons data

# --- pictures of tables: of one column, two, a few and many
if command -v gnuplot >/dev/null; then
  for columns in 1 2 4 9; do
    awk -v d=$columns 'BEGIN { srand(1); for (i = 0; i < 60; ++i) for (k = 1; k <= d; ++k) printf "%g%s", 1e6 + rand(), k < d ? "," : "\n" }' >t$columns.csv
    data t$columns.csv
    says vapo-data-t$columns.png picture
    is_picture vapo-data-t$columns.png
  done
  [ -z "$(find . -name '*.gp' -o -name '*.dat')" ] || fail "gnuplot's files were left: $(ls)"
fi
mkdir bare
cp people.csv bare.csv
PATH=$PWD/bare expect 0 "$vapo" data bare.csv --set data.columns=[2] --json
says null picture
grep -q 'without a picture: gnuplot' err || fail "nothing is said of gnuplot: $(cat err)"
[ -e vapo-data-bare.png ] && fail "a picture without gnuplot"

# --- what cannot be used
refused 5 'nothing: no such file, folder or set' "$vapo" data nothing
refused 3 'a picture is written as' "$vapo" data people.csv --picture x.pdf
refused 5 'there is no folder' "$vapo" data people.csv --picture none/x.png
refused 2 'excludes' "$vapo" data people.csv --picture x.png --no-picture
refused 3 'no data.colums|colums' "$vapo" data people.csv --set data.colums=numeric
printf 'PK\x03\x04\x14\x00\x00\x00\x08\x00xl/workbook.xml' >a.csv
refused 3 'an Excel workbook' "$vapo" data a.csv
mkdir empty
refused 3 'empty' "$vapo" data empty
echo "data: passed"
