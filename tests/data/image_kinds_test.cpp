// Pictures as cameras and other programs write them: turned, in inks, in other kinds of file.

#include <doctest/doctest.h>

#include "data/pictures/codecs.h"
#include "data/pictures/image_file.h"
#include "data/pictures/image_kinds.h"
#include "tests/data/image_bytes.h"
#include "tests/data/image_samples.h"

using namespace vapo;
using namespace vapo::data;

namespace {

using Values = std::vector<uint8_t>;

Tensor decode(const std::string& s) { return decode_image(std::as_bytes(std::span(s)), "some.file"); }
Values values_of(const std::string& s) { return decode(s).to_vector<uint8_t>(); }

std::string refusal(const std::string& bytes) {
  try {
    decode(bytes);
  } catch (const InputError& e) {
    return e.what();
  }
  return "nothing was thrown";
}
#define CHECK_REFUSED(bytes, part) CHECK_MESSAGE(refusal(bytes).find(part) != std::string::npos, refusal(bytes))

const Values rgb{10, 20, 30, 200, 100, 50, 0, 255, 0, 90, 90, 90, 255, 0, 255, 1, 2, 3};
const Values rgb_turned{90, 90, 90, 10, 20, 30, 255, 0, 255, 200, 100, 50, 1, 2, 3, 0, 255, 0};  // clockwise
const Values grey{0, 100, 255, 7, 8, 9}, rgba_over_white{9, 8, 7, 255, 255, 255, 204, 224, 255};

}  // namespace

TEST_CASE("EXIF's eight orientations: the picture as Pillow's exif_transpose has it") {
  const std::vector<Values> upright{{0, 1, 2, 3, 4, 5}, {2, 1, 0, 5, 4, 3}, {5, 4, 3, 2, 1, 0}, {3, 4, 5, 0, 1, 2},
                                    {0, 3, 1, 4, 2, 5}, {3, 0, 4, 1, 5, 2}, {5, 2, 4, 1, 3, 0}, {2, 5, 1, 4, 0, 3}};
  for (int orientation = 1; orientation <= 8; ++orientation)
    for (bool high_first : {false, true}) {
      CAPTURE(orientation);
      PngKind png{.width = 3, .height = 2, .type = PNG_COLOR_TYPE_GRAY, .depth = 8};
      png.exif = exif_block(orientation, high_first);
      Tensor x = decode(png_bytes(png, {0, 1, 2, 3, 4, 5}));
      CHECK(x.shape() == (orientation < 5 ? Shape{2, 3, 1} : Shape{3, 2, 1}));
      CHECK(x.to_vector<uint8_t>() == upright[static_cast<size_t>(orientation - 1)]);

      Tensor photograph = slopes(5, 9, 3);
      Tensor lying = decode(jpeg_bytes(photograph, {}));
      Tensor turned = decode(jpeg_bytes(photograph, {.exif = exif_block(orientation, high_first, high_first)}));
      CHECK(turned.shape() == (orientation < 5 ? Shape{5, 9, 3} : Shape{9, 5, 3}));
      CHECK(turned.to_vector<uint8_t>() == data::detail::upright(lying, orientation).to_vector<uint8_t>());
    }
}

TEST_CASE("EXIF that is broken, or says nothing of how the camera was held, changes nothing") {
  std::string whole = exif_block(6);
  std::vector<std::string> blocks{"x",           "II",           exif_block(0),
                                  exif_block(9), exif_block(-1), std::string("II*\0\xff\xff\xff\xff", 8)};
  for (size_t n = 4; n < 18; ++n) blocks.push_back(whole.substr(0, n));
  whole[14] = 2;  // two numbers where one is expected
  blocks.push_back(whole);
  Values lying = values_of(jpeg_bytes(slopes(5, 9, 3), {}));
  for (const std::string& block : blocks) {
    CAPTURE(block.size());
    CHECK(values_of(jpeg_bytes(slopes(5, 9, 3), {.exif = block})) == lying);
  }
}

