// One fuzz target for each reader of files: VAPO_FUZZ says which. Whatever the bytes, a reader returns or throws
// InputError with one line that names the file; what it accepts, it accepts again after being written.

#include <zlib.h>

#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include "apps/run/config.h"
#include "data/archives.h"
#include "data/image_file.h"
#include "data/points.h"
#include "tensor/io/npy.h"
#include "tensor/io/safetensors.h"

namespace {

using namespace vapo;

void require(bool good, std::string_view what) {
  if (good) return;
  std::cerr << "fuzz: " << what << '\n';
  std::abort();
}

[[maybe_unused]] void read_safetensors(std::string_view bytes) {
  TensorFile file = parse_safetensors(bytes, "the input");
  for (const auto& [name, x] : file.tensors)
    require(x.defined() && x.bytes() <= 8 * bytes.size(), "a tensor larger than its file");
}

[[maybe_unused]] void read_npy(std::string_view bytes) {
  Tensor x = parse_npy(bytes, "the input");
  require(x.bytes() <= 8 * bytes.size(), "a tensor larger than its file");
}

[[maybe_unused]] void read_csv(std::string_view bytes) {
  data::Table table = data::parse_csv(bytes, "the input");
  require(table.values.rank() == 2 && table.values.dim(0) >= 2, "a table without rows");
  require(table.columns.empty() || static_cast<int64_t>(table.columns.size()) == table.values.dim(1),
          "more names than columns");
}

[[maybe_unused]] void read_config(std::string_view bytes) {
  app::Config config = app::parse_config(bytes, "the input");
  require(app::parse_config(app::to_toml(config), "the input, written") == config, "another config after writing");
}

[[maybe_unused]] Tensor read_image(std::string_view bytes) {
  Tensor x = data::decode_image(std::as_bytes(std::span(bytes)), "the input");
  require(x.rank() == 3 && (x.dim(2) == 1 || x.dim(2) == 3) && x.numel() > 0, "no image");
  return x;
}

[[maybe_unused]] void read_jpeg(std::string_view bytes) { read_image(bytes); }

// PNG's check sums stop most of what is mutated, so they are mended.
[[maybe_unused]] void read_png(std::string_view bytes) {
  auto big_endian = [](const char* p) {
    uint32_t v = 0;
    for (int i = 0; i < 4; ++i) v = v << 8 | static_cast<unsigned char>(p[i]);
    return v;
  };
  std::string mended(bytes);
  for (size_t at = 8; mended.size() >= at + 12;) {
    size_t length = big_endian(&mended[at]);
    if (length > mended.size() - at - 12) break;
    auto sum = crc32(0, reinterpret_cast<const Bytef*>(&mended[at + 4]), static_cast<uInt>(length + 4));
    for (size_t i = 0; i < 4; ++i) mended[at + 8 + length + i] = static_cast<char>(sum >> (24 - 8 * i));
    at += length + 12;
  }
  Tensor x = read_image(mended);
  if (x.numel() < 1 << 16)
    require(read_image(data::encode_png(x)).to_vector<uint8_t>() == x.to_vector<uint8_t>(),
            "another image after writing");
}

[[maybe_unused]] void read_idx(std::string_view bytes) {
  Tensor x = data::detail::parse_idx(bytes, "the input");
  require(x.dtype() == DType::u8 && x.numel() > 0, "no elements");
}

void require_images(const data::ImageSet& set, int64_t classes) {
  require(set.pixels.rank() == 4 && set.labels.shape() == Shape{set.count()}, "not a label for each image");
  for (int64_t i = 0; i < set.count(); ++i)
    require(set.labels.data<int64_t>()[i] < classes, "a label that no class has");
}

[[maybe_unused]] void read_cifar(std::string_view bytes) {
  bool fine = bytes.size() % 3073 != 0;
  require_images(data::detail::parse_cifar(bytes, fine ? 2 : 1, fine ? 100 : 10, "the input"), fine ? 100 : 10);
}

[[maybe_unused]] void read_mat(std::string_view bytes) {
  require_images(data::detail::parse_svhn(bytes, "the input"), 10);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    VAPO_FUZZ(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const InputError& e) {
    std::string_view message = e.what();
    require(message.find('\n') == message.npos, "a message of several lines");
    require(message.find("the input") != message.npos, "a message that does not name the file");
  }
  return 0;
}
