#pragma once
// Image files of kinds that vapo reads and does not write, made for tests by libpng and libjpeg.

#include <doctest/doctest.h>
#include <png.h>

#include <cstdio>  // jpeglib.h needs it before

#include <jpeglib.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tensor/tensor.h"
#include "tests/scratch_folder.h"

namespace vapo::data {

struct PngKind {
  png_uint_32 width, height;
  int type;   // PNG_COLOR_TYPE_…
  int depth;  // bits of a sample
  std::vector<png_color> palette = {};
  std::vector<png_byte> opacity = {};  // of the palette's first colours
  int transparent_grey = -1;           // the grey that is transparent
  bool interlaced = false;
  std::string exif = "";
};

// `rows`: the rows as the file has them, packed; 16-bit samples with the high byte first.
inline std::string png_bytes(const PngKind& k, std::vector<uint8_t> rows) {
  std::string out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  auto append = [](png_structp p, png_bytep bytes, size_t n) {
    static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<const char*>(bytes), n);
  };
  png_set_write_fn(png, &out, append, nullptr);
  png_set_IHDR(png, info, k.width, k.height, k.depth, k.type,
               k.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!k.palette.empty()) png_set_PLTE(png, info, k.palette.data(), static_cast<int>(k.palette.size()));
  png_color_16 grey = {};
  grey.gray = static_cast<png_uint_16>(std::max(0, k.transparent_grey));
  if (k.transparent_grey >= 0) png_set_tRNS(png, info, nullptr, 0, &grey);
  if (!k.opacity.empty())
    png_set_tRNS(png, info, const_cast<png_bytep>(k.opacity.data()), static_cast<int>(k.opacity.size()), nullptr);
  if (!k.exif.empty())
    png_set_eXIf_1(png, info, static_cast<png_uint_32>(k.exif.size()),
                   reinterpret_cast<png_bytep>(const_cast<char*>(k.exif.data())));
  png_set_gAMA(png, info, 1.0);  // the values come back as they are all the same
  png_write_info(png, info);
  std::vector<png_bytep> pointers;
  for (png_uint_32 y = 0; y < k.height; ++y) pointers.push_back(rows.data() + y * png_get_rowbytes(png, info));
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return out;
}

struct JpegKind {
  J_COLOR_SPACE from = JCS_RGB, to = JCS_YCbCr;
  int quality = 95;
  bool progressive = false;
  int restart_rows = 0;
  std::string exif = "";
};

// What a camera writes of how it was held: the orientation alone, as EXIF's block.
inline std::string exif_block(int orientation, bool high_first = false, bool long_number = false) {
  std::string out(high_first ? "MM" : "II");
  auto number = [&](int bytes, int64_t value) {  // of up to six bytes
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> 8 * (high_first ? bytes - 1 - i : i)));
  };
  number(2, 42), number(4, 8), number(2, 1);  // the first directory: one entry
  number(2, 0x0112), number(2, long_number ? 4 : 3), number(4, 1);
  number(long_number ? 4 : 2, orientation), number(long_number ? 4 : 6, 0);
  return out;
}

// `x`: u8 (H,W,C), C as `from` has it.
inline std::string jpeg_bytes(const Tensor& x, const JpegKind& kind) {
  jpeg_compress_struct jpeg = {};
  jpeg_error_mgr errors = {};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &bytes, &size);
  jpeg.image_height = static_cast<JDIMENSION>(x.dim(0));
  jpeg.image_width = static_cast<JDIMENSION>(x.dim(1));
  jpeg.input_components = static_cast<int>(x.dim(2));
  jpeg.in_color_space = kind.from;
  jpeg_set_defaults(&jpeg);
  jpeg_set_colorspace(&jpeg, kind.to);
  jpeg_set_quality(&jpeg, kind.quality, TRUE);
  jpeg.restart_in_rows = kind.restart_rows;
  if (kind.progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  std::string exif = std::string("Exif\0\0", 6) + kind.exif;
  if (!kind.exif.empty())
    jpeg_write_marker(&jpeg, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(exif.data()),
                      static_cast<unsigned>(exif.size()));
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = x.mutable_data<uint8_t>() + jpeg.next_scanline * x.dim(1) * x.dim(2);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string out(reinterpret_cast<const char*>(bytes), size);
  std::free(bytes);
  return out;
}

// A smooth image, of channels that differ: what JPEG keeps nearly.
inline Tensor slopes(int64_t h, int64_t w, int64_t c) {
  Tensor x = Tensor::empty({h, w, c}, DType::u8);
  for (int64_t i = 0; i < x.numel(); ++i)
    x.mutable_data<uint8_t>()[i] =
        static_cast<uint8_t>(40 + 60 * (i % c) + 80 * (i / c % w) / w + 10 * (i / c / w) / h);
  return x;
}

using Folder = ScratchFolder;

}  // namespace vapo::data
