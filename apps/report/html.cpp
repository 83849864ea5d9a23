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

Json item(const std::string& text, const Json& full = nullptr) {
  return {{"text", text}, {"full", full}, {"comma", false}};
}

// A rounded number, with its full value where that is another text.
Json titled(const std::string& text, const std::string& full) {
  std::string plain = text;
  for (size_t at; (at = plain.find(',')) != std::string::npos;) plain.erase(at, 1);
  if (size_t minus = plain.find("−"); minus == 0) plain.replace(0, std::string("−").size(), "-");
  return item(text, plain == full ? Json(nullptr) : Json(full));
}

Json scalar(const Json& value) {
  if (value.is_string()) return item(value.get<std::string>());
  if (value.is_null()) return item("–", "no finite number");
  if (value.is_number_float()) return titled(rounded(value.get<double>()), value.dump());
  bool beyond = value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX};
  if (value.is_number_integer() && !beyond) return titled(grouped(value.get<int64_t>()), value.dump());
  return item(value.dump());  // true, false, and integers beyond int64
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

Json value_view(const Json& value) {
  if (is_list(value)) {
    Json items = Json::array();
    for (const Json& part : value) {
      items.push_back(scalar(part));
      items.back()["comma"] = items.size() > 1;
    }
    if (items.empty()) items.push_back(item("none"));
    return {{"code", nullptr}, {"items", items}};
  }
  if (value.is_structured()) return {{"code", value.dump()}, {"items", Json::array()}};
  return {{"code", nullptr}, {"items", Json::array({scalar(value)})}};
}

std::string text_of(const Json& value) {
  Json view = value_view(value);
  std::string out = view["code"].is_string() ? view["code"].get<std::string>() : "";
  for (const Json& part : view["items"]) out += (out.empty() ? "" : ", ") + part["text"].get<std::string>();
  return out;
}

Json fact_view(const std::string& name, const Json& value) {
  size_t letters = value.is_string()       ? value.get_ref<const std::string&>().size()
                   : value.is_structured() ? value.dump().size()
                                           : 0;
  Json fact = value_view(value);
  fact["name"] = name;
  fact["width"] = letters > 48 ? "long" : letters > 17 ? "middling" : "";
  return fact;
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

Json figure_view(const std::filesystem::path& file, const std::string& caption, int64_t least, Pictures& pictures) {
  Json figure = {{"caption", caption}, {"picture", nullptr}, {"problem", nullptr}};
  try {
    std::string bytes = read_whole_file(file);
    Tensor image = data::decode_image(std::as_bytes(std::span(bytes)), file.string());
    int64_t scale = std::max<int64_t>(1, least / image.dim(1));
    figure["picture"] = {{"pixels", scale > 1},
                         {"width", scale * image.dim(1)},
                         {"height", scale * image.dim(0)},
                         {"type", bytes.starts_with("\x89PNG") ? "png" : "jpeg"},
                         {"bytes", base64(bytes)}};
    ++pictures.shown;
  } catch (const Error& e) {
    figure["problem"] = fmt::format("Not shown: {}", e.what());
    pictures.problems.push_back(e.what());
    ++pictures.missing;
  }
  return figure;
}

}  // namespace vapo::app
