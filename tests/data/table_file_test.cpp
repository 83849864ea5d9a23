// Tables from files: .csv, gzipped, .npy, .npz, and all that is none.

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "data/readers/file_kind.h"
#include "data/readers/npz.h"
#include "data/readers/table.h"
#include "tensor/io/npy.h"
#include "tests/data/deflated.h"
#include "tests/scratch_folder.h"

using namespace vapo;
using namespace vapo::data;
using namespace std::string_literals;

namespace {

using Folder = ScratchFolder;

void write(const std::filesystem::path& file, std::string_view bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
}

// A zip archive of entries that are not packed.
std::string stored(const std::vector<std::pair<std::string, std::string>>& entries) {
  auto number = [](size_t x, int bytes) {
    std::string out;
    for (; bytes > 0; --bytes, x >>= 8) out += static_cast<char>(x & 255);
    return out;
  };
  std::string out, central;
  for (const auto& [name, bytes] : entries) {
    size_t sum = crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size()));
    std::string about = number(20, 2) + std::string(4, '\0') + number(0, 2) + number(33, 2) + number(sum, 4) +
                        number(bytes.size(), 4) + number(bytes.size(), 4) + number(name.size(), 2) + number(0, 2);
    central += "PK\1\2" + number(20, 2) + about + std::string(10, '\0') + number(out.size(), 4) + name;
    out += "PK\3\4" + about + name + bytes;
  }
  return out + central + "PK\5\6" + std::string(4, '\0') + number(entries.size(), 2) + number(entries.size(), 2) +
         number(central.size(), 4) + number(out.size(), 4) + number(0, 2);
}

}  // namespace

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

