#pragma once
// Names and texts from files, in messages of one line.

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace vapo {

// At most `most` bytes of `text`, what is not printable ASCII as \x and two digits.
inline std::string printable(std::string_view text, size_t most = 60) {
  std::string out;
  for (char c : text.substr(0, most)) {
    auto byte = static_cast<unsigned char>(c);
    if (byte < 32 || byte >= 127)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  if (text.size() > most) out += "...";
  return out;
}

}  // namespace vapo
