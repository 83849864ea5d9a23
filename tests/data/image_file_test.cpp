// Images to and from PNG and JPEG, their sizes, and grids.

#include "data/pictures/image_file.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "tests/data/image_bytes.h"

using namespace vapo;
using namespace vapo::data;

namespace {

using Values = std::vector<uint8_t>;

Tensor decode(const std::string& s, const std::string& name = "some.file") {
  return decode_image(std::as_bytes(std::span(s)), name);
}

std::string refusal(const std::string& bytes) {
  try {
    decode(bytes);
  } catch (const InputError& e) {
    std::string m = e.what();
    CHECK_MESSAGE((m.find("some.file") != std::string::npos && m.find('\n') == std::string::npos), m);
    return m;
  }
  return "nothing was thrown";
}
#define CHECK_REFUSED(bytes, part) CHECK_MESSAGE(refusal(bytes).find(part) != std::string::npos, refusal(bytes))

Tensor pattern(int64_t h, int64_t w, int64_t c) {
  Tensor x = Tensor::empty({h, w, c}, DType::u8);
  for (int64_t i = 0; i < x.numel(); ++i)
    x.mutable_data<uint8_t>()[i] = static_cast<uint8_t>((i * i * 7 + i * 13) % 256);
  return x;
}

void check_image(const Tensor& x, const Shape& shape, const Values& values) {
  CHECK(x.shape() == shape);
  CHECK(fmt::format("{}", fmt::join(x.to_vector<uint8_t>(), " ")) == fmt::format("{}", fmt::join(values, " ")));
}

int largest_difference(const Tensor& x, const Tensor& y) {
  REQUIRE(x.shape() == y.shape());
  int most = 0;
  for (int64_t i = 0; i < x.numel(); ++i)
    most = std::max(most, std::abs(x.data<uint8_t>()[i] - y.data<uint8_t>()[i]));
  return most;
}

// A number in the header of a JPEG: `bytes` bytes at `at`, the highest first.
void set_number(std::string& s, size_t at, int bytes, uint32_t value) {
  for (int i = 0; i < bytes; ++i)
    s[at + static_cast<size_t>(i)] = static_cast<char>(value >> (8 * (bytes - 1 - i)));
}

}  // namespace

TEST_CASE("PNG: what is written comes back, and is the file's from the first byte to the last") {
  for (int64_t c : {1, 3})
    for (int64_t w : {1, 2, 7, 64}) {
      Tensor x = pattern(5, w, c);
      check_image(decode(encode_png(x)), x.shape(), x.to_vector<uint8_t>());
    }
  Folder folder;
  write_png(folder.path / "x.png", pattern(4, 6, 3));
  check_image(read_image(folder.path / "x.png"), {4, 6, 3}, pattern(4, 6, 3).to_vector<uint8_t>());
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path), {}) == 1);
  CHECK_THROWS_WITH_AS(read_image(folder.path / "none.png"), doctest::Contains("none.png"), IoError);
  CHECK_THROWS_AS(write_png(folder.path / "none" / "x.png", pattern(4, 6, 3)), IoError);
  for (const Tensor& bad : {Tensor::zeros({2, 2, 3}), pattern(2, 2, 2), pattern(2, 2, 3).reshape({4, 3}),
                            Tensor::zeros({0, 2, 3}, DType::u8)})
    CHECK_THROWS_WITH(encode_png(bad), doctest::Contains("[encode_png]"));
}

TEST_CASE("PNG: palettes, few bits, 16 bits, interlaced rows") {
  const std::vector<png_color> palette{{10, 20, 30}, {40, 50, 60}, {70, 80, 90}, {255, 0, 1}};
  check_image(decode(png_bytes({3, 2, PNG_COLOR_TYPE_PALETTE, 8, palette}, {0, 1, 2, 3, 0, 1})), {2, 3, 3},
              {10, 20, 30, 40, 50, 60, 70, 80, 90, 255, 0, 1, 10, 20, 30, 40, 50, 60});
  check_image(decode(png_bytes({4, 1, PNG_COLOR_TYPE_PALETTE, 2, palette}, {0b00011011})), {1, 4, 3},
              {10, 20, 30, 40, 50, 60, 70, 80, 90, 255, 0, 1});
  check_image(decode(png_bytes({9, 1, PNG_COLOR_TYPE_GRAY, 1}, {0b10100000, 0b10000000})), {1, 9, 1},
              {255, 0, 255, 0, 0, 0, 0, 0, 255});
  check_image(decode(png_bytes({2, 1, PNG_COLOR_TYPE_GRAY, 4}, {0x1f})), {1, 2, 1}, {17, 255});
  // 16 bits: round(v·255/65535)
  check_image(decode(png_bytes({4, 1, PNG_COLOR_TYPE_GRAY, 16}, {0, 128, 0, 129, 0x80, 0x80, 255, 255})), {1, 4, 1},
              {0, 1, 128, 255});
  check_image(decode(png_bytes({1, 1, PNG_COLOR_TYPE_RGB, 16}, {0, 0, 255, 255, 1, 1})), {1, 1, 3}, {0, 255, 1});
  Tensor x = pattern(11, 13, 3);
  check_image(
      decode(png_bytes({.width = 13, .height = 11, .type = PNG_COLOR_TYPE_RGB, .depth = 8, .interlaced = true},
                       x.to_vector<uint8_t>())),
      {11, 13, 3}, x.to_vector<uint8_t>());
}

