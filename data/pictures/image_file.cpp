#include "data/pictures/image_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "data/pictures/image_kinds.h"
#include "tensor/io/atomic_file.h"
#include "tensor/parallel.h"

namespace vapo::data {
namespace {

void check_image(const Tensor& x, const char* op) {
  VAPO_CHECK(x.dtype() == DType::u8 && x.rank() == 3 && x.numel() > 0, "[{}] {} {}: expects u8 (H,W,C)", op,
             name_of(x.dtype()), x.shape().str());
}

}  // namespace

Tensor read_image(const std::filesystem::path& file) {
  std::string bytes = read_whole_file(file);
  return decode_image(std::as_bytes(std::span(bytes)), file.string());
}

Tensor decode_image(std::span<const std::byte> bytes, const std::string& name) {
  std::string_view first(reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), longest_beginning));
  const ImageKind* kind = kind_by_bytes(first);
  if (kind && kind->is_read()) return kind->decode(bytes, name);
  if (kind)
    throw InputError(fmt::format("'{}': a picture of kind {}, which is not read. {}", name, kind->name,
                                 conversion_hint(lower_case_ending(name))));
  throw InputError(fmt::format(
      "'{}': {}", name,
      bytes.empty() ? "the file is empty" : fmt::format("none of {}, by its first bytes", kinds_read())));
}

Tensor centre_crop(const Tensor& image, int64_t height, int64_t width) {
  check_image(image, "centre_crop");
  int64_t h = image.dim(0), w = image.dim(1), c = image.dim(2);
  VAPO_CHECK(height >= 1 && width >= 1 && height <= h && width <= w,
             "[centre_crop] {} × {} out of an image of {} × {} (height × width)", height, width, h, w);
  Tensor out = Tensor::empty({height, width, c}, DType::u8);
  const uint8_t* from = image.data<uint8_t>() + ((h - height) / 2 * w + (w - width) / 2) * c;
  for (int64_t y = 0; y < height; ++y)
    std::memcpy(out.mutable_data<uint8_t>() + y * width * c, from + y * w * c, static_cast<size_t>(width * c));
  return out;
}

Tensor to_pixels(const Tensor& x) {
  Tensor here = x.to(Device::cpu);
  VAPO_CHECK(is_floating(here.dtype()), "[to_pixels] {}: expects floats", name_of(here.dtype()));
  if (here.dtype() == DType::bf16) here = here.to(DType::f32);
  Tensor out = Tensor::empty(here.shape(), DType::u8);
  dispatch_floating(here.dtype(), [&]<class T>() {
    const T* from = here.data<T>();
    uint8_t* to = out.mutable_data<uint8_t>();
    parallel_for(here.numel(), 1 << 15, 64, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        T v = from[i] * T(127.5) + T(127.5);
        v = v > 0 ? v : 0;  // of what is no number, too
        to[i] = static_cast<uint8_t>(static_cast<int32_t>((v < 255 ? v : 255) + T(0.5)));
      }
    });
  });
  return out;
}

Tensor from_pixels(const Tensor& u) {
  Tensor here = u.to(Device::cpu);
  VAPO_CHECK(here.dtype() == DType::u8, "[from_pixels] {}: expects u8", name_of(here.dtype()));
  Tensor out = Tensor::empty(here.shape(), DType::f32);
  const uint8_t* from = here.data<uint8_t>();
  float* to = out.mutable_data<float>();
  parallel_for(here.numel(), 1 << 15, 64, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = static_cast<float>(from[i]) / 127.5f - 1;
  });
  return out;
}

Tensor image_grid(const Tensor& images, int64_t columns, int64_t gap) {
  Tensor x = images.to(Device::cpu);
  VAPO_CHECK(x.dtype() == DType::u8 && x.rank() == 4 && x.numel() > 0, "[image_grid] {} {}: expects u8 (N,H,W,C)",
             name_of(x.dtype()), x.shape().str());
  VAPO_CHECK(columns >= 0 && gap >= 0, "[image_grid] {} columns, {} pixels apart", columns, gap);
  int64_t n = x.dim(0), h = x.dim(1), w = x.dim(2), c = x.dim(3);
  if (columns == 0) columns = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(n))));
  columns = std::min(columns, n);
  int64_t rows = (n + columns - 1) / columns, width = columns * (w + gap) - gap;
  Tensor out = Tensor::full({rows * (h + gap) - gap, width, c}, 255, DType::u8);
  for (int64_t i = 0; i < n; ++i) {
    int64_t top = i / columns * (h + gap), left = i % columns * (w + gap);
    for (int64_t y = 0; y < h; ++y)
      std::memcpy(out.mutable_data<uint8_t>() + ((top + y) * width + left) * c,
                  x.data<uint8_t>() + (i * h + y) * w * c, static_cast<size_t>(w * c));
  }
  return out;
}

}  // namespace vapo::data
