# Folders of pictures as people have them: many kinds, links, broken files, files of other things; classes by name.
. "$(dirname "$0")/common.sh"
seeds=$root/tests/fuzz/corpus  # pictures of 7 × 5 pixels

cat >images.toml <<'TOML'
[data]
set = "image_folder"
size = 8
[model]
kind = "unet"
potential = "raw"
[unet]
base_width = 8
multipliers = [1]
blocks_per_level = 1
groups = 4
attention_downsamplings = []
classes = 3
[path]
kind = "linear"
[loss]
weight = "one"
[train]
steps = 2
batch_size = 2
[sample]
method = "heun"
steps = 2
TOML
train=("$vapo" train images.toml --set unet.classes=0 --set)

# Every kind, by content where the ending says another or nothing; what is left out is counted, in one line.
mkdir mixed outside
for picture in gif/plain webp/lossy tiff/tiff_lzw bmp/bits24 pnm/p6 png/rgb; do cp "$seeds/$picture" "mixed/${picture/\//.}"; done
for kind in gif webp tiff bmp png; do mv mixed/$kind.* "mixed/a.$kind"; done
mv mixed/pnm.p6 mixed/a.ppm
for ending in jpe jfif JPG; do cp "$seeds/jpeg/exif" mixed/b.$ending; done
cp "$seeds/jpeg/colour" mixed/without
cp "$seeds/jpeg/colour" mixed/photograph.bak
cp "$seeds/webp/lossy" mixed/c.png
printf 'BM,P6\n' >mixed/labels.csv
printf 'text' >mixed/notes.txt
printf 'text' >mixed/more.TXT
printf '\0\0\0\x1cftypavif' >mixed/d.avif
touch mixed/.DS_Store mixed/._a.png
mkdir mixed/__MACOSX
touch mixed/__MACOSX/._b.png
expect 0 "${train[@]}" data.path=mixed --dry-run
grep -qx 'image_folder: 4 files left out that are no images, or of kinds that are not read: 2 .txt, 1 .csv, 1 AVIF' err ||
  fail "not counted by kind in one line"
"${train[@]}" data.path=mixed --out mixed-run --set data.held_out=0 2>err >out || fail "the folder of many kinds does not train"
grep -q 'data image_folder: 12 images of 8×8×3' err || fail "not 12 images"
mkdir only
cp mixed/d.avif only/1.avif
cp mixed/d.avif only/2.avif
refused 3 "only': no image in it or below \(PNG, .*PNM\); there are 2 AVIF. Hint: convert to PNG, .*\*\.avif" "${train[@]}" data.path=only --dry-run

# Links are followed, files and folders; a loop ends.
mkdir -p linked/a linked/b
cp "$seeds/png/rgb" outside/1.png
cp "$seeds/png/palette" outside/2.png
cp "$seeds/png/rgb" linked/b/0.png
ln -s ../../outside linked/a/link
ln -s .. linked/a/round
ln -s ../../outside/1.png linked/b/file.png
expect 0 "${train[@]}" data.path=linked --dry-run
grep -qx 'classes: 0 = a, 1 = b' err || fail "classes are not told"
grep -q '1 links to folders that were read already are not followed' err || fail "the loop is not told"
"${train[@]}" data.path=linked --out linked-run --set data.held_out=0 2>err >out || fail "linked folders do not train"
grep -q 'data image_folder: 6 images' err || fail "not the 4 images and, by the loop, b's 2 again"

# A broken file: the hint names what the command takes, and that works.
mkdir broken
for i in 1 2 3 4; do cp "$seeds/png/rgb" broken/$i.png; done
head -c 40 "$seeds/png/rgb" >broken/2.png
refused 3 "2.png': .* Hint: --set data.skip_unreadable=true$" "${train[@]}" data.path=broken --dry-run
expect 0 "${train[@]}" data.path=broken --dry-run --set data.skip_unreadable=true
grep -q '1 files could not be read and are left out, the first of them .*2.png' err || fail "what is skipped is not told"
mkdir classes
for class in cat cow dog; do
  mkdir "classes/$class"
  for i in 1 2 3 4; do cp "$seeds/png/rgb" "classes/$class/$i.png"; done
done
expect 0 "$vapo" train images.toml --set data.path=classes --set data.held_out=0.3 --out run
grep -qx 'classes: 0 = cat, 1 = cow, 2 = dog' err || fail "the classes are not told"
expect 0 "$vapo" classifier train classes --size 8 --epochs 1 --batch-size 4 --out c.safetensors
fid=(fid --ref broken --features c.safetensors --save-ref x.npz)
for command in "likelihood run --data broken" "ood run --in broken --out classes" "inpaint run --images broken" \
  "${fid[*]} --size 8" "classifier test c.safetensors broken --size 8"; do
  refused 3 "2.png': .* Hint: --skip-unreadable$" "$vapo" $command
