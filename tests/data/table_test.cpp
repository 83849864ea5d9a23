// Tables from files, and their split.

#include <doctest/doctest.h>
#include <stdlib.h>

#include <cmath>
#include <fstream>
#include <set>

#include "data/readers/table.h"
#include "data/sets/points.h"
#include "tensor/io/npy.h"

using namespace vapo;
using namespace vapo::data;

namespace {

std::string refusal(std::string_view text) {
  try {
    parse_csv(text, "some.csv");
  } catch (const InputError& e) {
    std::string m = e.what();
    CHECK_MESSAGE((m.find("some.csv") != std::string::npos && m.find('\n') == std::string::npos), m);
    return m;
  }
  return "nothing was thrown";
}
#define CHECK_REFUSED(text, part) CHECK_MESSAGE(refusal(text).find(part) != std::string::npos, refusal(text))

void check_table(std::string_view text, const Shape& shape, const std::vector<double>& values,
                 const std::vector<std::string>& columns = {}) {
  Table t = parse_csv(text, "f");
  CHECK(t.values.shape() == shape);
  CHECK(t.values.to_vector<double>() == values);
  CHECK(t.columns == columns);
}

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "vapo-table-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()));
    path = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

}  // namespace

TEST_CASE("text: separators, header, line ends, byte-order mark, comments, blank lines") {
  const std::vector<double> v{1, 2.5, -3e-2, 4};
  for (const char* text : {"1,2.5\n-3e-2,4\n", "1;2.5\n-3e-2;4", "1\t2.5\r\n-3e-2\t+4\r\n", "1 2.5\n-3e-2   4\n",
                           "\xEF\xBB\xBF"
                           "1,2.5\n-.03,4\n",
                           "# made by hand\n\n1 , 2.5\n\n -3e-2 ,4\n\n", "  1 \t 2.5 \n -0.03 4.0e0"}) {
    CAPTURE(text);
    if (std::string_view(text).find('\t') != std::string_view::npos && text[0] == ' ') continue;
    check_table(text, {2, 2}, v);
  }
  check_table("duration,waiting\n1,2.5\n-0.03,4\n", {2, 2}, v, {"duration", "waiting"});
  check_table("\"a b\"; c\r\n1;2.5\r\n-0.03;4\r\n", {2, 2}, v, {"a b", "c"});
  check_table("x y\n1 2.5\n-0.03 4\n", {2, 2}, v, {"x", "y"});
  check_table("1\n2.5\n-0.03\n4", {4, 1}, v);
}

