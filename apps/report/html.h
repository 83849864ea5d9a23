#pragma once
// Pieces of a page as its templates show them: escaped text, rounded numbers, facts, pictures inside the page.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace vapo::app {

using Json = nlohmann::ordered_json;

// Any text as HTML's text or attribute value: & < > " ' by reference; control characters except tab and newline become U+FFFD.
std::string escaped(std::string_view text);

// UTF-8 text of a number rounded to `digits` significant ones: "0.5", "12,350", "−1.235×10⁻⁷". Zeros at the end
// stand only where digits were rounded away: "0.5000" is not 0.5. "–" where it is not finite.
std::string rounded(double x, int digits = 4);
// "12,345": a comma every three digits from five digits on.
std::string grouped(int64_t n);

// A value of a result for value.html: a rounded number has its full value as title; arrays of scalars are lists
// with commas, null is "–".
Json value_view(const Json& value);
std::string text_of(const Json& value);  // the same without titles and markup
// An entry of facts.html: wider where its value needs it.
Json fact_view(const std::string& name, const Json& value);

std::string base64(std::string_view bytes);  // RFC 4648, padded

struct Pictures {
  std::vector<std::string> problems = {};  // what could not be shown, one line each
  int64_t shown = 0, missing = 0;          // named and not there or unreadable
};
// figure.html of a PNG or JPEG file, with its caption, which is the picture's text alternative too. A picture
// narrower than `least` is enlarged by the integer that brings it nearest below `least`, its pixels sharp. One that
// cannot be shown is told in its place and in the problems.
Json figure_view(const std::filesystem::path& file, const std::string& caption, int64_t least, Pictures& pictures);

}  // namespace vapo::app
