// Image sets from their archives: tiny ones written here, and the real ones where they are.

#include <doctest/doctest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <numeric>

#include "data/sets/images.h"
#include "tensor/io/npy.h"
#include "tests/data/deflated.h"

using namespace vapo;
using namespace vapo::data;

namespace {

namespace fs = std::filesystem;

struct Folder {
  fs::path path;
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "vapo-sets-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()));
    path = pattern;
  }
  ~Folder() { fs::remove_all(path); }
  fs::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
    return path / name;
  }
};

// The message of what `read` throws, which must be of this kind and one line.
template <class Kind = InputError, class F>
std::string refusal(const F& read) {
  try {
    read();
  } catch (const Kind& e) {
    std::string m = e.what();
    CHECK_MESSAGE(m.find('\n') == m.npos, m);
    return m;
  } catch (const Error& e) {
    return std::string("another kind of error: ") + e.what();
  }
  return "nothing was thrown";
}
#define CHECK_SAYS(message, part) CHECK_MESSAGE((message).find(part) != std::string::npos, message)

std::string bytes_of(std::initializer_list<int> values) {
  std::string out;
  for (int v : values) out += static_cast<char>(v);
  return out;
}
template <class T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}
std::string counted(size_t n, int first = 0) {  // first, first + 1, …
  std::string out(n, '\0');
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<char>(first + static_cast<int>(i));
  return out;
}

std::string idx(std::initializer_list<int> sizes, const std::string& elements, int type = 8) {
  std::string out = bytes_of({0, 0, type, static_cast<int>(sizes.size())});
  for (int n : sizes) out += bytes_of({n >> 24, n >> 16, n >> 8, n});
  return out + elements;
}

// Records of CIFAR: record i has the label labels[i], and its bytes count up from i.
std::string records(const std::vector<std::string>& labels) {
  std::string out;
  for (size_t i = 0; i < labels.size(); ++i) out += labels[i] + counted(3072, static_cast<int>(i));
  return out;
}

// MATLAB's format 5.
std::string element(uint32_t type, const std::string& bytes) {
  std::string out = raw(type) + raw(static_cast<uint32_t>(bytes.size())) + bytes;
  return out + std::string((8 - out.size() % 8) % 8, '\0');
}
std::string variable(const std::string& name, uint32_t kind, const std::vector<int32_t>& sizes, uint32_t type,
                     const std::string& numbers) {
  std::string shape;
  for (int32_t n : sizes) shape += raw(n);
  std::string small = raw(static_cast<uint32_t>(name.size() << 16 | 1)) + name + std::string(4 - name.size(), '\0');
  return element(14, element(6, raw(kind) + raw(0)) + element(5, shape) + small + element(type, numbers));
}
std::string packed(const std::string& variable) {
  std::string bytes = deflated(variable, MAX_WBITS);
  return raw(15) + raw(static_cast<uint32_t>(bytes.size())) + bytes;
}
std::string mat(const std::string& elements) { return std::string(124, ' ') + bytes_of({0, 1}) + "IM" + elements; }
constexpr int image_bytes = 32 * 32 * 3;
std::string images_x(int n) {
  return variable("X", 9, {32, 32, 3, n}, 2, counted(static_cast<size_t>(n * image_bytes)));
}
std::string labels_y(const std::string& labels) {
  return variable("y", 9, {static_cast<int32_t>(labels.size()), 1}, 2, labels);
}

fs::path real(const char* set) {
  const char* there = std::getenv("VAPO_DATA");
  return fs::path(there ? there : VAPO_SHARED_DATA) / set;
}
// Whether the file is there; says so where it is not.
bool present(const fs::path& file) {
  if (!fs::exists(file)) MESSAGE("skipped: no " << file.string());
  return fs::exists(file);
}
std::vector<int64_t> histogram(const ImageSet& set, int64_t classes) {
  std::vector<int64_t> out(static_cast<size_t>(classes));
  for (int64_t i = 0; i < set.count(); ++i) ++out[static_cast<size_t>(set.labels.data<int64_t>()[i])];
  return out;
}
double mean(const Tensor& u) {
  const uint8_t* p = u.data<uint8_t>();
  return static_cast<double>(std::accumulate(p, p + u.numel(), int64_t{0})) / static_cast<double>(u.numel());
}

}  // namespace

