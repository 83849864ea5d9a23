#include "apps/run/config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <type_traits>

#include "apps/run/config_keys.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"

namespace vapo::app {
namespace {

std::string as_text(const toml::node& node) {
  std::ostringstream out;
  node.visit([&](const auto& value) { out << value; });
  std::string text = out.str();
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32) c = ' ';
  return text.size() > 60 ? text.substr(0, 57) + "..." : text;
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

// Moves the values of a table into a Config.
class Reader {
 public:
  Reader(const Values& values, std::string source, bool has_lines, std::string raw = {})
      : values_(values), source_(std::move(source)), has_lines_(has_lines), raw_(std::move(raw)) {}

  void operator()(const char* key, std::string& value, const Limits& limits) {
    const toml::node* node = find(key);
    if (!node) return;
    if (auto text = node->value_exact<std::string>()) {
      value = *text;
    } else if (!raw_.empty()) {
      value = raw_;  // --set data.path=2024 means the file of that name
    } else {
      wrong(key, *node, "must be a string in quotes");
    }
    const auto& choices = limits.choices;
    if (choices.empty() || std::count(choices.begin(), choices.end(), value)) return;
    std::vector<std::string> shown;
    std::copy_if(choices.begin(), choices.end(), std::back_inserter(shown), [](auto& c) { return !c.empty(); });
    wrong(key, *node, fmt::format("must be one of: {}", fmt::join(shown, ", ")));
  }
  void operator()(const char* key, int64_t& value, const Limits& limits) {
    if (const toml::node* node = find(key)) value = integer(key, *node, limits);
  }
  void operator()(const char* key, double& value, const Limits& limits) {
    const toml::node* node = find(key);
    if (!node) return;
    if (!node->is_number()) wrong(key, *node, "must be a number");
    double x = *node->value<double>();
    bool inside = std::isfinite(x) && (limits.above ? x > limits.low : x >= limits.low) && x <= limits.high;
    if (!inside) {
      wrong(key, *node,
            fmt::format("must be a number {} {} and at most {}", limits.above ? "above" : "of at least", limits.low,
                        limits.high));
    }
    value = x;
  }
  void operator()(const char* key, bool& value, const Limits&) {
    const toml::node* node = find(key);
    if (!node) return;
    if (!node->is_boolean()) wrong(key, *node, "must be true or false");
    value = *node->value_exact<bool>();
  }
  void operator()(const char* key, std::vector<int64_t>& value, const Limits& limits) {
    const toml::node* node = find(key);
    if (!node) return;
    const toml::array* array = node->as_array();
    if (!array || (array->empty() && !limits.may_be_empty) || array->size() > 64)
      wrong(key, *node, fmt::format("must be an array of {} to 64 integers", limits.may_be_empty ? 0 : 1));
    value.clear();
    for (const toml::node& item : *array) value.push_back(integer(key, item, limits));
  }

  // After all keys were visited: what is left is unknown.
  void refuse_the_rest() const {
    for (const auto& [name, node] : values_.sections)
      if (!known_sections_.count(name)) unknown(name, *node);
    for (const auto& [name, node] : values_.leaves)
      if (!known_.count(name)) unknown(name, *node);
  }

 private:
  const toml::node* find(const std::string& key) {
    known_.insert(key);
    known_sections_.insert(key.substr(0, key.find('.')));
    auto it = values_.leaves.find(key);
    return it == values_.leaves.end() ? nullptr : it->second;
  }
  int64_t integer(const char* key, const toml::node& node, const Limits& limits) const {
    auto x = node.value_exact<int64_t>();
    if (!x || static_cast<double>(*x) < limits.low || static_cast<double>(*x) > limits.high) {
      wrong(key, node,
            fmt::format("must be an integer from {} to {}", static_cast<int64_t>(limits.low),
                        static_cast<int64_t>(limits.high)));
    }
    return *x;
  }
  std::string place(const toml::node& node) const {
    return has_lines_ ? fmt::format("{}:{}", source_, node.source().begin.line) : source_;
  }
  [[noreturn]] void wrong(const char* key, const toml::node& node, const std::string& what) const {
    throw InputError(fmt::format("{}: {} = {}: {}", place(node), key, as_text(node), what));
  }
  [[noreturn]] void unknown(const std::string& name, const toml::node& node) const {
    std::string section = name.substr(0, name.find('.'));
    std::vector<std::string> near;
    if (known_.count(name)) throw InputError(fmt::format("{}: {} must be a value, not a table", place(node), name));
    if (name != section && known_sections_.count(section)) {
      for (const std::string& key : known_)
        if (key.starts_with(section + ".")) near.push_back(key.substr(section.size() + 1));
      throw InputError(fmt::format("{}: unknown key {}. Hint: [{}] has {}", place(node), printable(name), section,
                                   fmt::join(near, ", ")));
    }
    throw InputError(fmt::format("{}: unknown key {}. Hint: the sections are {}", place(node), printable(name),
                                 fmt::join(known_sections_, ", ")));
  }

