// Folders of images, and CelebA.

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>

#include "data/pictures/image_file.h"
#include "data/sets/images.h"
#include "tensor/parallel.h"
#include "tests/data/image_bytes.h"

using namespace vapo;
using namespace vapo::data;

namespace {

namespace fs = std::filesystem;

void write(const fs::path& file, const std::string& bytes) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << bytes;
}

// An image of one level, told apart from others by it.
Tensor flat(int64_t h, int64_t w, int64_t c, int level) { return Tensor::full({h, w, c}, level, DType::u8); }
void add(const fs::path& file, const Tensor& x) {
  bool png = file.extension() == ".png" || file.extension() == ".PNG";
  J_COLOR_SPACE from = x.dim(2) == 1 ? JCS_GRAYSCALE : JCS_RGB, to = x.dim(2) == 1 ? JCS_GRAYSCALE : JCS_YCbCr;
  write(file, png ? encode_png(x) : jpeg_bytes(x, {.from = from, .to = to}));
}

// The first value of every image of a set.
std::vector<int> levels(const ImageSet& set) {
  std::vector<int> out;
  int64_t size = set.pixels.numel() / set.count();
  for (int64_t i = 0; i < set.count(); ++i) out.push_back(set.pixels.data<uint8_t>()[i * size]);
  return out;
}

using Levels = std::vector<int>;
using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a folder: its PNG and JPEG files in the order of their names, all else ignored") {
  Folder folder;
  add(folder.path / "b.png", flat(4, 5, 1, 20));
  add(folder.path / "a.jpg", flat(4, 5, 1, 10));
  add(folder.path / "d.JPEG", flat(4, 5, 1, 40));
  add(folder.path / "c.PNG", flat(4, 5, 1, 30));
  add(folder.path / ".hidden.png", flat(9, 9, 1, 0));
  add(folder.path / ".thumbnails" / "a.png", flat(9, 9, 1, 0));
  write(folder.path / "notes.txt", "no image");
  write(folder.path / "empty" / "notes.txt", "no image");
  ImageSet set = read_image_folder(folder.path, {});
  CHECK(set.pixels.shape() == Shape{4, 4, 5, 1});
  CHECK(levels(set) == Levels{10, 20, 30, 40});
  CHECK(!set.labels.defined());
  CHECK(set.classes.empty());

  add(folder.path / "bb.png", flat(4, 5, 3, 25));  // grey among RGB becomes RGB
  set = read_image_folder(folder.path, {});
  CHECK(set.pixels.shape() == Shape{5, 4, 5, 3});
  CHECK(levels(set) == Levels{10, 20, 25, 30, 40});
  CHECK(set.pixels.to_vector<uint8_t>()[4 * 5 * 3 - 1] == 10);

  CHECK_THROWS_WITH_AS(read_image_folder(folder.path / "none", {}), doctest::Contains("none"), IoError);
  CHECK_THROWS_AS(read_image_folder(folder.path / "a.jpg", {}), IoError);
  CHECK_THROWS_WITH_AS(read_image_folder(folder.path / "empty", {}),
                       doctest::Contains("no image in it or below (PNG, JPEG"), InputError);
}

TEST_CASE("a folder of folders: classes, in the order of their names") {
  Folder folder;
  add(folder.path / "dogs" / "1.png", flat(2, 2, 3, 3));
  add(folder.path / "cats" / "9.png", flat(2, 2, 3, 2));
  add(folder.path / "cats" / "indoors" / "5.png", flat(2, 2, 3, 1));
  add(folder.path / "cats" / ".cache" / "6.png", flat(2, 2, 3, 7));
  write(folder.path / "birds" / "none.txt", "");
  ImageSet set = read_image_folder(folder.path, {});
  CHECK(levels(set) == Levels{2, 1, 3});
  CHECK(set.labels.to_vector<int64_t>() == std::vector<int64_t>{1, 1, 2});
  CHECK(set.classes == Names{"birds", "cats", "dogs"});
  CHECK(set.class_counts() == std::vector<int64_t>{0, 2, 1});
  CHECK(set.remarks == Names{"1 of 3 classes without images, which keep their numbers: 0 = birds"});
  CHECK(text_of(set.left_out) == "1 .txt");

  write(folder.path / "cats" / "a.png", "broken");
  set = read_image_folder(folder.path, {.skip_unreadable = true});
  CHECK(levels(set) == Levels{2, 1, 3});
  CHECK(set.labels.to_vector<int64_t>() == std::vector<int64_t>{1, 1, 2});
  CHECK(set.skipped == Names{(folder.path / "cats" / "a.png").string()});

  add(folder.path / "stray.png", flat(2, 2, 3, 0));
  CHECK_THROWS_WITH_AS(read_image_folder(folder.path, {}), doctest::Contains("stray.png' lies beside 'cats'"),
                       InputError);
}