TEST_CASE("idx: images and labels, gzipped or not, in one member or several") {
  Folder f;
  std::string x = idx({3, 2, 4}, counted(24)), y = idx({3}, bytes_of({7, 0, 9}));
  for (const std::string& images : {x, gzipped(x), gzipped(x.substr(0, 9)) + gzipped(x.substr(9))}) {
    ImageSet set = read_idx(f.write("images", images), f.write("labels", y));
    CHECK(set.pixels.shape() == Shape{3, 2, 4, 1});
    CHECK(set.count() == 3);
    CHECK(set.image_shape() == Shape{2, 4, 1});
    for (int64_t i = 0; i < 24; ++i) CHECK(set.pixels.at(i) == static_cast<double>(i));
    CHECK(set.labels.to_vector<int64_t>() == std::vector<int64_t>{7, 0, 9});
    CHECK(set.classes.empty());
  }
  std::string zeros = idx({200, 28, 28}, std::string(200 * 784, '\0'));  // some thousandfold smaller when packed
  CHECK(read_idx(f.write("images", gzipped(zeros)), f.write("labels", gzipped(idx({200}, counted(200))))).count() ==
        200);
}

TEST_CASE("idx: what is none is refused") {
  Folder f;
  std::string x = idx({3, 2, 4}, counted(24)), y = idx({3}, bytes_of({7, 0, 9}));
  fs::path labels = f.write("labels", y);
  auto refused = [&](const std::string& images, const char* part) {
    std::string m = refusal([&] { read_idx(f.write("images", images), labels); });
    CHECK_SAYS(m, part);
    CHECK_SAYS(m, (f.path / "images").string());
  };
  refused("", "not an idx file");
  refused("\x89PNG", "not an idx file");
  refused(bytes_of({0, 0, 8}), "not an idx file");
  refused(idx({3, 2, 4}, counted(24), 13), "elements of type 0x0d, expected unsigned bytes (0x08)");
  refused(idx({}, "x"), "0 dimensions, expected 1 to 4");
  refused(idx({1, 1, 1, 1, 1}, "x"), "5 dimensions");
  refused(x.substr(0, 13), "truncated in its 3 sizes");
  refused(x.substr(0, x.size() - 1), "(3,2,4) needs 24 bytes, the file holds 23: truncated");
  refused(x + "z", "more bytes than the 24 of (3,2,4)");
  refused(gzipped(x + "z"), "more bytes than the 24");
  refused(idx({0, 2, 4}, ""), "size 1 of 3 is 0");
  refused(idx({-1, -1, -1}, "few"), "3 sizes beyond any file's");
  refused(gzipped(idx({-1, 2, 4}, "few")), "truncated");
  refused(idx({6, 4}, counted(24)), "shape (6,4), expected images × rows × columns");
  refused(y, "Hint: are images and labels exchanged?");
  refused(idx({2, 2, 4}, counted(16)), "has 2 images");
  std::string packed_x = gzipped(x), damaged = packed_x;
  for (size_t cut : {size_t{3}, size_t{20}, packed_x.size() - 1}) refused(packed_x.substr(0, cut), "cut off");
  damaged[packed_x.size() - 6] ^= 1;  // of the checksum
  refused(damaged, "its packed contents are damaged");
  refused(packed_x + "more", "4 bytes follow its gzipped contents");
  f.write("images", x);
  CHECK_SAYS(refusal([&] { read_idx(f.path / "images", f.write("labels", x)); }),
             "shape (3,2,4), expected one label an image");
  CHECK_SAYS(refusal<IoError>([&] { read_idx(f.path / "none", labels); }), "none");
}

TEST_CASE("MNIST: four files under their usual names, packed or not") {
  Folder f;
  auto images = [](int n) { return idx({n, 2, 2}, counted(static_cast<size_t>(4 * n))); };
  f.write("train-images-idx3-ubyte.gz", gzipped(images(3)));
  f.write("train-labels-idx1-ubyte.gz", gzipped(idx({3}, counted(3))));
  f.write("t10k-images.idx3-ubyte", images(2));
  f.write("t10k-labels-idx1-ubyte", idx({2}, counted(2)));
  CHECK(read_mnist(f.path, Subset::train).count() == 3);
  CHECK(read_images("fashion_mnist", f.path, Subset::test).labels.to_vector<int64_t>() ==
        std::vector<int64_t>{0, 1});
  CHECK_SAYS(refusal([&] { read_mnist(f.path, Subset::validation); }), "mnist has no validation part. Hint: ");
  f.write("t10k-labels-idx1-ubyte", idx({2}, bytes_of({9, 10})));
  CHECK_SAYS(refusal([&] { read_mnist(f.path, Subset::test); }), "label 10 of image 1 (from 0), expected 0 to 9");
  fs::remove(f.path / "t10k-images.idx3-ubyte");
  CHECK_SAYS(refusal<IoError>([&] { read_mnist(f.path, Subset::test); }), "t10k-images-idx3-ubyte.gz there");
}

