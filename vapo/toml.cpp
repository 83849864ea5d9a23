#include "vapo/toml.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "tensor/check.h"
#include "tensor/io/printable.h"

namespace vapo {
namespace {

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>  // Clang needs it said before its version 17
Overloaded(F...)->Overloaded<F...>;

std::string as_text(const toml::node& node) {
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  std::string text = out.str();
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32) c = ' ';
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names)
    if (!name.empty()) out += (out.empty() ? "" : ", ") + name;
  return out;
}

// Values of a TOML table by dotted key, and the names of its sections.
struct Values {
  std::map<std::string, const toml::node*> leaves, sections;
  void collect(const toml::table& table, const std::string& prefix) {
    for (const auto& [key, node] : table) {
      std::string name = prefix + std::string(key.str());
      if (key.str().find('.') != std::string_view::npos) name = fmt::format("{}\"{}\"", prefix, key.str());
      if (const toml::table* inner = node.as_table()) {
        sections[name] = &node;
        collect(*inner, name + ".");
      } else {
        leaves[name] = &node;
      }
    }
  }
};

void set_auto(const Key& key) {
  std::visit(Overloaded{[](int64_t* v) { *v = kAuto; }, [](double* v) { *v = kAuto; },
                        [](std::vector<int64_t>* v) { v->clear(); }, [](const Choice& v) { v.set("auto"); },
                        [](const auto&) {}},
             key.value);
}

// Moves the values of a table to where keys lie.
class Reader {
 public:
  Reader(const Values& values, std::string source, bool has_lines, std::string raw = {})
      : values_(values), source_(std::move(source)), has_lines_(has_lines), raw_(std::move(raw)) {}

  void read(const Keys& keys) {
    for (const Key& key : keys) {
      auto it = values_.leaves.find(key.name);
      if (it == values_.leaves.end()) continue;
      const toml::node& node = *it->second;
      if (key.may_be_auto && node.value_exact<std::string>() == "auto") {
        set_auto(key);
      } else {
        std::visit([&](auto& place) { take(key, node, place); }, key.value);
      }
    }
  }

  void refuse_others_than(const Keys& keys) const {
    for (const auto* named : {&values_.sections, &values_.leaves})
      for (const auto& [name, node] : *named) {
        bool section = named == &values_.sections;
        bool known = std::any_of(keys.begin(), keys.end(), [&name = name, section](const Key& key) {
          return section ? key.section() == name : key.name == name;
        });
        if (!known) unknown(name, *node, keys);
      }
  }

 private:
  void take(const Key& key, const toml::node& node, bool* place) const {
    if (!node.is_boolean()) wrong(key, node, "must be true or false");
    *place = *node.value_exact<bool>();
  }
  void take(const Key& key, const toml::node& node, int64_t* place) const { *place = integer(key, node); }
  void take(const Key& key, const toml::node& node, double* place) const { *place = real(key, node); }
  void take(const Key& key, const toml::node& node, std::string* place) const { *place = text(key, node); }
  void take(const Key& key, const toml::node& node, std::vector<int64_t>* place) const {
    const toml::array* array = node.as_array();
    if (!array || (array->empty() && !key.may_be_empty) || array->size() > 64)
      wrong(key, node, fmt::format("must be an array of {} to 64 integers", key.may_be_empty ? 0 : 1));
    place->clear();
    for (const toml::node& item : *array) place->push_back(integer(key, item));
  }
  void take(const Key& key, const toml::node& node, std::vector<double>* place) const {  // or one without []
    const toml::array* array = node.as_array();
    if (array && (array->empty() || array->size() > 64)) wrong(key, node, "must be an array of 1 to 64 numbers");
    std::vector<double> taken;
    if (array)
      for (const toml::node& item : *array) taken.push_back(real(key, item));
    else
      taken.push_back(real(key, node));
    *place = taken;
  }
  void take(const Key& key, const toml::node& node, NamesOrNumbers* place) const {
    NamesOrNumbers taken;
    auto take_one = [&](const toml::node& item) {
      if (auto number = item.value_exact<int64_t>(); number && *number > 0)
        taken.push_back(*number);
      else if (auto name = item.value_exact<std::string>())
        taken.push_back(*name);
      else
        wrong(key, node, "must be a name, or an array of names in quotes and of numbers from 1");
    };
    if (const toml::array* array = node.as_array())
      for (const toml::node& item : *array) take_one(item);
    else
      take_one(node);
    *place = taken;
  }
  void take(const Key& key, const toml::node& node, const Choice& choice) const {
    std::string chosen = node.is_boolean() ? as_text(node) : text(key, node);
    for (const auto& [before, now] : choice.older)
      if (chosen == before) chosen = now;
    if (!std::count(choice.names.begin(), choice.names.end(), chosen))
      wrong(key, node, fmt::format("must be one of: {}", joined(choice.names)));
    choice.set(chosen);
  }

