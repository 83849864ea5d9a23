// JPEG by libjpeg-turbo. What it warns of and mends by guessing (a file that ends too soon, bad codes) is an error.

#include <cstdio>  // jpeglib.h needs it before

#include <jpeglib.h>

#include "data/pictures/codecs.h"
#include "tensor/io/printable.h"

namespace vapo::data {
namespace {

constexpr int most_scans = 500;  // of a progressive file: each passes over the whole image

struct Reader {
  jpeg_decompress_struct jpeg = {};
  jpeg_error_mgr errors = {};
  jpeg_progress_mgr progress = {};
  std::jmp_buf jump = {};
  char message[JMSG_LENGTH_MAX] = "";

  Reader() = default;
  ~Reader() { jpeg_destroy_decompress(&jpeg); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

[[noreturn]] void stop(j_common_ptr jpeg) {
  Reader& r = *static_cast<Reader*>(jpeg->client_data);
  jpeg->err->format_message(jpeg, r.message);
  std::longjmp(r.jump, 1);
}

void stop_at_warnings(j_common_ptr jpeg, int level) {
  if (level < 0) stop(jpeg);
}

void count_scans(j_common_ptr jpeg) {
  Reader& r = *static_cast<Reader*>(jpeg->client_data);
  if (r.jpeg.input_scan_number <= most_scans) return;
  std::snprintf(r.message, sizeof r.message, "more than %d scans", most_scans);
  std::longjmp(r.jump, 1);
}

}  // namespace

Tensor detail::decode_jpeg(std::span<const std::byte> bytes, const std::string& name) {
  Reader r;
  auto check = [&](bool good) {
    if (!good)
      throw InputError(
          fmt::format("'{}': not a readable JPEG image: {}", name, printable(r.message, sizeof r.message)));
  };
  check(returns(r.jump, [&] {
    r.jpeg.err = jpeg_std_error(&r.errors);
    r.errors.error_exit = stop;
    r.errors.emit_message = stop_at_warnings;
    r.jpeg.client_data = &r;
    jpeg_create_decompress(&r.jpeg);
    r.jpeg.progress = &r.progress;
    r.progress.progress_monitor = count_scans;
    jpeg_mem_src(&r.jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_read_header(&r.jpeg, TRUE);
  }));
  check_size(r.jpeg.image_width, r.jpeg.image_height, name);
  if (r.jpeg.num_components != 1 && r.jpeg.num_components != 3)
    throw InputError(
        fmt::format("'{}': a JPEG image of {} components{}, only grey and RGB are read. Hint: convert it to RGB",
                    name, r.jpeg.num_components, r.jpeg.num_components == 4 ? " (CMYK)" : ""));
  r.jpeg.out_color_space = r.jpeg.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
  check(returns(r.jump, [&] { jpeg_start_decompress(&r.jpeg); }));

  int64_t width = r.jpeg.output_width, channels = r.jpeg.output_components;
  Tensor image = Tensor::empty({r.jpeg.output_height, width, channels}, DType::u8);
  uint8_t* pixels = image.mutable_data<uint8_t>();
  check(returns(r.jump, [&] {
    while (r.jpeg.output_scanline < r.jpeg.output_height) {
      JSAMPROW row = pixels + r.jpeg.output_scanline * width * channels;
      jpeg_read_scanlines(&r.jpeg, &row, 1);
    }
    jpeg_finish_decompress(&r.jpeg);
  }));
  return image;
}

}  // namespace vapo::data
