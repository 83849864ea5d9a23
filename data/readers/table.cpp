// Files of tables: what their bytes are, and arrays as tables.

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "data/readers/archives.h"
#include "data/readers/file_kind.h"
#include "data/readers/inflate.h"
#include "data/readers/npz.h"
#include "data/readers/table.h"
#include "data/readers/table_column.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/npy.h"
#include "tensor/io/printable.h"

namespace vapo::data {

using detail::refuse;

namespace {

std::string unpacked(std::string_view packed, const std::string& name) {
  constexpr size_t piece = 1 << 20;
  detail::Inflater inflater(packed, detail::Inflater::Format::gzip, name);
  std::string out, part;
  do {
    part = inflater.read(piece);
    out += part;
  } while (part.size() == piece);
  return out;
}

// The only array of a file of arrays, or the one that numpy.savez gives no name.
Tensor array_in(const std::filesystem::path& path, std::vector<std::string>& notes) {
  std::vector<std::string> names = npz_names(path);
  std::string chosen = names.size() == 1 ? names[0] : "arr_0";
  if (std::count(names.begin(), names.end(), chosen) == 0)
    refuse(
        "'{}' is a NumPy archive (.npz) of {} arrays, and none is arr_0: {}. Hint: "
        "numpy.save(\"NEW.npy\", ARCHIVE[NAME])",
        path.string(), names.size(), printable(fmt::format("{}", fmt::join(names, ", ")), 200));
  if (names.size() > 1) notes.push_back(fmt::format("of its {} arrays, arr_0 is read", names.size()));
  return read_npz(path, {chosen}).at(chosen);
}

}  // namespace

TableFile::TableFile(const std::filesystem::path& path) {
  std::string name = path.string();
  if (std::filesystem::is_directory(path))
    refuse(
        "'{}' is a folder, not a table. Hint: name the file; for a folder of pictures: data.set = \"image_folder\"",
        name);
  std::string bytes = read_whole_file(path);
  if (bytes.starts_with("PK\x03\x04") && bytes.find(".npy") < 4096) {
    std::vector<std::string> notes;
    *this = of_array(array_in(path, notes), name);
    notes_ = notes;
    return;
  }
  bool packed = bytes.starts_with("\x1f\x8b");
  if (packed) bytes = unpacked(bytes, name);
  if (std::optional<FileKind> kind = kind_of(bytes))
    refuse("'{}' is {}{}, and no table that can be read. Hint: {}", name, packed ? "gzipped, and in it is " : "",
           kind->name, kind->instead);
  bool is_array = bytes.starts_with("\x93NUMPY") || path.extension() == ".npy";
  *this = is_array ? of_array(parse_npy(bytes, name), name) : parse(bytes, name);
}

TableFile TableFile::of_array(const Tensor& array, const std::string& name) {
  Tensor x = array.rank() == 1 ? array.reshape({array.numel(), 1}) : array;
  if (x.rank() != 2) refuse("'{}': shape {}, expected rows × columns", name, x.shape().str());
  if (x.dim(1) == 0) refuse("'{}': shape {} has no columns", name, x.shape().str());
  x = x.to(DType::f64);
  TableFile file;
  file.name_ = name, file.line_ = "row", file.rows_ = x.dim(0);
  for (int64_t k = 0; k < x.dim(1); ++k) {
    detail::Reading column;
    column.column.name = fmt::format("column {}", k + 1);
    column.values.reserve(static_cast<size_t>(file.rows_));
    for (int64_t i = 0; i < file.rows_; ++i) {
      double value = x.data<double>()[i * x.dim(1) + k];
      column.see(value, std::isfinite(value) ? "" : fmt::format("{}", value), i + 1);
    }
    file.add(std::move(column));
  }
  return file;
}

}  // namespace vapo::data
