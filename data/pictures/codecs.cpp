// What the codecs of images share: limits, transparency, and EXIF's orientation by libexif.

#include "data/pictures/codecs.h"

#include <libexif/exif-data.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "tensor/check.h"
#include "tensor/io/printable.h"

namespace vapo::data::detail {

void check_size(int64_t width, int64_t height, const std::string& name) {
  if (width < 1 || height < 1)
    throw InputError(fmt::format("'{}': an image of {} × {} pixels", name, width, height));
  if (width > most_pixels / height)
    throw InputError(fmt::format("'{}': {} × {} pixels, more than the {} million that are read", name, width,
                                 height, most_pixels / 1'000'000));
}

void check_size(int64_t width, int64_t height, const std::string& name, const char* kind, size_t bytes,
                int64_t most) {
  check_size(width, height, name);
  if (width * height / most > static_cast<int64_t>(bytes))
    throw InputError(fmt::format("'{}': not a readable {} image: {} × {} pixels cannot come of {} bytes", name,
                                 kind, width, height, bytes));
}

void refuse_image(const std::string& name, const char* kind, std::string_view why) {
  throw InputError(fmt::format("'{}': not a readable {} image: {}", name, kind, printable(why, 128)));
}

Tensor over_white(const Tensor& x) {
  int64_t channels = x.dim(2) - 1, pixels = x.dim(0) * x.dim(1);
  if (channels != 1 && channels != 3) return x;
  Tensor out = Tensor::empty({x.dim(0), x.dim(1), channels}, DType::u8);
  const uint8_t* from = x.data<uint8_t>();
  uint8_t* to = out.mutable_data<uint8_t>();
  for (int64_t i = 0; i < pixels; ++i, from += channels + 1)
    for (int64_t k = 0; k < channels; ++k) {
      int alpha = from[channels];
      *to++ = static_cast<uint8_t>((alpha * from[k] + (255 - alpha) * 255 + 127) / 255);
    }
  return out;
}

Tensor grey_if_all_is(const Tensor& image) {
  const uint8_t* from = image.data<uint8_t>();
  int64_t pixels = image.dim(0) * image.dim(1);
  if (image.dim(2) != 3) return image;
  for (int64_t i = 0; i < 3 * pixels; i += 3)
    if (from[i] != from[i + 1] || from[i] != from[i + 2]) return image;
  Tensor out = Tensor::empty({image.dim(0), image.dim(1), 1}, DType::u8);
  uint8_t* to = out.mutable_data<uint8_t>();
  for (int64_t i = 0; i < pixels; ++i) to[i] = from[3 * i];
  return out;
}

int exif_orientation(std::span<const std::byte> exif) {
  constexpr std::string_view head("Exif\0\0", 6);
  std::string block(reinterpret_cast<const char*>(exif.data()), exif.size());
  if (!block.starts_with(head)) block.insert(0, head);
  std::unique_ptr<ExifData, void (*)(ExifData*)> data(exif_data_new(), exif_data_unref);
  if (!data) return 1;
  exif_data_unset_option(data.get(), EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);  // as it is, nothing mended
  exif_data_load_data(data.get(), reinterpret_cast<const unsigned char*>(block.data()),
                      static_cast<unsigned>(block.size()));
  const ExifEntry* entry = exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
  if (!entry || entry->components != 1) return 1;
  ExifByteOrder order = exif_data_get_byte_order(data.get());
  int64_t value = entry->format == EXIF_FORMAT_SHORT && entry->size >= 2  ? exif_get_short(entry->data, order)
                  : entry->format == EXIF_FORMAT_LONG && entry->size >= 4 ? exif_get_long(entry->data, order)
                                                                          : 1;
  return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

// Where the file's rows and columns lie in the upright image.
Tensor upright(const Tensor& image, int orientation) {
  struct Turn {
    bool exchanged, last_row_first, last_column_first;
  };
  constexpr Turn turns[] = {{false, false, false}, {false, false, true}, {false, true, true}, {false, true, false},
                            {true, false, false},  {true, true, false},  {true, true, true},  {true, false, true}};
  if (orientation == 1) return image;
  const Turn& turn = turns[orientation - 1];
  int64_t h = image.dim(0), w = image.dim(1), c = image.dim(2);
  int64_t row = turn.last_row_first ? -w * c : w * c, column = turn.last_column_first ? -c : c;
  const uint8_t* first = image.data<uint8_t>() + (turn.last_row_first ? (h - 1) * w * c : 0) +
                         (turn.last_column_first ? (w - 1) * c : 0);
  if (turn.exchanged) std::swap(h, w), std::swap(row, column);
  Tensor out = Tensor::empty({h, w, c}, DType::u8);
  uint8_t* to = out.mutable_data<uint8_t>();
  for (int64_t y = 0; y < h; ++y)
    for (int64_t x = 0; x < w; ++x) to = std::copy_n(first + y * row + x * column, c, to);
  return out;
}

}  // namespace vapo::data::detail
