// PNG by libpng.

#include <png.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "data/pictures/codecs.h"
#include "data/pictures/image_file.h"
#include "tensor/io/atomic_file.h"

namespace vapo::data {
namespace {

struct Reader {
  std::span<const std::byte> rest;
  std::jmp_buf jump = {};
  char message[128] = "";
  png_structp png = nullptr;
  png_infop info = nullptr;

  explicit Reader(std::span<const std::byte> bytes) : rest(bytes) {}
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
};

[[noreturn]] void stop(png_structp png, png_const_charp text) {
  Reader& r = *static_cast<Reader*>(png_get_error_ptr(png));
  std::snprintf(r.message, sizeof r.message, "%s", text);
  std::longjmp(r.jump, 1);
}

void no_warning(png_structp, png_const_charp) {}

void take(png_structp png, png_bytep to, size_t count) {
  Reader& r = *static_cast<Reader*>(png_get_io_ptr(png));
  if (count > r.rest.size()) png_error(png, "the file is cut short");
  std::memcpy(to, r.rest.data(), count);
  r.rest = r.rest.subspan(count);
}

// What turns any kind of PNG into 8-bit grey or RGB, perhaps with opacity. Chunks that speak of gamma or colour
// profiles are not read: the values are the file's.
void set_conversions(png_structp png, png_infop info) {
  png_set_expand(png);
  png_set_scale_16(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
}

// The pixels are all there once the last chunk of them is: what follows may be missing.
bool stopped_in_pixels(png_structp png) {
  constexpr png_uint_32 idat = 0x49444154;
  return (png_get_io_state(png) & PNG_IO_MASK_LOC) != PNG_IO_CHUNK_HDR && png_get_io_chunk_type(png) == idat;
}

int orientation_of(png_structp png, png_infop info) {
  png_uint_32 size = 0;
  png_bytep exif = nullptr;
  if (png_get_eXIf_1(png, info, &size, &exif) == 0) return 1;
  return detail::exif_orientation(std::as_bytes(std::span(exif, size)));
}

}  // namespace

Tensor detail::decode_png(std::span<const std::byte> bytes, const std::string& name) {
  Reader r(bytes);
  auto check = [&](bool good) {
    if (!good) refuse_image(name, "PNG", r.message);
  };
  check(returns(r.jump, [&] {
    r.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, stop, no_warning);
    if (r.png) r.info = png_create_info_struct(r.png);
    if (!r.info) return;
    png_set_keep_unknown_chunks(r.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_set_keep_unknown_chunks(r.png, PNG_HANDLE_CHUNK_AS_DEFAULT, reinterpret_cast<png_const_bytep>("eXIf"), 1);
    png_set_read_fn(r.png, &r, take);
    png_read_info(r.png, r.info);
  }));
  VAPO_CHECK(r.info, "[decode_image] '{}': libpng found no memory", name);
  int64_t width = png_get_image_width(r.png, r.info), height = png_get_image_height(r.png, r.info);
  // Deflate makes at most 1032 bytes of one.
  auto row = static_cast<int64_t>(png_get_rowbytes(r.png, r.info));  // as the file has it
  check_size(width, height, name, "PNG", bytes.size(), 1032 * width / std::max<int64_t>(row, 1));
  check(returns(r.jump, [&] { set_conversions(r.png, r.info); }));
  int64_t channels = png_get_channels(r.png, r.info);
  VAPO_CHECK(static_cast<int64_t>(png_get_rowbytes(r.png, r.info)) == width * channels,
             "[decode_image] '{}': libpng left rows of {} bytes", name, png_get_rowbytes(r.png, r.info));

  Tensor image = Tensor::empty({height, width, channels}, DType::u8);
  std::vector<png_bytep> rows(static_cast<size_t>(height));
  for (size_t y = 0; y < rows.size(); ++y)
    rows[y] = image.mutable_data<uint8_t>() + static_cast<int64_t>(y) * width * channels;
  check(returns(r.jump, [&] { png_read_image(r.png, rows.data()); }));
  bool ended = returns(r.jump, [&] { png_read_end(r.png, r.info); });
  check(ended || !stopped_in_pixels(r.png));
  return upright(over_white(image), orientation_of(r.png, r.info));
}

std::string encode_png(const Tensor& image) {
  Tensor x = image.to(Device::cpu);
  VAPO_CHECK(x.dtype() == DType::u8 && x.rank() == 3 && (x.dim(2) == 1 || x.dim(2) == 3) && x.numel() > 0,
             "[encode_png] {} {}: expects u8 (H,W,1) or (H,W,3)", name_of(x.dtype()), x.shape().str());
  png_image png = {};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(x.dim(1));
  png.height = static_cast<png_uint_32>(x.dim(0));
  png.format = x.dim(2) == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::string out(size, '\0');
  int written = png_image_write_to_memory(&png, out.data(), &size, 0, x.data<uint8_t>(), 0, nullptr);
  VAPO_CHECK(written != 0, "[encode_png] {}: {}", x.shape().str(), png.message);
  out.resize(size);
  return out;
}

void write_png(const std::filesystem::path& file, const Tensor& image) {
  std::string bytes = encode_png(image);
  std::string_view pieces[] = {bytes};
  write_file_atomically(file, pieces);
}

}  // namespace vapo::data
