#include "data/readers/npz.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "data/sets/images.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/random.h"

using namespace vapo;
using namespace vapo::data;

namespace {

struct Scratch {
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "vapo-npz-XXXXXX").string();
    folder = mkdtemp(pattern.data());
  }
  ~Scratch() { std::filesystem::remove_all(folder); }
  std::filesystem::path folder;
};

void write(const std::filesystem::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("arrays come back from an .npz as they went in") {
  Scratch scratch;
  auto file = scratch.folder / "a.npz";
  Arrays arrays = {{"mu", randn({7}, {.seed = 1}, DType::f64)},
                   {"sigma", randn({7, 3}, {.seed = 2})},
                   {"pixels", Tensor::full({2, 3, 4, 1}, 200, DType::u8)},
                   {"empty", Tensor::zeros({0, 5}, DType::i64)}};
  write_npz(file, arrays);
  Arrays back = read_npz(file);
  REQUIRE(back.size() == 4);
  for (const auto& [name, x] : arrays) {
    CAPTURE(name);
    REQUIRE(back.count(name) == 1);
    CHECK(back[name].shape() == x.shape());
    CHECK(back[name].dtype() == x.dtype());
    CHECK(back[name].to(DType::f64).to_vector<double>() == x.to(DType::f64).to_vector<double>());
  }
}

TEST_CASE("an .npz does not hold the time when it was written") {
  Scratch scratch;
  auto file = scratch.folder / "a.npz";
  write_npz(file, {{"x", Tensor::zeros({3})}});
  std::string bytes = read_whole_file(file);
  REQUIRE(bytes.starts_with("PK\3\4"));
  CHECK(bytes.substr(10, 4) == std::string("\0\0\x21\0", 4));  // time and date of the local header
  size_t central = bytes.find("PK\1\2");
  REQUIRE(central != bytes.npos);
  CHECK(bytes.substr(central + 12, 4) == std::string("\0\0\x21\0", 4));
}

TEST_CASE("a file that is no .npz is refused by its name") {
  Scratch scratch;
  auto file = scratch.folder / "b.npz";
  CHECK_THROWS_AS(read_npz(file), IoError);
  write(file, "not a zip archive");
  CHECK_THROWS_WITH_AS(read_npz(file), doctest::Contains("b.npz"), InputError);
  write_npz(file, {{"x", randn({1000}, {.seed = 3})}});
  std::string whole = read_whole_file(file);
  for (size_t kept = 0; kept < whole.size(); kept += 97) {  // cut anywhere
    write(file, whole.substr(0, kept));
    CHECK_THROWS_AS(read_npz(file), InputError);
  }
  for (size_t at = 0; at < whole.size(); at += 31) {  // a wrong byte anywhere: an error, or an unused field
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    write(file, damaged);
    try {
      read_npz(file);
    } catch (const InputError&) {
    }
  }
}

TEST_CASE("images in an .npz: arr_0, with labels where arr_1 is there") {
  Tensor pixels = Tensor::full({2, 3, 4, 3}, 7, DType::u8), labels = Tensor::from(std::vector<int64_t>{4, 9}, {2});
  ImageSet set = image_set_of({{"arr_0", pixels}, {"arr_1", labels}}, "x.npz");
  CHECK(set.image_shape() == Shape{3, 4, 3});
  CHECK(set.labels.to_vector<int64_t>() == std::vector<int64_t>{4, 9});
  CHECK(!image_set_of({{"arr_0", pixels}}, "x.npz").labels.defined());
  CHECK(image_set_of({{"arr_0", Tensor::zeros({5, 3, 4}, DType::u8)}}, "x.npz").pixels.shape() ==
        Shape{5, 3, 4, 1});
  CHECK(image_set_of({{"arr_0", pixels}, {"arr_1", labels.to(DType::u8)}}, "x.npz").labels.at(1) == 9);
  auto refused = [](const Arrays& arrays, const char* part) {
    CHECK_THROWS_WITH_AS(image_set_of(arrays, "x.npz"), doctest::Contains(part), InputError);
  };
  refused({{"images", pixels}}, "'x.npz': no array 'arr_0'");
  refused({{"arr_0", Tensor::zeros({2, 3, 4, 3})}}, "'x.npz' holds f32");
  refused({{"arr_0", Tensor::zeros({2, 3, 4, 2}, DType::u8)}}, "(2,3,4,2)");
  refused({{"arr_0", pixels}, {"arr_1", Tensor::zeros({3}, DType::i64)}}, "arr_1 is i64 (3)");
  refused({{"arr_0", pixels}, {"arr_1", Tensor::zeros({2})}}, "arr_1 is f32 (2)");
}
