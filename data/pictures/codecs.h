#pragma once
// What the codecs of images share. Some of their C libraries leave by longjmp where a file is broken.

#include <fmt/format.h>

#include <csetjmp>
#include <span>
#include <string>
#include <string_view>

#include "tensor/tensor.h"

namespace vapo::data::detail {

// Of an image that is read: a header may claim anything. A fuzzer would fill pages of one colour all day.
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
constexpr int64_t most_pixels = 65'536;
#else
constexpr int64_t most_pixels = 64'000'000;
#endif

// u8 (H,W,C), C = 1 or 3, upright. Throw InputError naming `name`.
Tensor decode_png(std::span<const std::byte> bytes, const std::string& name);
Tensor decode_jpeg(std::span<const std::byte> bytes, const std::string& name);
Tensor decode_webp(std::span<const std::byte> bytes, const std::string& name);
Tensor decode_gif(std::span<const std::byte> bytes, const std::string& name);
Tensor decode_tiff(std::span<const std::byte> bytes, const std::string& name);
Tensor decode_bmp(std::span<const std::byte> bytes, const std::string& name);
Tensor decode_pnm(std::span<const std::byte> bytes, const std::string& name);

[[noreturn]] void refuse_image(const std::string& name, const char* kind, std::string_view why);
void check_size(int64_t width, int64_t height, const std::string& name);
// `most`: of pixels, what a byte of that kind of file can make; a small file then costs little, whatever it claims.
void check_size(int64_t width, int64_t height, const std::string& name, const char* kind, size_t bytes,
                int64_t most);

// α v + (1 − α) 255 of u8 (H,W,C+1), whose last channel is 255 α: (H,W,C). With C = 1 or 3 channels: the same image.
Tensor over_white(const Tensor& image);
// Of kinds that have no grey images of their own: (H,W,3) whose channels are equal as (H,W,1).
Tensor grey_if_all_is(const Tensor& image);

// How a camera was held: 1 to 8, as EXIF counts; 1 where the block says nothing or is broken. With or without the
// six bytes "Exif\0\0" before it.
int exif_orientation(std::span<const std::byte> exif);
Tensor upright(const Tensor& image, int orientation);

// Whether f returned: false where it left by longjmp to `jump`. No object with a destructor may live in f, for
// longjmp runs none.
template <class F>
bool returns(std::jmp_buf& jump, const F& f) {
  if (setjmp(jump) != 0) return false;
  f();
  return true;
}

}  // namespace vapo::data::detail
