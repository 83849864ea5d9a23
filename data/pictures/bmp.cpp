// BMP by stb_image: of 1 to 32 bits, not run-length coded.

#include <algorithm>
#include <cstring>
#include <memory>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_NO_HDR
#define STBI_NO_LINEAR
#include <stb/stb_image.h>

#include "data/pictures/codecs.h"

namespace vapo::data {
namespace {

// The library takes what is missing as zeros: whether it asked for more than there is.
struct Source {
  std::span<const std::byte> rest;
  bool cut_short = false;
};

int take(void* user, char* to, int count) {
  Source& s = *static_cast<Source*>(user);
  size_t n = std::min(static_cast<size_t>(std::max(count, 0)), s.rest.size());
  if (n > 0) std::memcpy(to, s.rest.data(), n);
  s.cut_short |= n == 0;
  s.rest = s.rest.subspan(n);
  return static_cast<int>(n);
}

void skip(void* user, int count) {
  Source& s = *static_cast<Source*>(user);
  size_t n = static_cast<size_t>(std::max(count, 0));
  s.cut_short |= n > s.rest.size();
  s.rest = s.rest.subspan(std::min(n, s.rest.size()));
}

int at_end(void* user) { return static_cast<Source*>(user)->rest.empty() ? 1 : 0; }

constexpr stbi_io_callbacks calls{take, skip, at_end};

}  // namespace

Tensor detail::decode_bmp(std::span<const std::byte> bytes, const std::string& name) {
  int width = 0, height = 0, channels = 0;
  Source source{bytes};
  if (stbi_info_from_callbacks(&calls, &source, &width, &height, &channels) == 0)
    refuse_image(name, "BMP", stbi_failure_reason());
  check_size(width, height, name, "BMP", bytes.size(), 8);
  source = {bytes};
  // The fourth byte of a pixel is opacity only where a mask says so.
  constexpr size_t coding = 30;
  int wanted = bytes.size() > coding && bytes[coding] == std::byte{3} ? 0 : 3;
  std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_callbacks(&calls, &source, &width, &height, &channels, wanted), stbi_image_free);
  if (!pixels || source.cut_short)
    refuse_image(name, "BMP", pixels ? "the file is cut short" : stbi_failure_reason());
  if (wanted > 0) channels = wanted;
  std::span<const uint8_t> values(pixels.get(), static_cast<size_t>(width) * height * channels);
  return grey_if_all_is(over_white(Tensor::from(values, {height, width, channels})));
}

}  // namespace vapo::data
