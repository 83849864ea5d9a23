// The idx format of MNIST: 0, 0, the elements' type, the rank; the sizes, 32 bits each, high byte first; the
// elements.

#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <system_error>

#include "data/archives.h"
#include "tensor/io/atomic_file.h"

namespace vapo::data {
namespace detail {
namespace {

bool is_gzip(std::string_view bytes) { return bytes.starts_with("\x1f\x8b"); }

// All members of a gzip file, one after another. zlib's format makes at most 1032 bytes out of one.
std::string gunzip(std::string_view bytes, const std::string& name) {
  z_stream z{};
  if (inflateInit2(&z, 15 + 16) != Z_OK) throw IoError(fmt::format("'{}': zlib has no memory to unpack it", name));
  std::unique_ptr<z_stream, int (*)(z_stream*)> end(&z, inflateEnd);
  std::string out(4 * bytes.size() + 64, '\0');
  size_t done = 0, taken = 0;
  for (;;) {
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data() + taken));
    z.avail_in = static_cast<uInt>(std::min<size_t>(bytes.size() - taken, 1 << 30));
    if (done == out.size()) out.resize(2 * out.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data() + done);
    z.avail_out = static_cast<uInt>(std::min<size_t>(out.size() - done, 1 << 30));
    uInt in_before = z.avail_in, out_before = z.avail_out;
    int result = inflate(&z, Z_NO_FLUSH);
    taken += in_before - z.avail_in, done += out_before - z.avail_out;
    if (result == Z_STREAM_END) {
      if (taken == bytes.size()) break;
      if (!is_gzip(bytes.substr(taken)))
        refuse("'{}': {} bytes follow its gzipped contents", name, bytes.size() - taken);
      inflateReset(&z);
    } else if (result == Z_MEM_ERROR) {
      throw IoError(fmt::format("'{}': zlib has no memory to unpack it", name));
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      refuse("'{}': its gzipped contents are damaged at byte {}. Hint: fetch it again", name, taken);
    } else if (taken == bytes.size() && z.avail_out > 0) {
      refuse("'{}': its gzipped contents are cut off. Hint: fetch it again", name);
    }
  }
  out.resize(done);
  return out;
}

uint64_t big_endian(std::string_view bytes, size_t at) {
  uint64_t out = 0;
  for (size_t i = 0; i < 4; ++i) out = out << 8 | static_cast<unsigned char>(bytes[at + i]);
  return out;
}

}  // namespace

Tensor parse_idx(std::string_view bytes, const std::string& name) {
  std::string unpacked;
  if (is_gzip(bytes)) bytes = unpacked = gunzip(bytes, name);
  if (bytes.size() < 4 || bytes[0] != 0 || bytes[1] != 0) refuse("'{}': not an idx file, by its first bytes", name);
  if (bytes[2] != 8)
    refuse("'{}': elements of type 0x{:02x}, expected unsigned bytes (0x08)", name,
           static_cast<unsigned char>(bytes[2]));
  size_t rank = static_cast<unsigned char>(bytes[3]);
  if (rank < 1 || rank > Shape::max_rank)
    refuse("'{}': {} dimensions, expected 1 to {}", name, rank, Shape::max_rank);
  if (bytes.size() < 4 + 4 * rank) refuse("'{}': truncated among its {} sizes", name, rank);
  Shape shape;
  // Beyond 2^62 the product only has to stay larger than any file.
  uint64_t count = 1;
  for (size_t i = 0; i < rank; ++i) {
    uint64_t size = big_endian(bytes, 4 + 4 * i);
    if (size == 0) refuse("'{}': size {} of {} is 0", name, i + 1, rank);
    shape.push_back(static_cast<int64_t>(size));
    count = count > (uint64_t{1} << 62) / size ? uint64_t{1} << 62 : count * size;
  }
  bytes.remove_prefix(4 + 4 * rank);
  if (bytes.size() != count)
    refuse("'{}': {} elements {} take {} bytes, {} follow the sizes: {}", name, "u8", shape.str(), count,
           bytes.size(), bytes.size() < count ? "truncated. Hint: fetch it again" : "there is a surplus");
  Tensor out = Tensor::empty(shape, DType::u8);
  std::memcpy(out.mutable_data<uint8_t>(), bytes.data(), bytes.size());
  return out;
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