TEST_CASE("JPEG in inks: as Pillow's convert(\"RGB\") of what Adobe's programs write, inverted") {
  Tensor inks = Tensor::empty({8, 8, 4}, DType::u8);  // flat, so that it comes back as it is
  for (int64_t i = 0; i < inks.numel(); ++i)
    inks.mutable_data<uint8_t>()[i] = std::vector<uint8_t>{225, 165, 55, 195}[static_cast<size_t>(i % 4)];
  for (J_COLOR_SPACE space : {JCS_CMYK, JCS_YCCK}) {
    Values x = values_of(jpeg_bytes(inks, {.from = JCS_CMYK, .to = space, .quality = 100}));
    REQUIRE(x.size() == 8 * 8 * 3);
    const int expected[] = {172, 126, 42};  // of the inks 30, 90, 200, 60
    for (size_t i = 0; i < x.size(); ++i) CHECK(std::abs(x[i] - expected[i % 3]) <= (space == JCS_CMYK ? 0 : 2));
  }
}

TEST_CASE("JPEG: what libjpeg warns of and leaves the pixels as they are is no damage") {
  std::string jpeg = jpeg_bytes(slopes(19, 37, 3), {});
  Values pixels = values_of(jpeg);
  size_t version = jpeg.find(std::string("JFIF\0\1", 6)) + 5;
  REQUIRE(version < 20);
  std::string other = jpeg;
  other[version] = 0;
  CHECK(values_of(other) == pixels);
  other = jpeg;
  other.insert(other.size() - 2, "extraneous bytes");  // before the mark of the end
  CHECK(values_of(other) == pixels);
  CHECK(values_of(jpeg + "what lies behind it") == pixels);
  std::string adobe = std::string("\xff\xee\0\x0e", 4) + "Adobe" + std::string("\0\x64\0\0\0\0\x07", 7);
  other = jpeg;
  other.insert(2, adobe);  // a transform that nobody knows
  CHECK(values_of(other) == pixels);
}

TEST_CASE("WebP: without loss, with opacity, turned; of an animation the first frame") {
  using namespace samples;
  CHECK(values_of(bytes_of(webp_rgb)) == rgb);
  CHECK(decode(bytes_of(webp_exif6)).shape() == Shape{3, 2, 3});
  CHECK(values_of(bytes_of(webp_exif6)) == rgb_turned);
  CHECK(values_of(bytes_of(webp_rgba)) == rgba_over_white);
  CHECK(values_of(bytes_of(webp_animation)) == rgb);
}

TEST_CASE("GIF: palettes, rows interlaced, what is transparent; of an animation the first frame") {
  using namespace samples;
  CHECK(values_of(bytes_of(gif_rgb)) == rgb);
  CHECK(decode(bytes_of(gif_grey)).shape() == Shape{2, 3, 1});
  CHECK(values_of(bytes_of(gif_grey)) == grey);
  Values seen_through = rgb;
  seen_through[3] = seen_through[4] = seen_through[5] = 255;
  CHECK(values_of(bytes_of(gif_transparent)) == seen_through);
  CHECK(values_of(bytes_of(gif_animation)) == rgb);
  CHECK(values_of(bytes_of(gif_interlaced)) == Values{0, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200});
}

TEST_CASE("TIFF: packed or not, grey, 16 bits, opacity, turned") {
  using namespace samples;
  CHECK(values_of(bytes_of(tiff_rgb)) == rgb);
  CHECK(values_of(bytes_of(tiff_lzw)) == rgb);
  CHECK(decode(bytes_of(tiff_grey)).shape() == Shape{2, 3, 1});
  CHECK(values_of(bytes_of(tiff_grey)) == grey);
  CHECK(values_of(bytes_of(tiff_exif6)) == rgb_turned);
  CHECK(values_of(bytes_of(tiff_rgba)) == rgba_over_white);
  CHECK(values_of(bytes_of(tiff_16)) == Values{0, 128, 255});
}