TEST_CASE("PNG: what is transparent lies over white") {
  // α·v + (1 − α)·255
  check_image(
      decode(png_bytes({2, 2, PNG_COLOR_TYPE_RGBA, 8}, {9, 8, 7, 255, 9, 8, 7, 0, 0, 100, 255, 51, 5, 5, 5, 128})),
      {2, 2, 3}, {9, 8, 7, 255, 255, 255, 204, 224, 255, 130, 130, 130});
  check_image(decode(png_bytes({3, 1, PNG_COLOR_TYPE_GRAY_ALPHA, 8}, {77, 255, 77, 0, 0, 51})), {1, 3, 1},
              {77, 255, 204});
  check_image(
      decode(png_bytes({3, 1, PNG_COLOR_TYPE_GRAY_ALPHA, 16}, {77, 77, 255, 255, 77, 77, 0, 0, 0, 0, 51, 51})),
      {1, 3, 1}, {77, 255, 204});
  check_image(
      decode(png_bytes({3, 1, PNG_COLOR_TYPE_PALETTE, 8, {{10, 20, 30}, {40, 50, 60}, {0, 100, 255}}, {255, 0, 51}},
                       {0, 1, 2})),
      {1, 3, 3}, {10, 20, 30, 255, 255, 255, 204, 224, 255});
  check_image(
      decode(png_bytes({.width = 3, .height = 1, .type = PNG_COLOR_TYPE_GRAY, .depth = 8, .transparent_grey = 7},
                       {6, 7, 8})),
      {1, 3, 1}, {6, 255, 8});
  check_image(
      decode(png_bytes({.width = 4, .height = 1, .type = PNG_COLOR_TYPE_GRAY, .depth = 2, .transparent_grey = 1},
                       {0b00011011})),
      {1, 4, 1}, {0, 255, 170, 255});
}

TEST_CASE("JPEG: grey, colour, RGB, progressive, restart marks") {
  Tensor grey = slopes(19, 37, 1), rgb = slopes(19, 37, 3);
  CHECK(largest_difference(decode(jpeg_bytes(grey, {.from = JCS_GRAYSCALE, .to = JCS_GRAYSCALE})), grey) <= 2);
  CHECK(largest_difference(decode(jpeg_bytes(rgb, {})), rgb) <= 4);
  CHECK(largest_difference(decode(jpeg_bytes(rgb, {.to = JCS_RGB})), rgb) <= 3);
  CHECK(largest_difference(decode(jpeg_bytes(rgb, {.progressive = true})), rgb) <= 4);
  CHECK(largest_difference(decode(jpeg_bytes(rgb, {.restart_rows = 1})), rgb) <= 4);
}

TEST_CASE("a file cut short anywhere is refused, of a PNG anywhere in its pixels") {
  constexpr size_t png_end = 12;  // the bytes of its last chunk, which holds none
  Tensor x = slopes(19, 37, 3);
  for (const std::string& whole :
       {encode_png(x), png_bytes({37, 19, PNG_COLOR_TYPE_RGB, 8, {}, {}, -1, true}, x.to_vector<uint8_t>()),
        jpeg_bytes(x, {}), jpeg_bytes(x, {.progressive = true}), jpeg_bytes(x, {.restart_rows = 1})}) {
    REQUIRE(decode(whole).shape() == x.shape());
    bool png = whole[1] == 'P';
    for (size_t n = 0; n < whole.size(); ++n) {
      CAPTURE(n);
      if (png && n >= whole.size() - png_end)
        REQUIRE(decode(whole.substr(0, n)).to_vector<uint8_t>() == decode(whole).to_vector<uint8_t>());
      else
        REQUIRE_THROWS_AS(decode(whole.substr(0, n)), InputError);
    }
  }
}