TEST_CASE("links are followed, and a folder that leads back is read once") {
  Folder folder, outside;
  add(outside.path / "1.png", flat(2, 2, 1, 1));
  add(outside.path / "deep" / "2.png", flat(2, 2, 1, 2));
  add(folder.path / "a" / "z.png", flat(2, 2, 1, 3));
  add(folder.path / "b" / "0.png", flat(2, 2, 1, 4));
  fs::create_symlink(outside.path, folder.path / "a" / "link");
  fs::create_symlink(outside.path / "1.png", folder.path / "b" / "9.png");
  fs::create_symlink(folder.path / "a", outside.path / "deep" / "back");
  fs::create_symlink(outside.path, folder.path / "c");
  ImageSet set = read_image_folder(folder.path, {});
  CHECK(levels(set) == Levels{1, 2, 3, 4, 1, 1, 2, 3});
  CHECK(set.class_counts() == std::vector<int64_t>{3, 2, 3});
  CHECK(set.remarks == Names{"2 links to folders that were read already are not followed"});
}

TEST_CASE("what a file holds counts, not what it is called; other files are counted by kind") {
  Folder folder;
  add(folder.path / "a.png", flat(4, 5, 1, 10));
  write(folder.path / "b", encode_png(flat(4, 5, 1, 20)));
  write(folder.path / "c.jpg", encode_png(flat(4, 5, 1, 30)));
  write(folder.path / "d.orig", encode_png(flat(4, 5, 1, 40)));
  write(folder.path / "e.csv", "BM,P5,P6\n1,2,3\n");
  for (const char* name : {"f.txt", "g.TXT", "h.txt", "i"}) write(folder.path / name, "text");
  write(folder.path / "j.bin", std::string("\0\0\0\x1c", 4) + "ftypavif");
  write(folder.path / "k.heic", "nothing of the kind");
  write(folder.path / "__MACOSX" / "a.png", "text");
  fs::create_directories(folder.path / ".git");
  ImageSet set = read_image_folder(folder.path, {});
  CHECK(levels(set) == Levels{10, 20, 30, 40});
  CHECK(text_of(set.left_out) == "3 .txt, 1 .csv, 1 AVIF, 1 HEIC, 1 without an ending");
  CHECK(set.left_out[0].first == (folder.path / "f.txt").string());

  Folder others;
  for (const char* name : {"a.1", "b.2", "c.3", "d.4", "e.5", "f.6", "g.7", "h.7"})
    write(others.path / name, "text");
  CHECK_THROWS_WITH_AS(read_image_folder(others.path, {}),
                       doctest::Contains("there are 2 .7, 1 .1, 1 .2, 1 .3, 1 .4, 1 .5, 1 of other kinds"),
                       InputError);
  write(others.path / "z.avif", "");
  CHECK_THROWS_WITH_AS(read_image_folder(others.path, {}), doctest::Contains("mogrify -format png *.avif"),
                       InputError);
}

TEST_CASE("images of mixed shapes: refused as they are, brought to one size on demand") {
  Folder folder;
  add(folder.path / "a.png", flat(6, 8, 1, 50));
  add(folder.path / "b.png", slopes(6, 8, 1));
  add(folder.path / "c.png", flat(8, 6, 1, 70));
  add(folder.path / "d.png", flat(9, 9, 1, 80));
  CHECK_THROWS_WITH_AS(read_image_folder(folder.path, {}), doctest::Contains("c.png' has 6 × 8 pixels, '"),
                       InputError);
  CHECK_THROWS_WITH_AS(read_image_folder(folder.path, {.skip_unreadable = true}), doctest::Contains("a.png' 8 × 6"),
                       InputError);
  ImageSet set = read_image_folder(folder.path, {.size = 4});
  CHECK(set.pixels.shape() == Shape{4, 4, 4, 1});
  CHECK(levels(set)[0] == 50);
  CHECK(levels(set)[2] == 70);
  std::vector<uint8_t> all = set.pixels.to_vector<uint8_t>();
  CHECK(std::vector<uint8_t>(all.begin() + 16, all.begin() + 32) ==
        resize_antialiased(centre_crop(slopes(6, 8, 1), 6, 6), 4, 4).to_vector<uint8_t>());

  CHECK(read_image_folder(folder.path, {.crop = 5}).pixels.shape() == Shape{4, 5, 5, 1});
  CHECK(read_image_folder(folder.path, {.size = 12, .crop = 5}).pixels.shape() == Shape{4, 12, 12, 1});
  CHECK_THROWS_WITH_AS(read_image_folder(folder.path, {.size = 4, .crop = 7}),
                       doctest::Contains("a.png': no square of 7 pixels a side fits into 8 × 6"), InputError);
}