  std::string text(const Key& key, const toml::node& node) const {
    if (auto given = node.value_exact<std::string>()) return *given;
    if (raw_.empty()) wrong(key, node, "must be a string in quotes");
    return raw_;  // --set data.path=2024 means the file of that name
  }
  double real(const Key& key, const toml::node& node) const {
    if (!node.is_number()) wrong(key, node, "must be a number");
    double x = *node.value<double>();
    const Range& r = key.range;
    if (!std::isfinite(x) || x > r.high || !(r.above ? x > r.low : x >= r.low))
      wrong(key, node,
            fmt::format("must be a number {} {} and at most {}", r.above ? "above" : "of at least", r.low, r.high));
    return x;
  }
  int64_t integer(const Key& key, const toml::node& node) const {
    auto x = node.value_exact<int64_t>();
    const Range& r = key.range;
    if (!x || static_cast<double>(*x) < r.low || static_cast<double>(*x) > r.high)
      wrong(key, node,
            fmt::format("must be an integer from {} to {}", static_cast<int64_t>(r.low),
                        static_cast<int64_t>(r.high)));
    return *x;
  }
  std::string place_of(const toml::node& node) const {
    return has_lines_ ? fmt::format("{}:{}", source_, node.source().begin.line) : source_;
  }
  [[noreturn]] void wrong(const Key& key, const toml::node& node, const std::string& what) const {
    throw InputError(fmt::format("{}: {} = {}: {}{}", place_of(node), key.name, as_text(node), what,
                                 key.may_be_auto ? ", or 'auto'" : ""));
  }
  [[noreturn]] void unknown(const std::string& name, const toml::node& node, const Keys& keys) const {
    std::string section = name.substr(0, name.find('.'));
    std::set<std::string> near, sections;
    for (const Key& key : keys) {
      if (key.name == name)
        throw InputError(fmt::format("{}: {} must be a value, not a table", place_of(node), name));
      sections.insert(key.section());
      if (key.section() == section) near.insert(key.name.substr(section.size() + 1));
    }
    if (name != section && !near.empty())
      throw InputError(fmt::format("{}: unknown key {}. Hint: [{}] has {}", place_of(node), printable(name),
                                   section, joined({near.begin(), near.end()})));
    throw InputError(fmt::format("{}: unknown key {}. Hint: the sections are {}", place_of(node), printable(name),
                                 joined({sections.begin(), sections.end()})));
  }

  const Values& values_;
  std::string source_;
  bool has_lines_;
  std::string raw_;
};

std::string quoted(const std::string& text) {
  std::ostringstream out;
  out << toml::value<std::string>(text);
  return out.str();
}

// f(key, its name without the section) of every key, section by section, with "[section]" lines between.
template <class F>
std::string by_section(const Keys& keys, const F& f) {
  std::string out;
  for (const std::string& section : sections_of(keys)) {
    out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", section);
    for (const Key& key : keys)
      if (key.section() == section) out += f(key, key.name.substr(section.size() + 1));
  }
  return out;
}

std::string possible_values(const Key& key) {
  auto number = [&](const char* what) {
    const Range& r = key.range;
    std::string bounds = r.high >= 1e9 ? fmt::format("{} {}", r.above ? "above" : "from", r.low)
                                       : fmt::format("{} {} to {}", r.above ? "above" : "from", r.low, r.high);
    return fmt::format("{} {}", what, r.low <= -1e9 ? "of any size" : bounds);
  };
  std::string values = std::visit(
      Overloaded{[](bool*) -> std::string { return "true or false"; },
                 [](std::string*) -> std::string { return "text"; }, [&](int64_t*) { return number("integer"); },
                 [&](double*) { return number("number"); },
                 [&](std::vector<int64_t>*) { return number("integers"); },
                 [&](std::vector<double>*) { return number("numbers"); },
                 [](NamesOrNumbers*) -> std::string { return "a name, or names and numbers from 1 in []"; },
                 [](const Choice& choice) { return joined(choice.names); }},
      key.value);
  return values + (key.may_be_auto ? ", or 'auto': chosen from a table's rows" : "");
}

}  // namespace