TEST_CASE("gzipped tables are read by what they hold, whatever they are called") {
  Folder folder;
  auto file = folder.path / "t.data";
  const std::string text = "a,b\n1,2\n3,4\n";
  write(file, gzipped(text));
  CHECK(read_table(file).columns == std::vector<std::string>{"a", "b"});
  write(file, gzipped("a,b\n1,") + gzipped("2\n3,4\n"));  // members, one after the other
  CHECK(read_table(file).values.to_vector<double>() == std::vector<double>{1, 2, 3, 4});
  std::string long_text = "a\n";
  for (int i = 0; i < 300'000; ++i) long_text += std::to_string(i % 977) + ".5\n";
  write(file, gzipped(long_text));
  CHECK(read_table(file).values.dim(0) == 300'000);
  std::string cut = gzipped(text);
  write(file, cut.substr(0, cut.size() - 9));
  CHECK_THROWS_WITH_AS(read_table(file), doctest::Contains("cut off"), InputError);
  write(file, gzipped("PAR1\0\1"s));
  CHECK_THROWS_WITH_AS(read_table(file), doctest::Contains("is gzipped, and in it is Parquet"), InputError);
}

TEST_CASE("an archive of arrays is a table where one of them is meant, and others are not parsed") {
  Folder folder;
  auto file = folder.path / "t.npz";
  Tensor x = Tensor::from(std::vector<double>{1, 2, 3, 4}, {2, 2});
  write_npz(file, {{"points", x}});
  CHECK(read_table(file).values.to_vector<double>() == x.to_vector<double>());
  write_npz(file, {{"arr_0", x}, {"other", Tensor::zeros({3})}});
  CHECK(read_table(file).notes == std::vector<std::string>{"of its 2 arrays, arr_0 is read"});
  CHECK(npz_names(file) == std::vector<std::string>{"arr_0", "other"});
  CHECK(read_npz(file, {"other", "none"}).size() == 1);
  write_npz(file, {{"train", x}, {"test", x}});
  CHECK_THROWS_WITH_AS(read_table(file), doctest::Contains("none is arr_0: test, train"), InputError);

  // of text, which only who asks for it is refused
  std::string text = "\x93NUMPY\1\0\x46\0{'descr': '<U1', 'fortran_order': False, 'shape': (2,), }"s;
  text.resize(79, ' ');
  text += "\na\0\0\0b\0\0\0"s;
  write(file, stored({{"arr_0.npy", npy_header(x) + std::string(static_cast<const char*>(x.raw()), 32)},
                      {"names.npy", text}}));
  CHECK(read_npz(file, {"arr_0"}).at("arr_0").to_vector<double>() == x.to_vector<double>());
  CHECK(read_table(file).values.shape() == Shape{2, 2});
  CHECK_THROWS_WITH_AS(read_npz(file), doctest::Contains("t.npz:names"), InputError);
}

TEST_CASE("what is no table is called by its name, with what to give instead") {
  Folder folder;
  auto file = folder.path / "t.csv";
  const std::string zeros(300, '\0'), zip = "PK\3\4\0\0"s;
  const std::vector<std::array<std::string, 3>> rows = {
      {zip + "xl/workbook.xml", "an Excel workbook (.xlsx)", "save the sheet as CSV"},
      {zip + "mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "OpenDocument", "CSV"},
      {zip + "archive/data.pkl", "PyTorch", "numpy.save"},
      {zip + "a.csv", "a zip archive", "unpack it"},
      {"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1" + zeros, "an old Excel workbook (.xls)", "CSV"},
      {"PAR1\x15\4"s, "Parquet", "read_parquet"},
      {"ARROW1\0\0"s, "Feather", "read_feather"},
      {"\x89HDF\r\n\x1A\n\0"s, "HDF5", ".npy"},
      {"SQLite format 3\0"s, "SQLite", "sqlite3"},
      {"\xFD"
       "7zXZ\0\0"s,
       "packed by xz", "unxz"},
      {"BZh91AY&SY\1\2", "packed by bzip2", "bunzip2"},
      {"\x28\xB5\x2F\xFD\4"s, "packed by zstd", "unzstd"},
      {"\x80\4\x95"s, "pickle", ".npy"},
      {"\x89PNG\r\n\x1A\n\0"s, "a picture (PNG)", "image_folder"},
      {"\xFF\xD8\xFF\xE0\0\x10"s, "a picture (JPEG)", "image_folder"},
      {"\xFF\xFE"
       "1\0,\0"s,
       "UTF-16", "iconv -f UTF-16"},
      {"1\0,\0002\0\n\0"s, "UTF-16", "iconv -f UTF-16LE"},
      {"\0001\0,\0002\0\n"s, "UTF-16", "iconv -f UTF-16BE"},
      {"[[1, 2], [3, 4]]", "JSON", ".csv"},
      {" {\"a\": [1, 2]}", "JSON", ".csv"},
      {"<!DOCTYPE html>\n<html>", "HTML", "fetch"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS", "git lfs pull"},
      {"\x40\0\0\0\0\0\0\0{\"w\":"s, "safetensors", "vapo info"},
      {"name" + zeros, "binary", ".csv"},
      {std::string("data.csv") + std::string(249, '\0') + "ustar", "a tar archive", "unpack"},
  };
  for (const auto& [bytes, name, instead] : rows) {
    CAPTURE(name);
    write(file, bytes);
    CHECK_THROWS_WITH_AS(read_table(file), doctest::Contains(name.c_str()), InputError);
    CHECK_THROWS_WITH_AS(read_table(file), doctest::Contains(instead.c_str()), InputError);
    CHECK_THROWS_WITH_AS(read_table(file), doctest::Contains("t.csv"), InputError);
  }
  CHECK_THROWS_WITH_AS(read_table(folder.path), doctest::Contains("is a folder, not a table"), InputError);
  // names of columns that begin as such files do
  for (const char* name : {"PAR1", "ORC", "BZh", "RDX", "GIF8", "FEA1"}) {
    write(file, name + ",b\n1,2\n3,4\n"s);
    CHECK(read_table(file).columns[0] == name);
  }
}