TEST_CASE("a broken file: an error that names the first, or skipped and listed") {
  Folder folder;
  std::string whole = jpeg_bytes(slopes(16, 16, 3), {});
  auto name = [&](int i) { return (folder.path / fmt::format("{:02}.jpg", i)).string(); };
  for (int i = 0; i < 40; ++i) add(name(i), flat(16, 16, 3, 5 * i));
  for (int threads : {1, 4}) {
    int before = num_threads();
    set_num_threads(threads);
    add(name(9), flat(16, 16, 3, 45));
    write(name(10), whole.substr(0, whole.size() / 2));
    write(name(30), "no image");
    write(name(31), "");
    CHECK_THROWS_WITH_AS(read_image_folder(folder.path, {}), doctest::Contains("10.jpg': not a readable JPEG"),
                         InputError);
    CHECK_THROWS_WITH_AS(read_image_folder(folder.path, {.skip_hint = "--leave-out"}),
                         doctest::Contains("Premature end of JPEG file. Hint: --leave-out"), InputError);
    ImageSet set = read_image_folder(folder.path, {.skip_unreadable = true});
    CHECK(set.skipped == Names{name(10), name(30), name(31)});
    CHECK(set.pixels.shape() == Shape{37, 16, 16, 3});
    Levels expected;
    for (int i = 0; i < 40; ++i)
      if (i != 10 && i != 30 && i != 31) expected.push_back(5 * i);
    CHECK(levels(set) == expected);
    set_num_threads(before);
  }
  write(name(0), "no image");  // the one that would have told the shape
  CHECK(levels(read_image_folder(folder.path, {.skip_unreadable = true}))[0] == 5);
  fs::remove(name(1));
  fs::create_symlink("nowhere", name(1));
  CHECK(read_image_folder(folder.path, {.skip_unreadable = true}).skipped.size() == 5);
  for (int i = 0; i < 40; ++i) write(name(i), "no image");
  CHECK_THROWS_WITH_AS(read_image_folder(folder.path, {.skip_unreadable = true}),
                       doctest::Contains("00.jpg': neither it nor any of the 39 files after it"), InputError);
}