  const Values& values_;
  std::string source_;
  bool has_lines_;
  std::string raw_;
  std::set<std::string> known_, known_sections_;
};

// The inverse: a Config as text, in the order of for_each_key.
struct Writer {
  std::set<std::string> left_out = {};  // sections
  std::string text = {}, section = {};
  template <class T>
  void operator()(const std::string& key, const T& value, const Limits&) {
    size_t dot = key.find('.');
    if (left_out.count(key.substr(0, dot))) return;
    if (key.substr(0, dot) != section) {
      text += fmt::format("{}[{}]\n", section.empty() ? "" : "\n", key.substr(0, dot));
      section = key.substr(0, dot);
    }
    text += fmt::format("{} = {}\n", key.substr(dot + 1), written(value));
  }
  static std::string written(const std::vector<int64_t>& v) { return fmt::format("[{}]", fmt::join(v, ", ")); }
  static std::string written(int64_t v) { return fmt::format("{}", v); }
  static std::string written(bool v) { return v ? "true" : "false"; }
  static std::string written(double v) {
    return fmt::format("{}", v);
  }  // the shortest text that reads back the same
  static std::string written(const std::string& v) {
    std::ostringstream out;
    out << toml::value<std::string>(v);
    return out.str();
  }
};

// Every key with its value as text.
struct Listing {
  std::vector<std::pair<std::string, std::string>> lines = {};
  template <class T>
  void operator()(const std::string& key, const T& value, const Limits&) {
    lines.emplace_back(key, Writer::written(value));
  }
};

void read_into(Config& config, Reader reader) {
  for_each_key(config, reader);
  reader.refuse_the_rest();
}

}  // namespace

Config parse_config(std::string_view text, const std::string& name) {
  toml::table table;
  try {
    table = toml::parse(text, std::string_view(name));
  } catch (const toml::parse_error& e) {
    throw InputError(fmt::format("{}:{}: {}", name, e.source().begin.line, printable(e.description(), 200)));
  }
  Values values;
  values.collect(table, "");
  Config config;
  read_into(config, Reader(values, name, true));
  return config;
}

Config load_config(const std::filesystem::path& file) { return parse_config(read_whole_file(file), file.string()); }

std::string key_of(const std::string& assignment) {
  size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw UsageError(fmt::format("--set {}: expected section.key=value", assignment));
  }
  return assignment.substr(0, equals);
}

void set_value(Config& config, const std::string& assignment) {
  std::string key = key_of(assignment), raw = assignment.substr(key.size() + 1);
  toml::table table;
  try {
    table = toml::parse("value = " + raw);
  } catch (const toml::parse_error&) {
  }
  if (table.size() != 1) {
    table.clear();
    table.insert("value", raw);
  }
  Values values;
  values.leaves[key] = table.get("value");
  read_into(config, Reader(values, "--set", false, raw));
}

void make_paths_absolute(Config& config) {
  for (std::string* path : {&config.data.path, &config.train.from})
    if (!path->empty()) *path = std::filesystem::absolute(*path).lexically_normal().string();
}

std::vector<Difference> differences(const Config& first, const Config& second) {
  Listing a, b;
  for_each_key(first, a);
  for_each_key(second, b);
  std::vector<Difference> out;
  for (size_t i = 0; i < a.lines.size(); ++i)
    if (a.lines[i].second != b.lines[i].second)
      out.push_back({a.lines[i].first, a.lines[i].second, b.lines[i].second});
  return out;
}

std::string to_toml(const Config& config) {
  Writer writer;
  if (config.model.kind != "unet" && config.unet == Config::Unet{}) writer.left_out.insert("unet");
  if (config.model.kind != "wide_resnet" && config.wide_resnet == Config::WideResnet{})
    writer.left_out.insert("wide_resnet");
  for_each_key(config, writer);
  return writer.text;
}

}  // namespace vapo::app
