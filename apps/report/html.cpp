#include "apps/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <span>

#include "data/pictures/image_file.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"

namespace vapo::app {
namespace {

using Json = nlohmann::ordered_json;

void strip_zeros(std::string& decimal) {
  if (decimal.find('.') == std::string::npos) return;
  decimal.erase(decimal.find_last_not_of('0') + 1);
  if (decimal.back() == '.') decimal.pop_back();
}

// Commas in the integer part, where it has five digits or more.
void group(std::string& decimal) {
  size_t end = std::min(decimal.find('.'), decimal.size());
  if (end < 5) return;
  for (size_t at = end; at > 3;) decimal.insert(at -= 3, ",");
}

std::string superscript(int exponent) {
  constexpr const char* digits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string out = exponent < 0 ? "⁻" : "";
  for (char c : std::to_string(std::abs(exponent))) out += digits[c - '0'];
  return out;
}

std::string titled(const std::string& text, const std::string& full) {
  std::string plain = text;
  for (size_t at; (at = plain.find(',')) != std::string::npos;) plain.erase(at, 1);
  if (size_t minus = plain.find("−"); minus == 0) plain.replace(0, std::string("−").size(), "-");
  if (plain == full) return text;
  return fmt::format("<span title=\"{}\">{}</span>", escaped(full), text);
}

bool is_list(const Json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(), [](auto& v) { return v.is_primitive(); });
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default: {
        bool control = static_cast<unsigned char>(c) < 32 || c == 127;
        if (control && c != '\n' && c != '\t')
          out += "\uFFFD";
        else
          out += c;
      }
    }
  }
  return out;
}

std::string rounded(double x, int digits) {
  if (!std::isfinite(x)) return "–";
  if (x == 0) return "0";
  std::string scientific = fmt::format("{:.{}e}", std::abs(x), digits - 1);
  size_t e = scientific.find('e');
  std::string mantissa = scientific.substr(0, e);
  int exponent = std::stoi(scientific.substr(e + 1));
  double value = std::strtod(scientific.c_str(), nullptr);  // which takes what is below the normal numbers
  bool exact = std::abs(value - std::abs(x)) <= 1e-12 * value;
  std::string text;
  if (exponent >= -4 && exponent < 6) {
    text = fmt::format("{:.{}f}", value, std::max(0, digits - 1 - exponent));
    if (exact) strip_zeros(text);
    group(text);
  } else {
    if (exact) strip_zeros(mantissa);
    text = (mantissa == "1" ? "10" : mantissa + "×10") + superscript(exponent);
  }
  return (x < 0 ? "−" : "") + text;
}

std::string grouped(int64_t n) {
  std::string text = std::to_string(n);
  std::string digits = n < 0 ? text.substr(1) : text;
  group(digits);
  return (n < 0 ? "−" : "") + digits;
}

std::string value_html(const Json& value) {
  if (value.is_string()) return escaped(value.get_ref<const std::string&>());
  if (value.is_null()) return "<span title=\"no finite number\">–</span>";
  if (value.is_number_float()) return titled(rounded(value.get<double>()), value.dump());
  bool beyond = value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX};
  if (value.is_number_integer() && !beyond) return titled(grouped(value.get<int64_t>()), value.dump());
  if (is_list(value)) {
    std::string out;
    for (const Json& item : value) out += (out.empty() ? "" : ", ") + value_html(item);
    return out.empty() ? "none" : out;
  }
  if (value.is_structured()) return "<code>" + escaped(value.dump()) + "</code>";
  return value.dump();  // true, false, and integers beyond int64
}

std::string fact_html(std::string_view name, const std::string& html, size_t letters) {
  const char* width = letters > 48 ? " class=\"long\"" : letters > 17 ? " class=\"middling\"" : "";
  return fmt::format("<div{}><dt>{}</dt><dd>{}</dd></div>\n", width, escaped(name), html);
}

std::string base64(std::string_view bytes) {
  constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t n = std::min<size_t>(3, bytes.size() - i);
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k) word = word << 8 | (k < n ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += k <= n ? letters[word >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string picture_html(const std::filesystem::path& file, std::string_view alt, int64_t least) {
  std::string bytes = read_whole_file(file);
  Tensor image = data::decode_image(std::as_bytes(std::span(bytes)), file.string());
  int64_t scale = std::max<int64_t>(1, least / image.dim(1));
  return fmt::format("<img{} width=\"{}\" height=\"{}\" alt=\"{}\" src=\"data:image/{};base64,{}\">",
                     scale > 1 ? " class=\"pixels\"" : "", scale * image.dim(1), scale * image.dim(0), escaped(alt),
                     bytes.starts_with("\x89PNG") ? "png" : "jpeg", base64(bytes));
}

std::string problem_html(std::string_view text) { return "<p class=\"problem\">" + escaped(text) + "</p>\n"; }

std::string figure_html(const std::filesystem::path& file, const std::string& caption, int64_t least,
                        Section& section) {
  std::string picture;
  try {
    picture = picture_html(file, caption, least);
    ++section.pictures;
  } catch (const Error& e) {
    picture = problem_html(fmt::format("Not shown: {}", e.what()));
    section.problems.push_back(e.what());
    ++section.missing;
  }
  return fmt::format("<figure>{}\n<figcaption>{}</figcaption></figure>\n", picture, escaped(caption));
}

}  // namespace vapo::app