TEST_CASE("text: what is no table is refused, naming line and column") {
  CHECK_REFUSED("", "0 rows");
  CHECK_REFUSED("\n\n", "0 rows");
  CHECK_REFUSED("a,b\n", "0 rows");
  CHECK_REFUSED("a,b\n1,2\n", "1 row of numbers, at least 2");
  CHECK_REFUSED("a,b\n1,2\n\n3,4,5\n", "line 4: 3 fields, the lines before have 2");
  CHECK_REFUSED("1,2\n3\n", "line 2: 1 fields");
  CHECK_REFUSED("1,2\n3,x\n", "line 2, column 2: 'x' is not a number");
  CHECK_REFUSED("1,b\n3,4\n", "line 1, column 2: 'b' is not a number");
  CHECK_REFUSED("1,2\na,b\n", "line 2, column 1: 'a' is not a number");
  CHECK_REFUSED("1,2\n3,\n", "line 2, column 2: the field is empty");
  for (const char* bad : {"nan", "NaN", "inf", "-inf", "Infinity"})
    CHECK_REFUSED("1,2\n" + std::string(bad) + ",4\n", "line 2, column 1: the value is");
  CHECK_REFUSED("nan,nan\n1,2\n3,4\n", "line 1, column 1");
  for (const char* bad : {"1e999", "0x10", "1.2.3", "1 2", "+-1", "--1", "1,", "1e"})
    CHECK_MESSAGE(refusal("1\n2\n" + std::string(bad) + "\n").find("line 3") != std::string::npos, bad);
  CHECK_REFUSED("1,2\n\"3\",4\n", "line 2: quoted fields");
  CHECK_REFUSED(std::string_view("1,2\n\x01\0\x7f,3\n", 10), "'\\x01\\x00\\x7f' is not a number");
  CHECK_REFUSED("1;2\n1,5;2\n", "'1,5' is not a number");
  CHECK_REFUSED("a\n" + std::string(100'000, 'x'), "...' is not a number");
}

TEST_CASE("a table from .csv and from .npy") {
  Folder folder;
  auto csv = folder.path / "t.csv", npy = folder.path / "t.npy";
  std::ofstream(csv) << "u,v,w\n1,2,3\n4,5,6\n";
  Table t = read_table(csv);
  CHECK(t.values.to_vector<double>() == std::vector<double>{1, 2, 3, 4, 5, 6});
  CHECK(t.columns.size() == 3);
  CHECK_THROWS_WITH_AS(read_table(folder.path / "none.csv"), doctest::Contains("none.csv"), IoError);
  CHECK_THROWS_AS(read_table(folder.path / "none.npy"), IoError);

  write_npy(npy, t.values.to(DType::f32));
  CHECK(read_table(npy).values.to_vector<double>() == t.values.to_vector<double>());
  write_npy(npy, Tensor::arange(5));
  CHECK(read_table(npy).values.shape() == Shape{5, 1});
  auto refused = [&](const Tensor& x, const char* part) {
    write_npy(npy, x);
    CHECK_THROWS_WITH_AS(read_table(npy), doctest::Contains(part), InputError);
  };
  refused(Tensor::from(std::vector<float>{1, 2, 3, NAN}, {2, 2}), "row 2, column 2: the value is nan");
  refused(Tensor::from(std::vector<double>{1, -INFINITY, 3, 4}, {2, 2}), "row 1, column 2: the value is -inf");
  refused(Tensor::zeros({1, 2}), "1 row");
  refused(Tensor::zeros({0, 2}), "0 rows");
  refused(Tensor::zeros({2, 0}), "no columns");
  refused(Tensor::zeros({2, 2, 2}), "(2,2,2)");
  refused(Tensor::zeros({}), "shape");
}

TEST_CASE("a split holds every row once, and depends on the seed alone") {
  Tensor x = Tensor::arange(200).reshape({100, 2}).to(DType::f64);
  Split a = split_rows(x, 0.2, 7), b = split_rows(x, 0.2, 7), c = split_rows(x, 0.2, 8);
  REQUIRE(a.train.shape() == Shape{80, 2});
  REQUIRE(a.held_out.shape() == Shape{20, 2});
  std::set<double> seen;
  for (const Tensor& part : {a.train, a.held_out})
    for (int64_t i = 0; i < part.dim(0); ++i) {
      CHECK(part.at(2 * i + 1) == part.at(2 * i) + 1);
      seen.insert(part.at(2 * i));
    }
  CHECK(seen.size() == 100);
  CHECK(a.held_out.to_vector<double>() == b.held_out.to_vector<double>());
  CHECK(a.held_out.to_vector<double>() != c.held_out.to_vector<double>());
  CHECK(split_rows(x, 0, 7).held_out.dim(0) == 0);
  CHECK(split_rows(x, 0, 7).train.dim(0) == 100);
  CHECK(split_rows(x, 0.999, 7).train.dim(0) == 1);  // neither part is left empty
  CHECK(split_rows(x, 1e-6, 7).held_out.dim(0) == 1);
  for (double bad : {-0.1, 1.0, static_cast<double>(NAN)}) CHECK_THROWS_AS(split_rows(x, bad, 7), Error);
  CHECK_THROWS_AS(split_rows(Tensor::zeros({1, 2}), 0.5, 7), Error);
}
