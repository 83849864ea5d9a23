// Images to and from PNG and JPEG, their sizes, and grids.

#include <doctest/doctest.h>

#include "data/image_file.h"

using namespace vapo;
using namespace vapo::data;

namespace {

std::span<const std::byte> bytes_of(const std::string& s) { return std::as_bytes(std::span(s)); }

Tensor pattern(int64_t h, int64_t w, int64_t c) {
  Tensor x = Tensor::empty({h, w, c}, DType::u8);
  for (int64_t i = 0; i < x.numel(); ++i)
    x.mutable_data<uint8_t>()[i] = static_cast<uint8_t>((i * i * 7 + i * 13) % 256);
  return x;
}

}  // namespace

TEST_CASE("PNG: an image comes back") {
  for (int64_t c : {1, 3})
    for (int64_t w : {1, 2, 7, 64}) {
      Tensor x = pattern(5, w, c), y = decode_image(bytes_of(encode_png(x)), "x.png");
      CHECK(y.shape() == x.shape());
      CHECK(y.to_vector<uint8_t>() == x.to_vector<uint8_t>());
    }
}
