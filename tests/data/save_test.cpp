#include "data/writers/save.h"

#include <doctest/doctest.h>
#include <stdlib.h>

#include <cmath>
#include <limits>

#include "data/pictures/image_file.h"
#include "data/readers/npz.h"
#include "data/readers/table.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/npy.h"
#include "tensor/kernels.h"
#include "tensor/random.h"

using namespace vapo;
using namespace vapo::data;
namespace fs = std::filesystem;

namespace {

struct Scratch {
  Scratch() {
    std::string pattern = (fs::temp_directory_path() / "vapo-save-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  ~Scratch() { fs::remove_all(folder); }
  fs::path folder;
};

template <class E, class F>
std::string refusal(const F& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "not refused";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

int64_t largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  int64_t most = 0;
  for (int64_t i = 0; i < a.numel(); ++i)
    most = std::max<int64_t>(most, std::abs(int(a.data<uint8_t>()[i]) - int(b.data<uint8_t>()[i])));
  return most;
}

}  // namespace

TEST_CASE("rows as .csv read back bit for bit, under the names of their columns") {
  Scratch scratch;
  fs::path file = scratch.folder / "rows.csv";
  std::vector<double> odd = {0.1,    -1.0 / 3, 2459000.123456789,
                             1e-300, 1e300,    std::numeric_limits<double>::denorm_min()};
  for (DType dtype : {DType::f64, DType::f32}) {
    Tensor x = dtype == DType::f64 ? Tensor::from(odd, {3, 2}) : randn({50, 2}, {.seed = 3});
    save_rows(file, {.values = x, .columns = {"temp, max", "say \"hi\""}});
    Table back = read_table(file);
    CHECK(back.columns == std::vector<std::string>{"temp, max", "say \"hi\""});
    REQUIRE(back.values.shape() == x.shape());
    Tensor same = back.values.to(dtype);  // the fewest digits of an f32 are another f64
    for (int64_t i = 0; i < x.numel(); ++i) CHECK_MESSAGE(same.at(i) == x.at(i), i);
  }
  save_rows(file, {.values = Tensor::from(std::vector<float>{0.1f, 2, 0.25f, -3}, {2, 2})});
  CHECK(read_whole_file(file) == "x1,x2\n0.1,2\n0.25,-3\n");
}

TEST_CASE("rows with a column that says what they are of: text in .csv alone, numbers everywhere") {
  Scratch scratch;
  SavedRows rows{.values = Tensor::from(std::vector<double>{0.5, -1, 2, 4}, {2, 2}),
                 .columns = {"energy", "norm"},
                 .index_name = "row",
                 .index = Tensor::from(std::vector<int64_t>{7, 9}, {2})};
  save_rows(scratch.folder / "a.csv", rows);
  CHECK(read_whole_file(scratch.folder / "a.csv") == "row,energy,norm\n7,0.5,-1\n9,2,4\n");
  save_rows(scratch.folder / "a.npy", rows);
  Tensor x = read_npy(scratch.folder / "a.npy");
  CHECK(x.shape() == Shape{2, 3});
  CHECK((x.at(0) == 7 && x.at(1) == 0.5 && x.at(5) == 4));
  save_rows(scratch.folder / "a.npz", rows);
  Arrays arrays = read_npz(scratch.folder / "a.npz");
  CHECK(arrays.size() == 3);
  CHECK((arrays.at("row").dtype() == DType::i64 && arrays.at("row").at(1) == 9));
  CHECK((arrays.at("norm").shape() == Shape{2} && arrays.at("norm").at(1) == 4));
  rows.index_text = {"cats/a,b.png", "dogs/ 1.png"};
  save_rows(scratch.folder / "b.csv", rows);
  CHECK(read_whole_file(scratch.folder / "b.csv") == "row,energy,norm\n\"cats/a,b.png\",0.5,-1\ndogs/ 1.png,2,4\n");
  rows.index_name = "";
  save_rows(scratch.folder / "c.npz", rows);
  CHECK(read_npz(scratch.folder / "c.npz").at("arr_0").shape() == Shape{2, 2});
}

TEST_CASE("images as arrays, and as one picture whose format is the ending's") {
  Scratch scratch;
  for (int64_t channels : {1, 3}) {
    Tensor smooth = Tensor::empty({6, 16, 16, channels}, DType::u8);
    for (int64_t i = 0; i < smooth.numel(); ++i)
      smooth.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(90 + 40 * (i % channels) + i / channels % 16);
    SavedImages images{.pixels = smooth, .labels = Tensor::arange(6), .columns = 3};
    Tensor grid = image_grid(smooth, 3, 0);
    for (const char* name : {"a.png", "a.jpg", "a.JPEG"}) {
      fs::path file = scratch.folder / name;
      save_images(file, images);
      CHECK_MESSAGE(read_whole_file(file).starts_with(name[2] == 'p' ? "\x89PNG" : "\xff\xd8\xff"), name);
      Tensor back = read_image(file);
      CHECK(back.shape() == image_grid(smooth, 3).shape());
      save_picture(file, grid);
      CHECK_MESSAGE(largest_difference(read_image(file), grid) <= (name[2] == 'p' ? 0 : 6), name);
    }
    save_images(scratch.folder / "a.npy", images);
    CHECK(largest_difference(read_npy(scratch.folder / "a.npy"), smooth) == 0);
    save_images(scratch.folder / "a.npz", images);
    CHECK(read_npz(scratch.folder / "a.npz").at("arr_1").at(5) == 5);
  }
}

TEST_CASE(
    "a file that could not be written is told before there is anything to write, with the endings there are") {
  Scratch scratch;
  auto told = [&](const std::string& name, Contents what) {
    return refusal<InputError>([&] { check_target(scratch.folder / name, what, "--save"); });
  };
  CHECK(has(told("a.txt", Contents::rows), "rows of numbers are written as .csv, .npy or .npz"));
  CHECK(has(told("a.txt", Contents::rows), "and not as .txt"));
  CHECK(has(told("csv", Contents::rows), "not as one without"));
  CHECK(has(told("a.png", Contents::rows), "--save "));
  CHECK(has(told("a.csv", Contents::images), ".npy, .npz, .png, .jpg or .jpeg"));
  CHECK(has(told("a.npy", Contents::picture), "a picture is written as .png, .jpg or .jpeg"));
  CHECK(has(told("a.csv", Contents::statistics), "as .npz,"));
  for (const char* name : {"a.csv", "a.NPY", "b.npz"})
    CHECK_NOTHROW(check_target(scratch.folder / name, Contents::rows, "x"));
  CHECK(has(refusal<IoError>([&] { check_target(scratch.folder / "none/a.csv", Contents::rows, "--save"); }),
            "there is no folder"));
  fs::create_directory(scratch.folder / "a.csv");
  CHECK(has(refusal<IoError>([&] { check_target(scratch.folder / "a.csv", Contents::rows, "--save"); }),
            "it is a folder"));
  CHECK(has(refusal<InputError>([&] {
              save_rows(scratch.folder / "a.txt", {.values = Tensor::zeros({1, 1})});
            }),
            ".csv"));
  CHECK_FALSE(fs::exists(scratch.folder / "a.txt"));
}
