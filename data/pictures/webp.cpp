// WebP by libwebp: of an animation the first frame.

#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>

#include "data/pictures/codecs.h"

namespace vapo::data {
namespace {

template <auto release>
struct Releases {
  template <class T>
  void operator()(T* x) const {
    release(x);
  }
};

int orientation_of(const WebPData& file) {
  std::unique_ptr<WebPDemuxer, Releases<WebPDemuxDelete>> parts(WebPDemux(&file));
  WebPChunkIterator chunk = {};
  if (!parts || WebPDemuxGetChunk(parts.get(), "EXIF", 1, &chunk) == 0) return 1;
  int orientation = detail::exif_orientation(std::as_bytes(std::span(chunk.chunk.bytes, chunk.chunk.size)));
  WebPDemuxReleaseChunkIterator(&chunk);
  return orientation;
}

bool first_frame(const WebPData& file, const Tensor& rgba) {
  WebPAnimDecoderOptions options;
  WebPAnimDecoderOptionsInit(&options);
  std::unique_ptr<WebPAnimDecoder, Releases<WebPAnimDecoderDelete>> decoder(WebPAnimDecoderNew(&file, &options));
  WebPAnimInfo info = {};
  uint8_t* frame = nullptr;
  int time = 0;
  if (!decoder || WebPAnimDecoderGetInfo(decoder.get(), &info) == 0 || info.canvas_width != rgba.dim(1) ||
      info.canvas_height != rgba.dim(0) || WebPAnimDecoderGetNext(decoder.get(), &frame, &time) == 0)
    return false;
  std::memcpy(rgba.mutable_data<uint8_t>(), frame, rgba.bytes());
  return true;
}

}  // namespace

Tensor detail::decode_webp(std::span<const std::byte> bytes, const std::string& name) {
  WebPData file{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  WebPBitstreamFeatures features = {};
  if (WebPGetFeatures(file.bytes, file.size, &features) != VP8_STATUS_OK)
    refuse_image(name, "WebP", "its header is damaged or cut short");
  constexpr int64_t most = 65'536;  // a canvas of one colour takes next to nothing
  check_size(features.width, features.height, name, "WebP", bytes.size(), most);
  int channels = features.has_alpha != 0 || features.has_animation != 0 ? 4 : 3;
  Tensor image = Tensor::empty({features.height, features.width, channels}, DType::u8);
  auto* pixels = image.mutable_data<uint8_t>();
  int stride = features.width * channels;
  bool good = features.has_animation != 0 ? first_frame(file, image)
              : channels == 4 ? WebPDecodeRGBAInto(file.bytes, file.size, pixels, image.bytes(), stride) != nullptr
                              : WebPDecodeRGBInto(file.bytes, file.size, pixels, image.bytes(), stride) != nullptr;
  if (!good) refuse_image(name, "WebP", "damaged or cut short");
  return upright(grey_if_all_is(over_white(image)), orientation_of(file));
}

}  // namespace vapo::data