TEST_CASE("CIFAR: planes become channels, files are joined in their order, classes are named") {
  Folder f;
  for (int i = 1; i <= 5; ++i)
    f.write("data_batch_" + std::to_string(i) + ".bin", records({bytes_of({i}), bytes_of({i + 1})}));
  f.write("test_batch.bin", records({bytes_of({9})}));
  ImageSet set = read_cifar10(f.path, Subset::train);
  CHECK(set.pixels.shape() == Shape{10, 32, 32, 3});
  CHECK(set.labels.to_vector<int64_t>() == std::vector<int64_t>{1, 2, 2, 3, 3, 4, 4, 5, 5, 6});
  CHECK(set.classes.empty());
  for (int64_t image : {0, 1, 9})  // value (image odd) + 1024 channel + pixel, mod 256
    for (int64_t pixel : {0, 1, 33, 1023})
      for (int64_t c = 0; c < 3; ++c)
        CHECK(set.pixels.at((image * 1024 + pixel) * 3 + c) ==
              static_cast<double>((image % 2 + 1024 * c + pixel) % 256));
  f.write("data_batch_1.bin",
          bytes_of({0}) + std::string(1024, 'r') + std::string(1024, 'g') + std::string(1024, 'b'));
  set = read_cifar10(f.path, Subset::train);
  CHECK((set.pixels.at(0) == 'r' && set.pixels.at(1) == 'g' && set.pixels.at(2) == 'b' && set.pixels.at(3) == 'r'));

  f.write("batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n");
  CHECK(read_cifar10(f.path, Subset::test).classes[9] == "j");
  CHECK(read_cifar10(f.path / "data_batch_4.bin", Subset::train).labels.to_vector<int64_t>() ==
        std::vector<int64_t>{4, 5});
  CHECK(read_cifar10(f.path / "data_batch_4.bin", Subset::train).classes.size() == 10);
  f.write("batches.meta.txt", "a\nb\n");
  CHECK_SAYS(refusal([&] { read_cifar10(f.path, Subset::test); }), "batches.meta.txt': 2 names, expected 10");

  f.write("test.bin", records({bytes_of({3, 99}), bytes_of({200, 0})}));
  ImageSet fine = read_cifar100(f.path, Subset::test);
  CHECK(fine.labels.to_vector<int64_t>() == std::vector<int64_t>{99, 0});
  CHECK(fine.pixels.at(0) == 0);
}

TEST_CASE("CIFAR: cut or mislabelled files are refused, naming file and record") {
  Folder f;
  auto refused = [&](const std::string& bytes, const char* part) {
    std::string m = refusal([&] { read_cifar10(f.path, (f.write("test_batch.bin", bytes), Subset::test)); });
    CHECK_SAYS(m, part);
    CHECK_SAYS(m, (f.path / "test_batch.bin").string());
  };
  refused("", "0 bytes are no whole number of records of 3073: record 0 (from 0) is cut off");
  refused(records({"\1", "\1"}).substr(0, 5000), "5000 bytes are no whole number of records of 3073: record 1");
  refused(records({"\1", "\1"}) + "x", "record 2 (from 0) is cut off");
  refused(records({"\1", "\x0a"}), "record 1 (from 0) has label 10, expected 0 to 9");
  f.write("train.bin", records({bytes_of({0, 100})}));
  CHECK_SAYS(refusal([&] { read_cifar100(f.path, Subset::train); }),
             "record 0 (from 0) has label 100, expected 0 to 99");
  CHECK_SAYS(refusal<IoError>([&] { read_cifar10(f.path, Subset::train); }), "data_batch_1.bin");
  for (auto read : {read_cifar10, read_cifar100, read_svhn})
    CHECK_SAYS(refusal([&] { read(f.path, Subset::validation); }), "has no validation part");
}