bool is_auto(const Key& key) {
  return key.may_be_auto &&
         std::visit(
             Overloaded{[](int64_t* v) { return *v == kAuto; }, [](double* v) { return *v == kAuto; },
                        [](std::vector<int64_t>* v) { return v->empty(); },
                        [](const Choice& v) { return v.get() == "auto"; }, [](const auto&) { return false; }},
             key.value);
}

std::vector<std::string> sections_of(const Keys& keys) {
  std::vector<std::string> out;
  for (const Key& key : keys)
    if (!std::count(out.begin(), out.end(), key.section())) out.push_back(key.section());
  return out;
}

void read_toml(std::string_view text, const std::string& name, const Keys& keys, UnknownKeys unknown) {
  toml::table table;
  try {
    table = toml::parse(text, std::string_view(name));
  } catch (const toml::parse_error& e) {
    throw InputError(fmt::format("{}:{}: {}", name, e.source().begin.line, printable(e.description(), 200)));
  }
  Values values;
  values.collect(table, "");
  Reader reader(values, name, true);
  reader.read(keys);
  if (unknown == UnknownKeys::refuse) reader.refuse_others_than(keys);
}

void set_value(const Keys& keys, const std::string& key, const std::string& text, const std::string& source) {
  toml::table table;
  try {
    table = toml::parse("value = " + text);
  } catch (const toml::parse_error&) {
  }
  if (table.size() != 1) {
    table.clear();
    table.insert("value", text);
  }
  Values values;
  values.leaves[key] = table.get("value");
  Reader reader(values, source, false, text);
  reader.read(keys);
  reader.refuse_others_than(keys);
}

std::string toml_value(const Key& key) {
  if (is_auto(key)) return quoted("auto");
  return std::visit(
      Overloaded{[](const bool* v) -> std::string { return *v ? "true" : "false"; },
                 [](const std::string* v) { return quoted(*v); },
                 [](const std::vector<int64_t>* v) { return fmt::format("[{}]", fmt::join(*v, ", ")); },
                 [](const std::vector<double>* v) { return fmt::format("[{}]", fmt::join(*v, ", ")); },
                 [](const NamesOrNumbers* v) {
                   auto one = Overloaded{[](int64_t number) { return fmt::format("{}", number); },
                                         [](const std::string& name) { return quoted(name); }};
                   std::string out;
                   for (const auto& item : *v) out += (out.empty() ? "" : ", ") + std::visit(one, item);
                   return "[" + out + "]";
                 },
                 [](const Choice& v) { return quoted(v.get()); },
                 [](const auto* v) { return fmt::format("{}", *v); }},
      key.value);
}

std::string to_toml(const Keys& keys) {
  return by_section(keys, [](const Key& key, const std::string& name) {
    return fmt::format("{} = {}\n", name, toml_value(key));
  });
}

std::string help_of(const Keys& keys) {
  return by_section(keys, [](const Key& key, const std::string& name) {
    return fmt::format("{} = {}\n    {}\n    ({})\n", name, toml_value(key), key.help, possible_values(key));
  });
}

Keys without_unused_networks(Keys keys, const PotentialOptions& used) {
  PotentialOptions untouched;
  Keys defaults;
  add_keys(defaults, untouched);
  auto as_by_default = [&](const std::string& section) {
    for (const Key& key : keys)
      for (const Key& other : defaults)
        if (key.section() == section && key.name == other.name && toml_value(key) != toml_value(other))
          return false;
    return true;
  };
  for (const std::string& network : all_names<PotentialOptions::Network>())
    if (network != name_of(used.network) && as_by_default(network))
      std::erase_if(keys, [&](const Key& key) { return key.section() == network; });
  return keys;
}

Recipe parse_recipe(std::string_view text, const std::string& name, UnknownKeys unknown) {
  Recipe recipe;
  read_toml(text, name, keys_of(recipe), unknown);
  return recipe;
}

std::string to_toml(const Recipe& recipe) {
  Recipe copy = recipe;
  return to_toml(without_unused_networks(keys_of(copy), copy.potential));
}

}  // namespace vapo
