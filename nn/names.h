#pragma once
// Names in configs and on command lines → enumerators.

#include <string>
#include <utility>

#include "tensor/check.h"

namespace vapo::nn {

template <class E, size_t n>
E value_from_name(const char* what, const std::string& name, const std::pair<const char*, E> (&table)[n]) {
  std::string known;
  for (const auto& [key, value] : table) {
    if (name == key) return value;
    known += known.empty() ? key : fmt::format(", {}", key);
  }
  throw InputError(fmt::format("unknown {} '{}': expected one of {}", what, name, known));
}

}  // namespace vapo::nn
