#pragma once
// Pieces of an HTML page: escaped text, rounded numbers, pictures inside the page.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace vapo::app {

struct Section {  // of a page
  std::string id, title = {}, html = {};
  std::vector<std::string> problems = {};  // what could not be shown, one line each
  int64_t pictures = 0, missing = 0;       // shown; named and not there or unreadable
};

// Any text as HTML's text or attribute value: & < > " ' by reference; control characters except tab and newline
// become U+FFFD.
std::string escaped(std::string_view text);

// UTF-8 text of a number rounded to `digits` significant ones: "0.5", "12,350", "−1.235×10⁻⁷". Zeros at the end
// stand only where digits were rounded away: "0.5000" is not 0.5. "–" where it is not finite.
std::string rounded(double x, int digits = 4);
// "12,345": a comma every three digits from five digits on.
std::string grouped(int64_t n);

// An entry of <dl class="facts">: wider where the value, `letters` long, needs it.
std::string fact_html(std::string_view name, const std::string& html, size_t letters);

// A value of a result as HTML: a rounded number has its full value as title; arrays of scalars are lists with
// commas, null is "–".
std::string value_html(const nlohmann::ordered_json& value);

std::string base64(std::string_view bytes);  // RFC 4648, padded

// An <img> that holds the picture, a PNG or JPEG file: "data:image/png;base64,…". A picture narrower than `least`
// is enlarged by the integer that brings it nearest below `least`, its pixels sharp. Throws IoError or InputError
// naming the file where it cannot be decoded.
std::string picture_html(const std::filesystem::path& file, std::string_view alt, int64_t least = 0);
// <figure> with the picture and its caption, which is the picture's text alternative too; a picture that cannot be
// shown is told in its place and in the section's problems.
std::string figure_html(const std::filesystem::path& file, const std::string& caption, int64_t least,
                        Section& section);
std::string problem_html(std::string_view text);

}  // namespace vapo::app