TEST_CASE("JPEG: the mark of the end is asked for, though all pixels are there") {
  for (int64_t w = 1; w <= 40; ++w) {
    std::string whole = jpeg_bytes(slopes(3, w, 1), {.from = JCS_GRAYSCALE, .to = JCS_GRAYSCALE});
    REQUIRE(decode(whole).dim(1) == w);
    for (size_t n : {1, 2}) REQUIRE_THROWS_AS(decode(whole.substr(0, whole.size() - n)), InputError);
  }
}

TEST_CASE("what is no image, or broken, is refused in one line") {
  CHECK_REFUSED("", "the file is empty");
  CHECK_REFUSED("no image", "none of PNG, JPEG, WebP, GIF, TIFF, BMP, PNM, by its first bytes");
  CHECK_REFUSED("GIF89a......", "not a readable GIF image");
  CHECK_REFUSED("\x89PNG\r\n\x1a\n", "not a readable PNG image: the file is cut short");
  CHECK_REFUSED("\xff\xd8\xff", "not a readable JPEG image: ");
  std::string png = encode_png(slopes(19, 37, 3)), jpeg = jpeg_bytes(slopes(19, 37, 3), {});
  std::string flipped = png;
  flipped[flipped.size() - 13] ^= 1;  // of the check sum before the last chunk
  CHECK_REFUSED(flipped, "not a readable PNG image: IDAT: CRC error");
  std::string holes = jpeg;
  size_t scan = holes.find("\xff\xda") + 14;
  holes.replace(scan, 40, 40, '\0');
  holes.erase(scan + 40, 30);
  CHECK_REFUSED(holes, "not a readable JPEG image: ");
}

