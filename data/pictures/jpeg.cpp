// JPEG by libjpeg-turbo. Where it warns that it mends by guessing (a file that ends too soon, bad codes), that is an
// error; other warnings (of bytes between segments, versions, markers) leave the pixels what they are.

#include <algorithm>
#include <cstdio>  // jpeglib.h needs it before
#include <cstring>

#include <jpeglib.h>

#include <jerror.h>  // needs it before

#include "data/pictures/codecs.h"

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

void stop_at_damage(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
      stop(jpeg);
    default:
      return;
  }
}

void count_scans(j_common_ptr jpeg) {
  Reader& r = *static_cast<Reader*>(jpeg->client_data);
  if (r.jpeg.input_scan_number <= most_scans) return;
  std::snprintf(r.message, sizeof r.message, "more than %d scans", most_scans);
  std::longjmp(r.jump, 1);
}

int orientation_of(const jpeg_decompress_struct& jpeg) {
  for (jpeg_saved_marker_ptr m = jpeg.marker_list; m; m = m->next)
    if (m->data_length >= 6 && std::memcmp(m->data, "Exif\0", 6) == 0)
      return detail::exif_orientation(std::as_bytes(std::span(m->data, m->data_length)));
  return 1;
}

// (H,W,4) of inks, inverted as Adobe's programs write them, to RGB: what is left of white by the ink and by black, as
// Pillow rounds it.
Tensor rgb_of_inks(const Tensor& inks) {
  int64_t pixels = inks.dim(0) * inks.dim(1);
  Tensor out = Tensor::empty({inks.dim(0), inks.dim(1), 3}, DType::u8);
  const uint8_t* from = inks.data<uint8_t>();
  uint8_t* to = out.mutable_data<uint8_t>();
  for (int64_t i = 0; i < pixels; ++i, from += 4)
    for (int k = 0; k < 3; ++k) {
      int paper = from[3], product = (255 - from[k]) * paper + 128;
      *to++ = static_cast<uint8_t>(std::max(0, paper - ((product + (product >> 8)) >> 8)));
    }
  return out;
}

}  // namespace

Tensor detail::decode_jpeg(std::span<const std::byte> bytes, const std::string& name) {
  Reader r;
  auto check = [&](bool good) {
    if (!good) refuse_image(name, "JPEG", r.message);
  };
  check(returns(r.jump, [&] {
    r.jpeg.err = jpeg_std_error(&r.errors);
    r.errors.error_exit = stop;
    r.errors.emit_message = stop_at_damage;
    r.jpeg.client_data = &r;
    jpeg_create_decompress(&r.jpeg);
    r.jpeg.progress = &r.progress;
    r.progress.progress_monitor = count_scans;
    jpeg_mem_src(&r.jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_save_markers(&r.jpeg, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&r.jpeg, TRUE);
  }));
  check_size(r.jpeg.image_width, r.jpeg.image_height, name);
  constexpr J_COLOR_SPACE spaces[] = {JCS_UNKNOWN, JCS_GRAYSCALE, JCS_UNKNOWN, JCS_RGB, JCS_CMYK};
  int components = r.jpeg.num_components;
  if (components > 4 || spaces[components] == JCS_UNKNOWN)
    refuse_image(name, "JPEG", fmt::format("{} components, neither grey nor RGB nor CMYK", components));
  r.jpeg.out_color_space = spaces[components];
  int orientation = orientation_of(r.jpeg);  // before the end, which forgets it
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
  return upright(channels == 4 ? rgb_of_inks(image) : image, orientation);
}

}  // namespace vapo::data
