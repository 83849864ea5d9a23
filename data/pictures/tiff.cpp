// TIFF by libtiff: the first page.

#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "data/pictures/codecs.h"

namespace vapo::data {
namespace {

struct Memory {
  std::span<const std::byte> bytes;
  uint64_t at = 0;
  char message[1024] = "";  // the first error

  uint64_t left() const { return at < bytes.size() ? bytes.size() - at : 0; }
};

Memory& memory(thandle_t handle) { return *static_cast<Memory*>(handle); }

tmsize_t take(thandle_t handle, void* to, tmsize_t count) {
  Memory& m = memory(handle);
  uint64_t n = std::min<uint64_t>(static_cast<uint64_t>(std::max<tmsize_t>(count, 0)), m.left());
  if (n > 0) std::memcpy(to, m.bytes.data() + m.at, n);
  m.at += n;
  return static_cast<tmsize_t>(n);
}
tmsize_t take_no_more(thandle_t, void*, tmsize_t) { return 0; }
toff_t seek(thandle_t handle, toff_t offset, int whence) {
  Memory& m = memory(handle);
  return m.at = offset + (whence == SEEK_CUR ? m.at : whence == SEEK_END ? m.bytes.size() : 0);
}
int stay_open(thandle_t) { return 0; }
toff_t size_of(thandle_t handle) { return memory(handle).bytes.size(); }

int keep_first(TIFF*, void* user, const char*, const char* format, va_list arguments) {
  Memory& m = memory(user);
  if (!*m.message) std::vsnprintf(m.message, sizeof m.message, format, arguments);
  return 1;
}
int no_warning(TIFF*, void*, const char*, const char*, va_list) { return 1; }

std::unique_ptr<TIFF, void (*)(TIFF*)> open(Memory& m) {
  constexpr tmsize_t most_bytes = 512 << 20;  // of a strip or a tile
  std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), most_bytes);
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), keep_first, &m);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), no_warning, nullptr);
  return {TIFFClientOpenExt("", "rm", &m, take, take_no_more, seek, stay_open, size_of, nullptr, nullptr,
                            options.get()),
          TIFFClose};
}

}  // namespace

Tensor detail::decode_tiff(std::span<const std::byte> bytes, const std::string& name) {
  Memory m{.bytes = bytes};
  auto check = [&](bool good) {
    if (!good) refuse_image(name, "TIFF", *m.message ? m.message : "damaged");
  };
  auto tiff = open(m);
  check(tiff != nullptr);
  uint32_t width = 0, height = 0;
  uint16_t photometric = 0, orientation = ORIENTATION_TOPLEFT;
  check(TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width) == 1 &&
        TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height) == 1);
  check_size(width, height, name, "TIFF", bytes.size(), 65'536);  // white rows of a fax are a bit each
  TIFFGetField(tiff.get(), TIFFTAG_PHOTOMETRIC, &photometric);
  TIFFGetField(tiff.get(), TIFFTAG_ORIENTATION, &orientation);
  if (orientation < 1 || orientation > 8) orientation = ORIENTATION_TOPLEFT;
  if (TIFFRGBAImageOK(tiff.get(), m.message) == 0) check(false);
  m.message[0] = '\0';
  std::vector<uint32_t> raster(size_t{width} * height);
  check(TIFFReadRGBAImageOriented(tiff.get(), width, height, raster.data(), orientation, 1) == 1);

  // Colours come multiplied by their opacity: over white is the rest of white added.
  int64_t channels = photometric == PHOTOMETRIC_MINISBLACK || photometric == PHOTOMETRIC_MINISWHITE ? 1 : 3;
  Tensor image = Tensor::empty({height, width, channels}, DType::u8);
  uint8_t* to = image.mutable_data<uint8_t>();
  for (uint32_t pixel : raster)
    for (int64_t k = 0; k < channels; ++k)
      *to++ = static_cast<uint8_t>(std::min(255U, (pixel >> 8 * k & 255) + 255 - (pixel >> 24)));
  return upright(image, orientation);
}

}  // namespace vapo::data