TEST_CASE("CelebA: parts, crops, both sizes, both tables") {
  Folder folder;
  fs::path images = folder.path / "img_align_celeba", table = folder.path / "list_eval_partition.txt";
  auto read = [&](Subset part, const ImageOptions& options = {}) {
    return read_celeba(folder.path, part, options);
  };
  CHECK_THROWS_WITH_AS(read(Subset::train), doctest::Contains("no list_eval_partition.txt"), IoError);
  write(table, "000001.jpg 0\r\n000002.jpg 0\r\n000003.jpg 1\r\n000004.jpg 2\r\n000009.jpg 0\r\n");
  CHECK_THROWS_WITH_AS(read(Subset::train), doctest::Contains("img_align_celeba': no such folder"), IoError);
  fs::create_directory(images);
  CHECK_THROWS_WITH_AS(read(Subset::train), doctest::Contains("assigns to part 0 is there"), InputError);

  // Black, but for the square that is to be cut out.
  auto portrait = [&](int64_t h, int64_t w, int64_t side, uint8_t level) {
    Tensor x = flat(h, w, 3, 0);
    for (int64_t y = (h - side) / 2; y < (h + side) / 2; ++y)
      for (int64_t k = (w - side) / 2 * 3; k < (w - side) / 2 * 3 + 3 * side; ++k)
        x.mutable_data<uint8_t>()[y * w * 3 + k] = level;
    return x;
  };
  for (int i = 1; i <= 4; ++i)  // PNG bytes in a .jpg are told by their magic
    write(images / fmt::format("00000{}.jpg", i),
          encode_png(portrait(218, 178, 140, static_cast<uint8_t>(50 * i))));
  ImageSet train = read(Subset::train);
  CHECK(train.pixels.shape() == Shape{2, 64, 64, 3});
  CHECK(!train.labels.defined());
  CHECK(train.remarks ==
        Names{"1 of 3 images that 'list_eval_partition.txt' lists are not there, the first of them 000009.jpg"});
  CHECK(train.pixels.to_vector<uint8_t>() == [] {
    std::vector<uint8_t> v(2 * 64 * 64 * 3, 50);
    std::fill(v.begin() + 64 * 64 * 3, v.end(), 100);
    return v;
  }());
  CHECK(levels(read(Subset::validation)) == Levels{150});
  CHECK(levels(read(Subset::test)) == Levels{200});
  CHECK(read(Subset::train, {.size = 32}).pixels.shape() == Shape{2, 32, 32, 3});
  CHECK(levels(read(Subset::train, {.crop = 178})) == Levels{0, 0});

  write(images / "000002.jpg", encode_png(portrait(109, 89, 70, 9)));
  CHECK_THROWS_WITH_AS(read(Subset::train), doctest::Contains("000002.jpg' has 89 × 109 pixels"), InputError);
  write(images / "000001.jpg", encode_png(portrait(109, 89, 70, 8)));
  CHECK(levels(read(Subset::train)) == Levels{8, 9});
  write(images / "000001.jpg", "no image");
  CHECK_THROWS_WITH_AS(read(Subset::train), doctest::Contains("000001.jpg': none of PNG"), InputError);
  CHECK(levels(read(Subset::train, {.skip_unreadable = true})) == Levels{9});
  write(images / "000001.jpg", encode_png(flat(64, 64, 3, 1)));
  CHECK_THROWS_WITH_AS(read(Subset::train), doctest::Contains("64 × 64 pixels, the aligned images of CelebA"),
                       InputError);

  fs::remove(table);
  write(folder.path / "list_eval_partition_some.csv", "image_id,partition\n000003.jpg,1\n000004.jpg,0\n");
  CHECK(levels(read(Subset::train)) == Levels{200});
  for (const char* bad : {"000001.jpg", "000001.jpg 3", "000001.jpg,", " 0", "a b 0"}) {
    write(table, fmt::format("000004.jpg 0\n{}\n", bad));
    CHECK_THROWS_WITH_AS(read(Subset::train), doctest::Contains("list_eval_partition.txt' line 2"), InputError);
  }
}

TEST_CASE("CIFAR: the Python version and archives are named, with what to fetch") {
  auto refused = [](const std::string& file, const std::string& at, const char* part, auto read,
                    const char* bytes = "\x80\2}q") {
    Folder f;
    write(f.path / file, bytes);
    CHECK_THROWS_WITH_AS(read(f.path / at, Subset::train), doctest::Contains(part), InputError);
  };
  const char *python = "the Python version of CIFAR; the binary one is read. Hint: fetch cifar-10-binary.tar.gz",
             *packed = "packed. Hint: tar -xf cifar-10-binary.tar.gz", *gzip = "\x1f\x8b\x08";
  for (const char* file : {"data_batch_1", "batches.meta", "cifar-10-batches-py/data_batch_1", "data_batch_1.bin"})
    refused(file, "", python, read_cifar10);
  refused("data_batch_3", "data_batch_3", python, read_cifar10);
  for (const char* at : {"", "cifar-10-python.tar.gz"})
    refused("cifar-10-python.tar.gz", at, python, read_cifar10, gzip);
  for (const char* at : {"", "cifar-10-binary.tar.gz"})
    refused("cifar-10-binary.tar.gz", at, packed, read_cifar10, gzip);
  refused("meta", "", "Hint: fetch cifar-100-binary.tar.gz", read_cifar100);
}

TEST_CASE("CelebA as it is, where it is") {
  const char* there = std::getenv("VAPO_DATA");
  fs::path folder = fs::path(there ? there : VAPO_SHARED_DATA) / "celeba";
  if (!fs::exists(folder / "img_align_celeba" / "000001.jpg")) {
    MESSAGE("skipped: no " << folder.string() << "/img_align_celeba");
    return;
  }
  ImageSet set = read_celeba(folder, Subset::train, {.size = 32});
  CHECK(set.count() >= 1000);
  CHECK(set.image_shape() == Shape{32, 32, 3});
  // Faces: redder than blue, and not all alike.
  double sums[3] = {};
  for (int64_t i = 0; i < set.pixels.numel(); ++i) sums[i % 3] += set.pixels.data<uint8_t>()[i];
  CHECK(sums[0] > sums[1]);
  CHECK(sums[1] > sums[2]);
  double mean = (sums[0] + sums[1] + sums[2]) / static_cast<double>(set.pixels.numel());
  CHECK(mean > 80);
  CHECK(mean < 150);
}
