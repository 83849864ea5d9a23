// GIF by giflib: the first frame, on the canvas of all.

#include <gif_lib.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "data/pictures/codecs.h"

namespace vapo::data {
namespace {

int take(GifFileType* gif, GifByteType* to, int count) {
  auto& rest = *static_cast<std::span<const std::byte>*>(gif->UserData);
  size_t n = std::min(static_cast<size_t>(std::max(count, 0)), rest.size());
  if (n > 0) std::memcpy(to, rest.data(), n);
  rest = rest.subspan(n);
  return static_cast<int>(n);
}

void close(GifFileType* gif) { DGifCloseFile(gif, nullptr); }

// Goes on to the first frame; its transparent colour, or −1. False where there is none.
bool find_frame(GifFileType* gif, int& transparent) {
  transparent = NO_TRANSPARENT_COLOR;
  GifRecordType record = UNDEFINED_RECORD_TYPE;
  while (DGifGetRecordType(gif, &record) == GIF_OK && record != TERMINATE_RECORD_TYPE) {
    if (record == IMAGE_DESC_RECORD_TYPE) return DGifGetImageDesc(gif) == GIF_OK;
    int code = 0;
    GifByteType* block = nullptr;  // its length first
    if (record != EXTENSION_RECORD_TYPE || DGifGetExtension(gif, &code, &block) != GIF_OK) return false;
    while (block) {
      GraphicsControlBlock control;
      if (code == GRAPHICS_EXT_FUNC_CODE && DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK)
        transparent = control.TransparentColor;
      if (DGifGetExtensionNext(gif, &block) != GIF_OK) return false;
    }
  }
  return false;
}

struct Passes {
  int first, step;
};
constexpr Passes interlaced[] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};

}  // namespace

Tensor detail::decode_gif(std::span<const std::byte> bytes, const std::string& name) {
  int error = 0;
  std::unique_ptr<GifFileType, void (*)(GifFileType*)> gif(DGifOpen(&bytes, take, &error), close);
  auto check = [&](bool good) {
    const char* why = good ? nullptr : GifErrorString(gif ? gif->Error : error);
    if (!good) refuse_image(name, "GIF", why ? why : "it ends before its first frame");
  };
  check(gif != nullptr);
  int transparent = NO_TRANSPARENT_COLOR;
  check(find_frame(gif.get(), transparent));
  const GifImageDesc& frame = gif->Image;
  int64_t width = std::max<int64_t>(gif->SWidth, int64_t{frame.Left} + frame.Width),
          height = std::max<int64_t>(gif->SHeight, int64_t{frame.Top} + frame.Height);
  check_size(width, height, name, "GIF", bytes.size(), 4096);  // a code of LZW stands for fewer
  std::vector<GifByteType> canvas(static_cast<size_t>(width * height),
                                  static_cast<GifByteType>(std::max(transparent, 0)));
  auto read_rows = [&](Passes pass) {
    for (int y = pass.first; y < frame.Height; y += pass.step)
      check(DGifGetLine(gif.get(), canvas.data() + (frame.Top + y) * width + frame.Left, frame.Width) == GIF_OK);
  };
  if (frame.Interlace)
    for (Passes pass : interlaced) read_rows(pass);
  else
    read_rows({0, 1});

  const ColorMapObject* colours = frame.ColorMap ? frame.ColorMap : gif->SColorMap;
  Tensor image = Tensor::empty({height, width, 4}, DType::u8);
  uint8_t* to = image.mutable_data<uint8_t>();
  for (GifByteType index : canvas) {
    GifColorType colour = {};
    if (!colours)
      colour = {index, index, index};
    else if (index < colours->ColorCount)
      colour = colours->Colors[index];
    for (GifByteType value : {colour.Red, colour.Green, colour.Blue}) *to++ = value;
    *to++ = index == transparent ? 0 : 255;
  }
  return grey_if_all_is(over_white(image));
}

}  // namespace vapo::data