TEST_CASE("SVHN: the first size runs fastest, 10 is the digit 0, variables may be packed") {
  Folder f;
  auto read = [&](const std::string& elements) {
    f.write("test_32x32.mat", mat(elements));
    return read_svhn(f.path, Subset::test);
  };
  std::string x = images_x(2), y = labels_y(bytes_of({10, 3}));
  std::string doubles = variable("y", 6, {2, 1}, 9, raw(10.0) + raw(3.0)),
              ints = variable("y", 6, {2, 1}, 4, raw(uint16_t{10}) + raw(uint16_t{3}));
  std::string other =
      element(14, element(6, raw(2) + raw(0)) + element(5, raw(1) + raw(1)) + element(1, "s") + element(14, ""));
  for (const std::string& elements : {x + y, y + x, packed(x) + packed(y), x + packed(doubles), x + ints,
                                      other + x + packed(other) + y + "rest"}) {
    ImageSet set = read(elements);
    CHECK(set.pixels.shape() == Shape{2, 32, 32, 3});
    CHECK(set.labels.to_vector<int64_t>() == std::vector<int64_t>{0, 3});
    for (int64_t n : {0, 1})
      for (int64_t row : {0, 1, 31})
        for (int64_t column : {0, 2, 31})
          for (int64_t c = 0; c < 3; ++c)
            CHECK(set.pixels.at(((n * 32 + row) * 32 + column) * 3 + c) ==
                  static_cast<double>((row + 32 * (column + 32 * (c + 3 * n))) % 256));
  }
  CHECK(read(variable("X", 9, {32, 32, 3}, 2, counted(image_bytes)) + labels_y("\1")).count() == 1);
}

TEST_CASE("SVHN: what is another file is refused") {
  Folder f;
  auto refused = [&](const std::string& bytes, const char* part) {
    std::string m = refusal([&] { read_svhn(f.path, (f.write("train_32x32.mat", bytes), Subset::train)); });
    CHECK_SAYS(m, part);
    CHECK_SAYS(m, (f.path / "train_32x32.mat").string());
  };
  std::string x = images_x(1), y = labels_y("\1");
  refused("", "no file of MATLAB's format 5");
  refused("MATLAB 7.3 MAT-file, Platform: GLNXA64" + std::string(474, ' ') + "\x89HDF\r\n",
          "MATLAB's format 7.3 (HDF5), expected format 5. Hint: ");
  refused(std::string(124, ' ') + bytes_of({0, 2}) + "IM" + x + y, "no file of MATLAB's format 5");
  refused(std::string(124, ' ') + bytes_of({1, 0}) + "MI" + x + y, "no file of MATLAB's format 5");
  refused(mat(""), "no variable X");
  refused(mat(x), "no variable y");
  refused(mat(y), "no variable X");
  refused(mat(x + y).substr(0, 1000), "truncated");
  refused(mat(x + y.substr(0, 5)), "truncated in a tag");
  refused(mat(x.substr(0, 8) + y), "an element of");
  refused(mat(x + raw(14 | 5 << 16) + raw(0)), "a damaged tag: 5 bytes in four");
  refused(mat(x + element(14, "")), "truncated in a tag");
  refused(mat(x + element(14, element(6, "four"))), "a variable without flags");
  refused(mat(x + element(14, element(6, raw(9) + raw(0)) + element(5, "two") + element(1, "y"))),
          "a variable without sizes or name");
  refused(mat(variable("X", 9, {32, 3, 32, 1}, 2, counted(image_bytes)) + y),
          "X has sizes (32,3,32,1), expected (32,32,3,N)");
  refused(mat(variable("X", 9, {32, 32, 3, 0}, 2, "") + y), "X has sizes (32,32,3,0)");
  refused(mat(variable("X", 9, {32, 32, 3, -1}, 2, "") + y), "X has sizes (32,32,3,-1)");
  refused(mat(variable("X", 9, {32, 32, 3, 2}, 2, counted(image_bytes)) + y), "X holds 3072 bytes");
  refused(mat(variable("X", 6, {32, 32, 3, 1}, 9, counted(8 * image_bytes)) + y), "of type 9");
  refused(mat(variable("X", 9 | 0x800, {32, 32, 3, 1}, 2, counted(image_bytes)) + y), "X holds 0 bytes");
  refused(mat(x + variable("y", 4, {1, 1}, 4, "\1")), "y holds no real numbers");
  refused(mat(x + labels_y("\1\2")), "1 images in X, 2 labels in y");
  for (int bad : {0, 11}) refused(mat(x + labels_y(bytes_of({bad}))), "image 0 (from 0) has label");
  for (double bad : {1.5, -1.0, static_cast<double>(NAN), 1e300})
    refused(mat(x + variable("y", 6, {1, 1}, 9, raw(bad))), "expected 1 to 10");
  std::string p = packed(x);
  refused(mat(raw(15) + raw(9) + p.substr(8, 9)), "cut off");
  p[40] ^= 1;
  refused(mat(p), "its packed contents are damaged");
  std::string shorter = x, longer = x + "surplus ";
  shorter.resize(shorter.size() - 8);
  refused(mat(packed(shorter)), "another number is packed");
  refused(mat(packed(longer)), "another number is packed");
  refused(mat(packed("four")), "truncated in a packed tag");
  CHECK_SAYS(refusal<IoError>([&] { read_svhn(f.path, Subset::test); }), "test_32x32.mat");
}

