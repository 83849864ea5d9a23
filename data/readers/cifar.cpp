// CIFAR-10 and CIFAR-100 in their binary versions: records of labels and three planes of 32×32 pixels.

#include <algorithm>
#include <system_error>

#include "data/readers/archives.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"

namespace vapo::data {
namespace detail {

namespace {

[[noreturn]] void refuse_python_version(const std::string& name, int64_t classes) {
  refuse("'{}': the Python version of CIFAR; the binary one is read. Hint: fetch cifar-{}-binary.tar.gz, unpacked",
         name, classes);
}

[[noreturn]] void refuse_archive(const std::string& name, int64_t classes) {
  if (name.find("python") != name.npos) refuse_python_version(name, classes);
  refuse("'{}': packed. Hint: tar -xf cifar-{}-binary.tar.gz, and name the folder that comes of it", name, classes);
}

// A folder without the binary version's files: what else of CIFAR is there.
void refuse_other_versions(const std::filesystem::path& folder, const std::string& file, int64_t classes) {
  std::error_code error;
  auto there = [&](const std::string& name) { return std::filesystem::exists(folder / name, error); };
  if (there(file)) return;
  for (const char* archive : {"cifar-{}-binary.tar.gz", "cifar-{}-python.tar.gz"})
    if (std::string name = fmt::format(fmt::runtime(archive), classes); there(name))
      refuse_archive((folder / name).string(), classes);
  std::string pickle = std::filesystem::path(file).stem().string();
  for (const char* sign : {pickle.c_str(), "batches.meta", "meta", "cifar-10-batches-py", "cifar-100-python"})
    if (there(sign)) refuse_python_version(folder.string(), classes);
}

}  // namespace

ImageSet parse_cifar(std::string_view bytes, int64_t label_bytes, int64_t classes, const std::string& name) {
  if (bytes.starts_with('\x80')) refuse_python_version(name, classes);  // a pickle; no label is as high
  if (bytes.starts_with("\x1f\x8b")) refuse_archive(name, classes);
  constexpr int64_t plane = 32 * 32;
  const int64_t record = label_bytes + 3 * plane, size = static_cast<int64_t>(bytes.size()), n = size / record;
  if (n == 0 || size % record != 0)
    refuse(
        "'{}': {} bytes are no whole number of records of {}: record {} (from 0) is cut off. Hint: fetch it again",
        name, size, record, n);
  ImageSet set{.pixels = Tensor::empty({n, 32, 32, 3}, DType::u8), .labels = Tensor::empty({n}, DType::i64)};
  const auto* from = reinterpret_cast<const uint8_t*>(bytes.data());
  uint8_t* to = set.pixels.mutable_data<uint8_t>();
  for (int64_t i = 0; i < n; ++i, from += record, to += 3 * plane) {
    int64_t label = from[label_bytes - 1];
    if (label >= classes)
      refuse("'{}': record {} (from 0) has label {}, expected 0 to {}", name, i, label, classes - 1);
    set.labels.mutable_data<int64_t>()[i] = label;
    const uint8_t* red = from + label_bytes;
    for (int64_t k = 0; k < plane; ++k)
      to[3 * k] = red[k], to[3 * k + 1] = red[plane + k], to[3 * k + 2] = red[2 * plane + k];
  }
  return set;
}

std::vector<std::string> parse_class_names(std::string_view text, size_t classes, const std::string& name) {
  std::vector<std::string> out;
  for (std::string_view rest = text; !rest.empty();) {
    size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
    if (!line.empty()) out.push_back(printable(line));
  }
  if (out.size() != classes) refuse("'{}': {} names, expected {}, one a line", name, out.size(), classes);
  return out;
}

namespace {

// Where the file is there.
std::vector<std::string> class_names(const std::filesystem::path& file, size_t classes) {
  std::error_code error;
  if (!std::filesystem::exists(file, error)) return {};
  return parse_class_names(read_whole_file(file), classes, file.string());
}

// The files of a folder as one set; or one file of records, wherever it is, with the names of the classes beside it.
ImageSet read_records(const std::filesystem::path& path, const std::vector<std::string>& files, int64_t label_bytes,
                      int64_t classes, const char* names) {
  auto read = [&](const std::filesystem::path& file) {
    return parse_cifar(read_whole_file(file), label_bytes, classes, file.string());
  };
  std::error_code error;
  bool one_file = std::filesystem::is_regular_file(path, error);
  std::vector<ImageSet> parts;
  if (one_file) parts.push_back(read(path));
  if (!one_file) refuse_other_versions(path, files[0], classes);
  for (size_t i = 0; i < files.size() && !one_file; ++i) parts.push_back(read(path / files[i]));
  ImageSet set = concatenate(parts);
  set.classes = class_names((one_file ? path.parent_path() : path) / names, static_cast<size_t>(classes));
  return set;
}

}  // namespace
}  // namespace detail

ImageSet read_cifar10(const std::filesystem::path& path, Subset subset) {
  detail::refuse_validation(subset, "cifar10");
  if (subset == Subset::test) return detail::read_records(path, {"test_batch.bin"}, 1, 10, "batches.meta.txt");
  std::vector<std::string> files;
  for (int i = 1; i <= 5; ++i) files.push_back(fmt::format("data_batch_{}.bin", i));
  return detail::read_records(path, files, 1, 10, "batches.meta.txt");
}

ImageSet read_cifar100(const std::filesystem::path& path, Subset subset) {
  detail::refuse_validation(subset, "cifar100");
  std::string file = subset == Subset::train ? "train.bin" : "test.bin";
  return detail::read_records(path, {file}, 2, 100, "fine_label_names.txt");  // the coarse label, then the fine one
}

}  // namespace vapo::data
