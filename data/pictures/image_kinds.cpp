#include "data/pictures/image_kinds.h"

#include <fmt/format.h>

#include <algorithm>

#include "data/pictures/codecs.h"

namespace vapo::data {
namespace {

using namespace std::string_view_literals;

constexpr ImageKind kinds[] = {
    {"PNG", ".png ", {"\x89PNG\r\n\x1a\n"sv}, detail::decode_png},
    {"JPEG", ".jpg .jpeg .jpe .jfif ", {"\xff\xd8\xff"sv}, detail::decode_jpeg},
    {"WebP", ".webp ", {"RIFF????WEBP"sv}, detail::decode_webp},
    {"GIF", ".gif ", {"GIF87a"sv, "GIF89a"sv}, detail::decode_gif},
    {"TIFF", ".tif .tiff ", {"II*\0"sv, "MM\0*"sv}, detail::decode_tiff},
    {"BMP", ".bmp .dib ", {"BM"sv}, detail::decode_bmp},
    {"PNM", ".ppm .pgm .pbm .pnm ", {"P1"sv, "P2"sv, "P3"sv, "P4"sv, "P5"sv, "P6"sv}, detail::decode_pnm},
    {"AVIF", ".avif ", {"????ftypavif"sv, "????ftypavis"sv}, nullptr},
    {"HEIC", ".heic .heif ", {"????ftyphei"sv, "????ftypmif1"sv, "????ftyphevc"sv}, nullptr},
    {"JPEG XL", ".jxl ", {"\0\0\0\x0cJXL "sv, "\xff\x0a"sv}, nullptr},
    {"JPEG 2000", ".jp2 .j2k ", {"\0\0\0\x0cjP  "sv, "\xff\x4f\xff\x51"sv}, nullptr},
    {"Photoshop", ".psd ", {"8BPS"sv}, nullptr},
    {"icon", ".ico ", {"\0\0\1\0"sv}, nullptr},
    {"SVG", ".svg ", {"<svg"sv}, nullptr},
};

bool begins_with(std::string_view bytes, std::string_view beginning) {
  if (beginning.empty() || bytes.size() < beginning.size()) return false;
  for (size_t i = 0; i < beginning.size(); ++i)
    if (beginning[i] != '?' && bytes[i] != beginning[i]) return false;
  return true;
}

template <class F>
const ImageKind* first_kind(const F& fits) {
  const ImageKind* found = std::find_if(std::begin(kinds), std::end(kinds), fits);
  return found == std::end(kinds) ? nullptr : found;
}

}  // namespace

const ImageKind* kind_by_bytes(std::string_view first_bytes, bool sure) {
  return first_kind([&](const ImageKind& kind) {
    return std::any_of(std::begin(kind.beginnings), std::end(kind.beginnings), [&](std::string_view beginning) {
      return (!sure || beginning.size() > 2) && begins_with(first_bytes, beginning);
    });
  });
}

std::string lower_case_ending(const std::filesystem::path& file) {
  std::string ending = file.extension().string();
  for (char& c : ending)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return ending;
}

const ImageKind* kind_by_ending(const std::filesystem::path& file) {
  std::string ending = lower_case_ending(file) + ' ';
  if (ending.size() < 3) return nullptr;
  return first_kind([&](const ImageKind& kind) { return kind.endings.find(ending) != kind.endings.npos; });
}

bool is_image_name(const std::filesystem::path& file) {
  const ImageKind* kind = kind_by_ending(file);
  return kind && kind->is_read();
}

std::string kinds_read() {
  std::string out;
  for (const ImageKind& kind : kinds)
    if (kind.is_read()) out += fmt::format("{}{}", out.empty() ? "" : ", ", kind.name);
  return out;
}

std::string conversion_hint(std::string_view ending) {
  return fmt::format("Hint: convert to PNG, with ImageMagick: mogrify -format png *{}", ending);
}

}  // namespace vapo::data
