// JPEG files by libjpeg-turbo.

#include <cstdio>  // jpeglib.h needs it before

#include <jpeglib.h>

#include <cstdlib>

#include "data/pictures/codecs.h"
#include "data/pictures/image_file.h"

namespace vapo::data {
namespace {

constexpr int quality = 95;

struct Writer {
  jpeg_compress_struct jpeg = {};
  jpeg_error_mgr errors = {};
  std::jmp_buf jump = {};
  char message[JMSG_LENGTH_MAX] = "";
  unsigned char* bytes = nullptr;
  unsigned long size = 0;

  Writer() = default;
  ~Writer() {
    jpeg_destroy_compress(&jpeg);
    std::free(bytes);
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
};

[[noreturn]] void stop(j_common_ptr jpeg) {
  Writer& w = *static_cast<Writer*>(jpeg->client_data);
  jpeg->err->format_message(jpeg, w.message);
  std::longjmp(w.jump, 1);
}

}  // namespace

std::string encode_jpeg(const Tensor& image) {
  Tensor x = image.to(Device::cpu);
  VAPO_CHECK(x.dtype() == DType::u8 && x.rank() == 3 && (x.dim(2) == 1 || x.dim(2) == 3) && x.numel() > 0,
             "[encode_jpeg] {} {}: expects u8 (H,W,1) or (H,W,3)", name_of(x.dtype()), x.shape().str());
  Writer w;
  const uint8_t* pixels = x.data<uint8_t>();
  int64_t height = x.dim(0), width = x.dim(1), channels = x.dim(2);
  bool written = detail::returns(w.jump, [&] {
    w.jpeg.err = jpeg_std_error(&w.errors);
    w.errors.error_exit = stop;
    w.jpeg.client_data = &w;
    jpeg_create_compress(&w.jpeg);
    jpeg_mem_dest(&w.jpeg, &w.bytes, &w.size);
    w.jpeg.image_width = static_cast<JDIMENSION>(width);
    w.jpeg.image_height = static_cast<JDIMENSION>(height);
    w.jpeg.input_components = static_cast<int>(channels);
    w.jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&w.jpeg);
    jpeg_set_quality(&w.jpeg, quality, TRUE);
    // colours as fine as brightness: small images have edges of one pixel
    w.jpeg.comp_info[0].h_samp_factor = w.jpeg.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&w.jpeg, TRUE);
    while (w.jpeg.next_scanline < w.jpeg.image_height) {
      auto* row = const_cast<JSAMPROW>(pixels + w.jpeg.next_scanline * width * channels);
      jpeg_write_scanlines(&w.jpeg, &row, 1);
    }
    jpeg_finish_compress(&w.jpeg);
  });
  if (!written) throw InputError(fmt::format("{} × {} pixels as a JPEG image: {}", width, height, w.message));
  return {reinterpret_cast<const char*>(w.bytes), w.size};
}

}  // namespace vapo::data
