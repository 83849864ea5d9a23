#pragma once
// Names of enumerators, in configs, on command lines and in messages: one table for each enum, beside it:
//   constexpr auto names_of(OdeMethod) {
//     return name_table<OdeMethod>("ode method", {{"euler", OdeMethod::euler}, …});
//   }

#include <array>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tensor/check.h"

namespace vapo {

template <class E, size_t n>
struct NameTable {
  const char* what;  // the names are of, in messages
  std::array<std::pair<const char*, E>, n> entries;
};
template <class E, size_t n>
constexpr NameTable<E, n> name_table(const char* what, const std::pair<const char*, E> (&entries)[n]) {
  return {what, std::to_array(entries)};
}

// Enums that have a table.
template <class E>
concept Named = std::is_enum_v<E> && requires(E e) {
  names_of(e).entries;
};

template <Named E>
std::vector<std::string> all_names() {
  std::vector<std::string> out;
  for (const auto& [name, value] : names_of(E{}).entries) out.emplace_back(name);
  return out;
}

template <Named E>
constexpr std::string_view name_of(E e) {
  for (const auto& [name, value] : names_of(E{}).entries)
    if (value == e) return name;
  return "?";
}

// Throws InputError listing the names.
template <Named E>
E from_name(std::string_view name) {
  for (const auto& [known, value] : names_of(E{}).entries)
    if (name == known) return value;
  std::string known;
  for (const std::string& each : all_names<E>()) known += (known.empty() ? "" : ", ") + each;
  throw InputError(fmt::format("unknown {} '{}': expected one of {}", names_of(E{}).what, name, known));
}

}  // namespace vapo