TEST_CASE("an array of images, and sets by name") {
  Folder f;
  fs::path file = f.path / "x.npy";
  auto array = [&](const Tensor& x) { return write_npy(file, x), read_images("image_array", file, Subset::train); };
  CHECK(array(Tensor::full({5, 4, 6, 3}, 7, DType::u8)).pixels.shape() == Shape{5, 4, 6, 3});
  CHECK(array(Tensor::full({5, 4, 6}, 7, DType::u8)).pixels.shape() == Shape{5, 4, 6, 1});
  CHECK(!array(Tensor::full({5, 4, 6}, 7, DType::u8)).labels.defined());
  CHECK_SAYS(refusal([&] { array(Tensor::zeros({5, 4, 6, 3})); }), "holds f32, expected u8 pixels. Hint: astype");
  for (const Shape& shape :
       {Shape{5, 4}, Shape{5, 4, 6, 2}, Shape{5, 3, 4, 6}, Shape{0, 4, 6, 3}, Shape{1, 1, 1, 1, 1}})
    CHECK_SAYS(refusal([&] { array(Tensor::full(shape, 0, DType::u8)); }), "shape " + shape.str());
  CHECK_SAYS(refusal([&] { read_images("image_array", file, Subset::test); }), "image_array is all train");
  CHECK_SAYS(refusal([&] { read_images("image_array", "", Subset::train); }), "image_array: which? Hint: a path");

  for (const char* name :
       {"mnist", "fashion_mnist", "cifar10", "cifar100", "svhn", "celeba", "image_folder", "image_array"}) {
    std::vector<std::string> names = image_set_names();
    CHECK(std::count(names.begin(), names.end(), name) == 1);
    CHECK_SAYS(refusal([&] { read_images("cifar", "", Subset::train); }), name);
  }
  f.write("test_batch.bin", records({"\1"}));
  CHECK(read_images("cifar10", f.path, Subset::test, {.size = 32}).count() == 1);
  CHECK_SAYS(refusal([&] { read_images("cifar10", f.path, Subset::test, {.size = 64}); }),
             "cifar10 has images of 32 × 32");

  const char* before = std::getenv("VAPO_DATA");
  std::string saved = before ? before : "";
  ::unsetenv("VAPO_DATA");
  CHECK_SAYS(refusal([&] { read_images("cifar10", "", Subset::test); }), "VAPO_DATA is not set. Hint: a path");
  fs::create_directory(f.path / "cifar-10-batches-bin");
  f.write("cifar-10-batches-bin/test_batch.bin", records({"\1", "\2"}));
  ::setenv("VAPO_DATA", f.path.c_str(), 1);
  CHECK(read_images("cifar10", "", Subset::test).count() == 2);
  ::unsetenv("VAPO_DATA");
  if (before) ::setenv("VAPO_DATA", saved.c_str(), 1);
}

TEST_CASE("the real sets, where they are") {
  if (present(real("mnist") / "train-images-idx3-ubyte.gz")) {
    ImageSet set = read_mnist(real("mnist"), Subset::train);
    CHECK(set.pixels.shape() == Shape{60'000, 28, 28, 1});
    std::vector<int64_t> y = set.labels.to_vector<int64_t>();
    CHECK(std::accumulate(y.begin(), y.end(), int64_t{0}) == 267'236);
    CHECK(mean(set.pixels) == doctest::Approx(255 * 0.1307).epsilon(1e-3));
    CHECK(read_mnist(real("mnist"), Subset::test).count() == 10'000);
  }
  if (present(real("fashion-mnist") / "t10k-images-idx3-ubyte.gz"))
    CHECK(histogram(read_mnist(real("fashion-mnist"), Subset::test), 10) == std::vector<int64_t>(10, 1'000));
  if (present(real("cifar-10-batches-bin") / "test_batch.bin")) {
    ImageSet set = read_cifar10(real("cifar-10-batches-bin"), Subset::test);
    CHECK(set.pixels.shape() == Shape{10'000, 32, 32, 3});
    CHECK(histogram(set, 10) == std::vector<int64_t>(10, 1'000));
    CHECK((set.classes.at(0) == "airplane" && set.classes.at(9) == "truck"));
  }
  if (present(real("cifar-100-binary") / "test_first916.bin")) {
    ImageSet set = read_cifar100(real("cifar-100-binary") / "test_first916.bin", Subset::test);
    CHECK(set.count() == 916);
    for (int64_t n : histogram(set, 100)) CHECK((n > 0 && n < 30));
  }
  if (present(real("svhn") / "test_32x32.mat")) CHECK(read_svhn(real("svhn"), Subset::test).count() == 26'032);
}
