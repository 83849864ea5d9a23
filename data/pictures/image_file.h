#pragma once
// Single images: files of pictures, sizes, and grids of samples. An image is u8 (H,W,C), C = 1 (grey) or 3 (RGB).

#include <filesystem>
#include <span>
#include <string>

#include "tensor/names.h"
#include "tensor/tensor.h"

namespace vapo::data {

// PNG, JPEG, WebP, GIF, TIFF, BMP or PNM (image_kinds.h), told by its first bytes; of an animation or of several pages
// the first. It stands as the camera was held, where EXIF says how; palettes, 16 bits, inks and transparency (over
// white) become 8-bit grey or RGB. Colour profiles are not applied. Throws IoError or InputError naming the file: of
// more than 64 million pixels, of the slightest damage to the pixels.
Tensor read_image(const std::filesystem::path& file);
Tensor decode_image(std::span<const std::byte> bytes, const std::string& name);
void write_png(const std::filesystem::path& file, const Tensor& image);  // atomically
std::string encode_png(const Tensor& image);
std::string encode_jpeg(const Tensor& image);  // quality 95, colours at full resolution

Tensor centre_crop(const Tensor& image, int64_t height, int64_t width);
// Bilinear with the support widened by the scale where it shrinks (as PIL's and torchvision's antialiased resize).
Tensor resize_antialiased(const Tensor& image, int64_t height, int64_t width);

// How images come to the size that the Inception network takes: bilinear, between the pixels nearest to a point.
//   tf1          pixel i of the result lies at i·from/to of the source, and u becomes (u − 128)/128: TensorFlow 1's
//                resize without aligned corners, of torch-fidelity and EDM
//   pytorch_fid  at max(0, (i + ½)·from/to − ½), and u becomes u/127.5 − 1: PyTorch's interpolate, of pytorch-fid
enum class FeatureResize { tf1, pytorch_fid };
constexpr auto names_of(FeatureResize) {
  using enum FeatureResize;
  return name_table<FeatureResize>("resize", {{"tf1", tf1}, {"pytorch-fid", pytorch_fid}});
}
// (N,H,W,C) → (N,height,width,3); grey is repeated. u8 → f32; the same numbers as f32 or f64 stay that.
Tensor resize_for_features(const Tensor& pixels, int64_t height, int64_t width, FeatureResize resize);

// round(clip(127.5 x + 127.5, 0, 255)): floats in [−1,1] to u8, and back to f32 x = u/127.5 − 1.
Tensor to_pixels(const Tensor& x);
Tensor from_pixels(const Tensor& u);

// Images (N,H,W,C) u8 in rows of `columns` (0: about as many as rows), `gap` pixels apart: one u8 image.
Tensor image_grid(const Tensor& images, int64_t columns = 0, int64_t gap = 2);

}  // namespace vapo::data
