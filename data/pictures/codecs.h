#pragma once
// What the codecs of images share. Their C libraries leave by longjmp where a file is broken.

#include <fmt/format.h>

#include <csetjmp>
#include <span>
#include <string>

#include "tensor/tensor.h"

namespace vapo::data::detail {

constexpr int64_t most_pixels = 64'000'000;  // of an image that is read: a header may claim anything

// u8 (H,W,C), C = 1 or 3. Throw InputError naming `name`.
Tensor decode_png(std::span<const std::byte> bytes, const std::string& name);
Tensor decode_jpeg(std::span<const std::byte> bytes, const std::string& name);

inline void check_size(int64_t width, int64_t height, const std::string& name) {
  if (width * height > most_pixels)
    throw InputError(fmt::format("'{}': {} × {} pixels, more than the {} million that are read", name, width,
                                 height, most_pixels / 1'000'000));
}

// Whether f returned: false where it left by longjmp to `jump`. No object with a destructor may live in f, for
// longjmp runs none.
template <class F>
bool returns(std::jmp_buf& jump, const F& f) {
  if (setjmp(jump) != 0) return false;
  f();
  return true;
}

}  // namespace vapo::data::detail