TEST_CASE("a header that claims a large image costs nothing") {
  std::string jpeg = jpeg_bytes(slopes(8, 8, 1), {.from = JCS_GRAYSCALE, .to = JCS_GRAYSCALE});
  size_t frame = jpeg.find("\xff\xc0");
  REQUIRE(frame != std::string::npos);
  set_number(jpeg, frame + 5, 2, 65000);
  set_number(jpeg, frame + 7, 2, 65000);
  CHECK_REFUSED(jpeg, "65000 × 65000 pixels, more than the 64 million");
  set_number(jpeg, frame + 5, 2, 8000);
  set_number(jpeg, frame + 7, 2, 8000);
  CHECK_REFUSED(jpeg, "not a readable JPEG image: Corrupt JPEG data: premature end");

  // A PNG: the right size, check sum and all, before a picture of one row.
  std::string png = png_bytes({100'000, 640, PNG_COLOR_TYPE_GRAY, 1}, Values(12'500 * 640));
  CHECK_REFUSED(png.substr(0, 200), "100000 × 640 pixels cannot come of 200 bytes");
  png = png_bytes({100'000, 1, PNG_COLOR_TYPE_GRAY, 1}, Values(12'500));
  CHECK(decode(png).dim(1) == 100'000);
  CHECK_REFUSED(png_bytes({100'000, 641, PNG_COLOR_TYPE_GRAY, 1}, Values(12'500 * 641)), "100000 × 641 pixels");
}

TEST_CASE("floats to pixels and back") {
  std::vector<float> x{-1, 1, 0, -2, 2, 0.5f, -0.999f, NAN, INFINITY, -INFINITY, 1.f / 255, -1.f / 255};
  const Values expected{0, 255, 128, 0, 255, 191, 0, 0, 255, 0, 128, 127};
  CHECK(to_pixels(Tensor::from(x, {12})).to_vector<uint8_t>() == expected);
  CHECK(to_pixels(Tensor::from(x, {3, 4}).to(DType::f64)).to_vector<uint8_t>() == expected);
  CHECK(to_pixels(Tensor::from(x, {3, 4})).shape() == Shape{3, 4});

  Tensor all = Tensor::empty({300, 256}, DType::u8);
  for (int64_t i = 0; i < all.numel(); ++i) all.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(i % 256);
  Tensor y = from_pixels(all);
  CHECK(y.dtype() == DType::f32);
  CHECK(y.at(0) == -1);
  CHECK(y.at(255) == 1);
  for (int64_t u = 0; u < 256; ++u)
    CHECK(y.at(u) == doctest::Approx(static_cast<double>(u) / 127.5 - 1).epsilon(1e-6));
  CHECK(to_pixels(y).to_vector<uint8_t>() == all.to_vector<uint8_t>());
  CHECK_THROWS_WITH(to_pixels(all), doctest::Contains("[to_pixels] u8"));
  CHECK_THROWS_WITH(from_pixels(y), doctest::Contains("[from_pixels] f32"));
}

TEST_CASE("the centre of an image") {
  Tensor x = Tensor::empty({4, 5, 1}, DType::u8);
  for (int64_t i = 0; i < 20; ++i) x.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(i);
  check_image(centre_crop(x, 2, 3), {2, 3, 1}, {6, 7, 8, 11, 12, 13});
  check_image(centre_crop(x, 1, 2), {1, 2, 1}, {6, 7});
  CHECK(centre_crop(x, 4, 5).to_vector<uint8_t>() == x.to_vector<uint8_t>());
  Tensor rgb = pattern(3, 3, 3);
  check_image(centre_crop(rgb, 1, 1), {1, 1, 3},
              {rgb.data<uint8_t>()[12], rgb.data<uint8_t>()[13], rgb.data<uint8_t>()[14]});
  CHECK_THROWS_WITH(centre_crop(x, 5, 5), doctest::Contains("[centre_crop] 5 × 5 out of an image of 4 × 5"));
}

TEST_CASE("resizing: to the level what PIL's resize(BILINEAR) gives") {
  // Columns first, then rows: where an image is stretched one way and shrunk the other, PIL may take them the other
  // way round, and a level in five differs by one.
  struct Case {
    int64_t h, w, c, to_h, to_w;
    Values expected;
  };
  const std::vector<Case> cases{
      {7, 9, 1, 3, 4, {110, 120, 141, 163, 145, 122, 138, 123, 117, 145, 136, 139}},
      {5, 4, 3, 2, 3, {128, 101, 108, 135, 199, 168, 106, 116, 159, 132, 104, 139, 120, 183, 98, 138, 138, 119}},
      {3, 4, 1, 5, 7, {0,  7,   19,  37, 57,  85,  102, 66, 81,  105, 85, 67, 107, 132, 164, 191, 235, 157,
                       81, 141, 178, 90, 129, 192, 133, 76, 155, 204, 40, 87, 163, 117, 73,  165, 222}},
      {6, 5, 1, 6, 2, {25, 107, 149, 115, 146, 77, 213, 203, 119, 167, 141, 155}},
      {2, 2, 3, 3, 3, {0,   20,  54,  51,  92, 147, 102, 164, 240, 37,  99,  47, 87, 106,
                       139, 137, 113, 231, 74, 178, 40,  123, 120, 131, 172, 62, 222}},
      {40, 30, 1, 3, 2, {128, 128, 126, 128, 126, 128}}};
  for (const Case& k : cases) {
    Tensor y = resize_antialiased(pattern(k.h, k.w, k.c), k.to_h, k.to_w);
    CHECK(largest_difference(y, Tensor::from(k.expected, {k.to_h, k.to_w, k.c})) == 0);
  }
  Tensor x = pattern(6, 5, 3);
  CHECK(resize_antialiased(x, 6, 5).to_vector<uint8_t>() == x.to_vector<uint8_t>());
  for (double level : {0., 1., 127., 254., 255.})  // weights add up to 1
    CHECK(largest_difference(resize_antialiased(Tensor::full({37, 91, 3}, level, DType::u8), 64, 17),
                             Tensor::full({64, 17, 3}, level, DType::u8)) == 0);
  CHECK_THROWS_WITH(resize_antialiased(x, 0, 5), doctest::Contains("[resize_antialiased]"));
}

TEST_CASE("to the size of a feature network: as TensorFlow 1 and PyTorch resize") {
  auto error = [](const Tensor& x, const std::vector<double>& expected) {
    REQUIRE(x.numel() == static_cast<int64_t>(expected.size()));
    double worst = 0;
    for (int64_t i = 0; i < x.numel(); ++i)
      worst = std::max(worst, std::abs(x.at(i) - expected[static_cast<size_t>(i)]));
    return worst;
  };
  using enum FeatureResize;
  Tensor x = pattern(4, 5, 3).reshape({1, 4, 5, 3});
  // by NumPy, in f64: taller and narrower. The second is F.interpolate(size, mode="bilinear", align_corners=False).
  std::vector<double> of_tf1{
      -1.0,        -0.84375,  -0.578125, -0.3489583, 0.3541667,  -0.1666667, 0.2604167,   -0.4895833, 0.203125,
      0.21875,     0.1354167, 0.1614583, -0.328125,  0.1354167,  0.2638889,  0.4166667,   -0.1284722, 0.3246528,
      0.3072917,   0.6510417, 0.4375,    -0.3263889, -0.1024306, 0.2309028,  0.3315972,   0.2135417,  -0.01736111,
      -0.734375,   0.703125,  0.25,      -0.34375,   -0.359375,  -0.265625,  0.005208333, 0.5364583,  -0.8229167,
      -0.03645833, -0.171875, 0.46875,   0.04513889, -0.2100694, 0.08854167, 0.08506944,  0.3767361,  -0.3333333,
      0.3125,      -0.609375, 0.578125,  0.2395833,  -0.1354167, 0.265625,   0.125,       0.296875,   -0.08854167};
  std::vector<double> of_pytorch{
      -0.7333333,  -0.4666667,  -0.09019608, -0.4196078, 0.3960784,  -0.6862745, 0.1816993,  -0.4614379,
      -0.3254902,  0.003921569, 0.09019608,  0.2862745,  -0.5843137, 0.05098039, -0.2078431, 0.1189542,
      -0.03529412, -0.07973856, 0.5311547,   0.6,        0.5555556,  -0.7019608, -0.3071895, 0.1973856,
      0.02570806,  0.4117647,   0.01525054,  -0.3089325, 0.4117647,  0.1267974,  -0.5137255, -0.3594771,
      -0.09542484, -0.0962963,  0.4954248,   -0.5877996, -0.1738562, -0.1398693, 0.3385621,  -0.01960784,
      -0.1058824,  -0.08235294, 0.0875817,   0.5503268,  -0.5503268, 0.1712418,  -0.6444444, 0.6575163,
      0.427451,    0.1607843,   0.003921569, 0.3019608,  0.5843137,  -0.3620915};
  CHECK(error(resize_for_features(x, 6, 3, tf1), of_tf1) < 1e-6);
  CHECK(error(resize_for_features(x, 6, 3, pytorch_fid), of_pytorch) < 1e-6);

  // a slope of 7 a pixel along a row of 32, at 299: where the last pixel of the source is passed it repeats
  Tensor slope = Tensor::empty({2, 1, 32, 1}, DType::u8);
  for (int64_t i = 0; i < 64; ++i) slope.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(7 * (i % 32));
  for (FeatureResize resize : {tf1, pytorch_fid}) {
    Tensor y = resize_for_features(slope, 299, 299, resize);
    REQUIRE(y.shape() == Shape{2, 299, 299, 3});
    double worst = 0;
    for (int64_t i = 0; i < y.numel(); ++i) {
      double column = static_cast<double>(i / 3 % 299);
      double at = resize == tf1 ? column * 32 / 299 : std::max(0.0, (column + 0.5) * 32 / 299 - 0.5);
      double value = 7 * std::min(at, 31.0);
      worst = std::max(worst, std::abs(y.at(i) - (resize == tf1 ? (value - 128) / 128 : value / 127.5 - 1)));
    }
    CHECK(worst < 1e-6);
  }
  CHECK(error(resize_for_features(x, 4, 5, pytorch_fid), from_pixels(x).to(DType::f64).to_vector<double>()) < 1e-6);
  CHECK(resize_for_features(Tensor::zeros({0, 4, 5, 1}, DType::u8), 9, 9, tf1).shape() == Shape{0, 9, 9, 3});
  CHECK(from_name<FeatureResize>("pytorch-fid") == pytorch_fid);
  CHECK_THROWS_WITH_AS(from_name<FeatureResize>("tf2"),
                       doctest::Contains("unknown resize 'tf2': expected one of tf1, pytorch-fid"), InputError);
  CHECK_THROWS_WITH(resize_for_features(pattern(4, 5, 3), 9, 9, tf1), doctest::Contains("u8 (N,H,W,C)"));
}

TEST_CASE("a grid of images") {
  Tensor x = Tensor::empty({3, 1, 2, 1}, DType::u8);
  for (int64_t i = 0; i < 6; ++i) x.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(i);
  check_image(image_grid(x, 2, 1), {3, 5, 1}, {0, 1, 255, 2, 3, 255, 255, 255, 255, 255, 4, 5, 255, 255, 255});
  check_image(image_grid(x, 0, 0), {2, 4, 1}, {0, 1, 2, 3, 4, 5, 255, 255});
  check_image(image_grid(x, 9, 0), {1, 6, 1}, {0, 1, 2, 3, 4, 5});
  CHECK(image_grid(Tensor::zeros({17, 8, 9, 3}, DType::u8)).shape() == Shape{4 * 8 + 3 * 2, 5 * 9 + 4 * 2, 3});
  CHECK_THROWS_WITH(image_grid(x.reshape({3, 2, 1})), doctest::Contains("[image_grid] u8 (3,2,1)"));
}
