// Files of tables: what their bytes are, and arrays as tables.

#include <cmath>

#include "data/readers/archives.h"
#include "data/readers/file_kind.h"
#include "data/readers/inflate.h"
#include "data/readers/npz.h"
#include "data/readers/table.h"
#include "data/readers/table_column.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/npy.h"

namespace vapo::data {

using detail::refuse;

namespace {

// The one 2-D array of a file of arrays, as a TableFile has it.
Tensor array_in(const std::filesystem::path& path, bool is_npz) {
  if (!is_npz) return read_npy(path);
  std::vector<std::string> names = npz_names(path);
  if (names.size() != 1)
    refuse(
        "'{}' is a NumPy archive (.npz) of {} arrays ({}), of which none can be chosen. Hint: "
        "numpy.save(\"NEW.npy\", ARCHIVE[NAME])",
        path.string(), names.size(), fmt::join(names, ", "));
  return read_npz(path).begin()->second;
}

}  // namespace

TableFile::TableFile(const std::filesystem::path& path) {
  std::string name = path.string();
  if (std::filesystem::is_directory(path))
    refuse(
        "'{}' is a folder, not a table. Hint: name the file; for a folder of pictures: data.set = \"image_folder\"",
        name);
  std::string bytes = read_whole_file(path);
  bool packed = bytes.starts_with("\x1f\x8b"),
       is_npz = bytes.starts_with("PK\x03\x04") && bytes.find(".npy") < 4096;
  if (packed) {
    bytes = detail::Inflater(bytes, detail::Inflater::Format::gzip, name).read(bytes.max_size());
    bytes.shrink_to_fit();
  }
  if (is_npz || (!packed && (bytes.starts_with("\x93NUMPY") || path.extension() == ".npy"))) {
    bytes = {};
    *this = of_array(array_in(path, is_npz), name);
    return;
  }
  if (std::optional<FileKind> kind = kind_of(bytes))
    refuse("'{}' is {}{}, no table of text. Hint: {}", name, packed ? "gzipped, and in it is " : "", kind->name,
           kind->instead);
  *this = parse(bytes, name);
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