TEST_CASE("BMP and PNM") {
  using namespace samples;
  CHECK(values_of(bytes_of(bmp_rgb)) == rgb);
  CHECK(values_of(bytes_of(bmp_palette)) == rgb);
  CHECK(values_of(bytes_of(bmp_1)) == Values{0, 0, 255, 0, 0, 0});
  CHECK(values_of("P6 3 2 255\n" + std::string(rgb.begin(), rgb.end())) == rgb);
  CHECK(values_of("P3\n# a remark\n1 2 255\n1 2 3\n4 5 6\n") == Values{1, 2, 3, 4, 5, 6});
  CHECK(values_of("P2 3 1 15 0 6 15") == Values{0, 102, 255});
  CHECK(values_of("P5 2 1 65535\n" + std::string("\x80\0\xff\xff", 4)) == Values{128, 255});
  CHECK(values_of("P1 3 1 1 0 1") == Values{0, 255, 0});
  CHECK(values_of("P4 3 1\n" + std::string(1, '\x40')) == Values{255, 0, 255});
  CHECK(decode("P5 2 1 255\n01").shape() == Shape{1, 2, 1});
}

TEST_CASE("other kinds cut short: refused, and not filled up") {
  using namespace samples;
  for (std::string_view digits : {webp_rgb, webp_rgba, gif_rgb, tiff_rgb, tiff_lzw, bmp_rgb, bmp_palette}) {
    std::string whole = bytes_of(digits);
    Values pixels = values_of(whole);
    for (size_t n = 0; n < whole.size(); ++n) {
      CAPTURE(whole.substr(0, 4));
      CAPTURE(n);
      std::string why = refusal(whole.substr(0, n));
      if (why.find("some.file") != std::string::npos) continue;
      // what ends a GIF, or pads a row or a directory, may be missing
      CHECK(n + 24 > whole.size());
      CHECK(values_of(whole.substr(0, n)) == pixels);
    }
  }
  CHECK_REFUSED("P6 3 2 255\nto few", "not a readable PNM image: ");
  CHECK_REFUSED("P5 3 2 0\n......", "not a readable PNM image: ");
}

TEST_CASE("other kinds: a header that claims a large image costs nothing") {
  auto claim = [](std::string_view digits, size_t at, std::string_view size) {
    return samples::bytes_of(digits).replace(at, size.size(), size);
  };
  CHECK_REFUSED(claim(samples::gif_rgb, 6, "\xff\xff\xff\xff"), "65535 × 65535 pixels, more than the 64 million");
  CHECK_REFUSED(claim(samples::bmp_rgb, 18, std::string_view("\0\0\1\0\0\0\1\0", 8)), "65536 × 65536 pixels");
  CHECK_REFUSED(claim(samples::webp_animation, 24, std::string_view("\xff\x0f\0\xff\x0f\0", 6)),
                "4096 × 4096 pixels cannot come of 216 bytes");
  CHECK_REFUSED("P6 100000 100000 255\n...", "100000 × 100000 pixels");
  CHECK_REFUSED("P6 8000 8000 255\n...", "8000 × 8000 pixels cannot come of 20 bytes");
}

TEST_CASE("kinds are told by their first bytes; text is none that begins as BMP or PNM does") {
  CHECK(kind_by_bytes("\xff\xd8\xff\xe0")->name == "JPEG");
  CHECK(kind_by_bytes("RIFF....WEBPVP8 ")->name == "WebP");
  CHECK(kind_by_bytes("RIFF....WAVE") == nullptr);
  CHECK(kind_by_bytes("BMW,Audi", false)->name == "BMP");
  CHECK(kind_by_bytes("BMW,Audi", true) == nullptr);
  CHECK(kind_by_bytes("") == nullptr);
  CHECK(kind_by_ending("A.JFIF")->name == "JPEG");
  CHECK(kind_by_ending("a.jp") == nullptr);
  CHECK(kind_by_ending("png") == nullptr);
  CHECK(is_image_name("x.tiff"));
  CHECK(!is_image_name("x.avif"));
  std::string avif = std::string("\0\0\0\x1c", 4) + "ftypavif";
  CHECK_REFUSED(
      avif,
      "a picture of kind AVIF, which is not read. Hint: convert to PNG, with ImageMagick: mogrify -format png");
}
