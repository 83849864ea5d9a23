// The idx format of MNIST: 0, 0, the elements' type, the rank; the sizes, 32 bits each, high byte first; the elements.

#include <optional>
#include <system_error>

#include "data/readers/archives.h"
#include "data/readers/inflate.h"
#include "tensor/io/atomic_file.h"

namespace vapo::data {
namespace detail {
namespace {

size_t big_endian(std::string_view bytes, size_t at) {
  size_t out = 0;
  for (size_t i = 0; i < 4; ++i) out = out << 8 | static_cast<unsigned char>(bytes[at + i]);
  return out;
}

}  // namespace

Tensor parse_idx(std::string_view bytes, const std::string& name) {
  std::optional<Inflater> packed;
  if (bytes.starts_with("\x1f\x8b")) packed.emplace(bytes, Inflater::Format::gzip, name);
  auto take = [&](size_t n) {
    if (packed) return packed->read(n);
    std::string out(bytes.substr(0, n));
    bytes.remove_prefix(out.size());
    return out;
  };
  std::string head = take(4);
  if (head.size() < 4 || head[0] != 0 || head[1] != 0) refuse("'{}': not an idx file, by its first bytes", name);
  size_t type = static_cast<unsigned char>(head[2]), rank = static_cast<unsigned char>(head[3]);
  if (type != 8) refuse("'{}': elements of type 0x{:02x}, expected unsigned bytes (0x08)", name, type);
  if (rank < 1 || rank > 4) refuse("'{}': {} dimensions, expected 1 to 4", name, rank);
  std::string sizes = take(4 * rank);
  if (sizes.size() < 4 * rank) refuse("'{}': truncated in its {} sizes", name, rank);
  Shape shape;
  size_t count = 1;
  for (size_t i = 0; i < rank; ++i) {
    size_t size = big_endian(sizes, 4 * i);
    shape.push_back(static_cast<int64_t>(size));
    if (size == 0) refuse("'{}': size {} of {} is 0", name, i + 1, rank);
    if (__builtin_mul_overflow(count, size, &count)) refuse("'{}': {} sizes beyond any file's", name, rank);
  }
  std::string elements = take(count);
  if (elements.size() < count)
    refuse("'{}': {} needs {} bytes, the file holds {}: truncated. Hint: fetch it again", name, shape.str(), count,
           elements.size());
  if (!take(1).empty()) refuse("'{}': more bytes than the {} of {}", name, count, shape.str());
  return Tensor::from(std::span(reinterpret_cast<const uint8_t*>(elements.data()), count), shape);
}

}  // namespace detail

using detail::refuse;

ImageSet read_idx(const std::filesystem::path& images, const std::filesystem::path& labels) {
  Tensor x = detail::parse_idx(read_whole_file(images), images.string());
  if (x.rank() != 3)
    refuse("'{}': shape {}, expected images × rows × columns{}", images.string(), x.shape().str(),
           x.rank() == 1 ? ". Hint: are images and labels exchanged?" : "");
  Tensor y = detail::parse_idx(read_whole_file(labels), labels.string());
  if (y.rank() != 1) refuse("'{}': shape {}, expected one label an image", labels.string(), y.shape().str());
  if (x.dim(0) != y.dim(0))
    refuse("'{}' has {} images, '{}' {} labels", images.string(), x.dim(0), labels.string(), y.dim(0));
  return {.pixels = x.reshape({x.dim(0), x.dim(1), x.dim(2), 1}), .labels = y.to(DType::i64)};
}

ImageSet read_mnist(const std::filesystem::path& folder, Subset subset) {
  detail::refuse_validation(subset, "mnist");
  auto find = [&](const char* kind, const char* format) {
    std::string stem = fmt::format("{}-{}", subset == Subset::train ? "train" : "t10k", kind);
    for (const char* dot : {"-", "."})  // a common copy of the set has points there
      for (const char* packed : {"", ".gz"}) {
        std::filesystem::path file = folder / fmt::format("{}{}{}{}", stem, dot, format, packed);
        std::error_code error;
        if (std::filesystem::exists(file, error)) return file;
      }
    throw IoError(
        fmt::format("'{}': neither {}-{} nor {}-{}.gz there", folder.string(), stem, format, stem, format));
  };
  std::filesystem::path images = find("images", "idx3-ubyte"), labels = find("labels", "idx1-ubyte");
  ImageSet set = read_idx(images, labels);
  for (int64_t i = 0; i < set.count(); ++i)
    if (int64_t label = set.labels.data<int64_t>()[i]; label > 9)
      refuse("'{}': label {} of image {} (from 0), expected 0 to 9", labels.string(), label, i);
  return set;
}

}  // namespace vapo::data
