#pragma once
// Options as keys "section.name": each with the place of its value, what that may be, and a line of help. Whatever
// reads, writes, compares or explains options walks such a list.

#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "tensor/names.h"

namespace vapo {

// What a number may be: from low (without it where `above`) to high.
struct Range {
  double low, high;
  bool above = false;
};
inline Range from(double low, double high) { return {low, high}; }
inline Range above(double low, double high) { return {low, high, true}; }

// One of several names, of an enumerator or of something else.
struct Choice {
  std::vector<std::string> names;  // "" stands for none, and is not shown
  std::function<std::string()> get;
  std::function<void(const std::string&)> set;
  std::vector<std::pair<std::string, std::string>> older =
      {};  // names of before, true and false too; what they are now
};

using NamesOrNumbers = std::vector<std::variant<int64_t, std::string>>;

struct Key {
  using Value = std::variant<bool*, int64_t*, double*, std::string*, std::vector<int64_t>*, std::vector<double>*,
                             NamesOrNumbers*, Choice>;
  std::string name;  // "section.name"
  Value value;       // where it lies: valid as long as the options are
  std::string help;
  Range range = {0, 0};       // of numbers, and of an array's elements
  bool may_be_empty = false;  // of arrays
  bool may_be_auto =
      false;  // "auto", which is kAuto, an empty array or a name: whoever uses the options chooses first
  std::string section() const { return name.substr(0, name.find('.')); }
};
inline constexpr int kAuto = -1;
bool is_auto(const Key& key);
using Keys = std::vector<Key>;
std::vector<std::string> sections_of(const Keys& keys);  // in the order in which they first come

// The forms that a key may take.
inline Key key(const char* name, bool& value, const char* help) { return {name, &value, help}; }
inline Key key(const char* name, std::string& text, const char* help) { return {name, &text, help}; }
inline Key key(const char* name, int64_t& value, Range range, const char* help) {
  return {name, &value, help, range};
}
inline Key key(const char* name, double& value, Range range, const char* help) {
  return {name, &value, help, range};
}
inline Key key(const char* name, std::vector<int64_t>& values, Range range, const char* help,
               bool may_be_empty = false) {
  return {name, &values, help, range, may_be_empty};
}
inline Key key(const char* name, std::vector<double>& values, Range range, const char* help) {
  return {name, &values, help, range};
}
inline Key key(const char* name, NamesOrNumbers& values, const char* help) { return {name, &values, help}; }
inline Key or_auto(Key key) {
  key.may_be_auto = true;
  return key;
}
template <Named E>
Key key(const char* name, E& value, const char* help) {
  return {name,
          Choice{all_names<E>(), [&value] { return std::string(name_of(value)); },
                 [&value](const std::string& chosen) { value = from_name<E>(chosen); }},
          help};
}

}  // namespace vapo