done
expect 0 "$vapo" likelihood run --data broken --skip-unreadable --tolerance 0.1 --limit 2 --out l
expect 0 "$vapo" inpaint run --images broken --skip-unreadable -n 3 --out i
expect 0 "$vapo" "${fid[@]}" --size 8 --skip-unreadable

# Several sizes: train and fid name what brings them to one.
mkdir sizes
cp "$seeds/png/rgb" sizes/1.png
cp "$seeds/png/palette" sizes/2.png
refused 3 "pixels, .*Hint: --set data.size=64" "${train[@]}" data.path=sizes --dry-run --set data.size=0
refused 3 "pixels, .*Hint: --size 64" "$vapo" fid --ref sizes --features c.safetensors --save-ref x.npz
expect 0 "$vapo" fid --ref sizes --features c.safetensors --save-ref x.npz --size 8

# Classes by name, and by number; numbers stay what they are.
expect 0 "$vapo" sample run -n 2 --class 1 --save by-number.npz
expect 0 "$vapo" sample run -n 2 --class cow --save by-name.npz
cmp by-number.npz by-name.npz || fail "a class by its name is another than by its number"
expect 0 "$vapo" sample run -n 2 --class dog,cow --save two.npz
cmp -s by-number.npz two.npz && fail "two classes in turn are the one"
refused 3 '--class horse: the model has classes 0 = cat, 1 = cow, 2 = dog' "$vapo" sample run --class horse
mkdir classes/bird
cp "$seeds/png/rgb" classes/bird/1.png
refused 3 'not the data that .* was trained on: "bird" as class 0 of 4, and it had "cat" as class 0 of 3' \
  "$vapo" train --out run --resume --set train.steps=3
rm classes/bird/1.png  # an empty folder is a class, too
expect 3 "$vapo" train --out run --resume --set train.steps=3
grep -q '"bird" as class 0 of 4' err || fail "an empty folder renumbers classes"
rmdir classes/bird
expect 0 "$vapo" train --out run --resume --set train.steps=3
rm classes/cow/*
expect 0 "$vapo" train images.toml --set data.path=classes --dry-run
grep -q '1 of 3 classes without images, which keep their numbers: 1 = cow' err || fail "the empty class is not told"
# labels of another folder go by the names
mkdir -p others/dog
cp "$seeds/png/rgb" others/dog/1.png
expect 0 "$vapo" likelihood run --data others --with-labels --tolerance 0.1 --out l2
grep -q 'matched by name' err || fail "classes in another order are not told"
mv others/dog others/horse
refused 3 "others: class 'horse' is none of the model's: 0 = cat, 1 = cow, 2 = dog" \
  "$vapo" likelihood run --data others --with-labels --out l3
# "10" before "2", and told so
for ((i = 0; i < 12; ++i)); do
  mkdir -p numbers/$i
  cp "$seeds/png/rgb" numbers/$i/1.png
done
expect 0 "$vapo" train images.toml --set data.path=numbers --set unet.classes=12 --out numbered
grep -qx 'classes: 0 = 0, 1 = 1, 2 = 10, 3 = 11, 4 = 2, 5 = 3, 6 = 4, 7 = 5, 8 = 6, 9 = 7, 10 = 8, 11 = 9' err ||
  fail "the numbers of classes are not told"
expect 0 "$vapo" sample numbered -n 1 --class 2 --save x.npy
grep -qx -- "--class 2: the class of that number, '10'; the class '2' has number 4" err || fail "two meanings of 2"

# A mask of 0 and 1 is one; of a mask without white it is told that nothing is missing.
{ printf 'P5 8 8 255\n'; head -c 40 /dev/zero; head -c 24 /dev/zero | tr '\0' '\1'; } >mask.pgm
expect 0 "$vapo" inpaint run --images classes -n 2 --mask mask.pgm --out m --json
grep -qx 'mask.pgm: a mask of 0 and 1: missing is where it is 1' err || fail "the mask is not told"
grep -q "\"known_share\":0.625" out || fail "not 40 of 64 pixels are known"
{ printf 'P5 8 8 255\n'; head -c 64 /dev/zero; } >black.pgm
expect 0 "$vapo" inpaint run --images classes -n 2 --mask black.pgm --out n --json
grep -q 'nothing is missing' err || fail "a mask without white is not told"
