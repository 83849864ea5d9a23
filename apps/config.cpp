#include "apps/config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <type_traits>

#include "data/points.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"

namespace vapo::app {
namespace {

// What a value may be: numbers from low (without it where `above`) to high; texts from `choices`, where there are
// any.
struct Limits {
  double low = 0, high = 0;
  bool above = false;
  std::vector<std::string> choices = {};
  bool may_be_empty = false;  // of arrays
};
Limits from(double low, double high) { return {low, high}; }
Limits above(double low, double high) { return {low, high, true}; }
Limits one_of(std::vector<std::string> names) { return {.choices = std::move(names)}; }
constexpr double kMost = 1e9;   // of counts
constexpr double kHuge = 1e30;  // of reals

// Every key, once: visit(key, value, limits).
template <class C, class V>
void for_each_key(C& c, V& visit) {
  std::vector<std::string> sets = data::point_set_names();
  sets.push_back("");
  const std::vector<std::string> activations = {"silu", "gelu", "softplus", "relu", "leaky_relu", "tanh"};
  visit("data.set", c.data.set, one_of(sets));
  visit("data.path", c.data.path, Limits{});
  visit("data.noise", c.data.noise, from(0, kHuge));
  visit("data.points", c.data.points, from(0, kMost));
  visit("data.held_out", c.data.held_out, from(0, 0.99));
  visit("data.standardize", c.data.standardize, Limits{});
  visit("data.jitter", c.data.jitter, from(0, 10));

  visit("model.kind", c.model.kind, one_of({"mlp", "unet", "wide_resnet"}));
  visit("model.hidden", c.model.hidden, from(1, 65536));
  visit("model.activation", c.model.activation, one_of(activations));
  visit("model.time_embedding", c.model.time_embedding, from(0, 65536));
  visit("model.time_scale", c.model.time_scale, above(0, kHuge));
  visit("model.potential", c.model.potential, one_of({"preconditioned", "raw"}));
  visit("model.reference", c.model.reference, one_of({"gaussian", "none"}));

  visit("unet.base_width", c.unet.base_width, from(1, 65536));
  visit("unet.multipliers", c.unet.multipliers, from(1, 4096));
  visit("unet.blocks_per_level", c.unet.blocks_per_level, from(1, 1024));
  visit("unet.attention_downsamplings", c.unet.attention_downsamplings,
        Limits{.low = 1, .high = 65536, .may_be_empty = true});
  visit("unet.heads", c.unet.heads, from(1, 65536));
  visit("unet.head_width", c.unet.head_width, from(-1, 65536));
  visit("unet.dropout", c.unet.dropout, from(0, 0.99));
  visit("unet.conv_resample", c.unet.conv_resample, Limits{});
  visit("unet.resblock_updown", c.unet.resblock_updown, Limits{});
  visit("unet.new_attention_order", c.unet.new_attention_order, Limits{});
  visit("unet.scale_shift", c.unet.scale_shift, Limits{});
  visit("unet.groups", c.unet.groups, from(1, 65536));
  visit("unet.classes", c.unet.classes, from(0, kMost));
  visit("unet.time", c.unet.time, Limits{});

  visit("wide_resnet.base_width", c.wide_resnet.base_width, from(1, 65536));
  visit("wide_resnet.depth", c.wide_resnet.depth, from(10, 10000));
  visit("wide_resnet.widen", c.wide_resnet.widen, from(1, 1024));
  visit("wide_resnet.norm", c.wide_resnet.norm, one_of({"none", "group"}));
  visit("wide_resnet.groups", c.wide_resnet.groups, from(1, 65536));
  visit("wide_resnet.activation", c.wide_resnet.activation, one_of(activations));
  visit("wide_resnet.dropout", c.wide_resnet.dropout, from(0, 0.99));
  visit("wide_resnet.head", c.wide_resnet.head, one_of({"linear", "residual"}));
  visit("wide_resnet.classes", c.wide_resnet.classes, from(0, kMost));
  visit("wide_resnet.time", c.wide_resnet.time, Limits{});

  visit("path.kind", c.path.kind, one_of({"linear", "cosine", "tempered"}));
  visit("path.omega", c.path.omega, above(0, kHuge));
  visit("path.nu", c.path.nu, above(0, kHuge));

  visit("loss.estimator", c.loss.estimator, one_of({"inner_product", "covariance", "published"}));
  visit("loss.weight", c.loss.weight, one_of({"one", "preconditioned"}));
  visit("loss.antithetic", c.loss.antithetic, Limits{});
  visit("loss.first_term", c.loss.first_term, one_of({"correlation", "covariance"}));
  visit("loss.second_term", c.loss.second_term, one_of({"cosine", "dot", "dist"}));
  visit("loss.first_weight", c.loss.first_weight, from(0, kHuge));
  visit("loss.second_weight", c.loss.second_weight, from(0, kHuge));
  visit("loss.dirichlet_weight", c.loss.dirichlet_weight, from(0, kHuge));
  visit("loss.time_weight", c.loss.time_weight, from(0, kHuge));

  visit("train.steps", c.train.steps, from(0, 1e12));
  visit("train.batch_size", c.train.batch_size, from(1, 1e7));
  visit("train.learning_rate", c.train.learning_rate, from(0, 1e38));
  visit("train.schedule", c.train.schedule, one_of({"constant", "cosine", "step"}));
  visit("train.schedule_steps", c.train.schedule_steps, from(0, 1e12));
  visit("train.warmup_steps", c.train.warmup_steps, from(0, 1e12));
  visit("train.final_fraction", c.train.final_fraction, from(0, 1));
  visit("train.step_every", c.train.step_every, from(0, 1e12));
  visit("train.step_factor", c.train.step_factor, above(0, 1));
  visit("train.optimizer", c.train.optimizer, one_of({"adam", "adamw", "sgd", "lamb"}));
  visit("train.beta1", c.train.beta1, from(0, 1));
  visit("train.beta2", c.train.beta2, from(0, 1));
  visit("train.eps", c.train.eps, from(0, 1));
  visit("train.weight_decay", c.train.weight_decay, from(0, kHuge));
  visit("train.momentum", c.train.momentum, from(0, 1));
  visit("train.nesterov", c.train.nesterov, Limits{});
  visit("train.clip", c.train.clip, one_of({"none", "norm", "value", "std"}));
  visit("train.clip_limit", c.train.clip_limit, above(0, kHuge));
  visit("train.ema_decay", c.train.ema_decay, from(0, 1));
  visit("train.ema_ramp", c.train.ema_ramp, Limits{});
  visit("train.t_min", c.train.t_min, from(0, 1));
  visit("train.t_max", c.train.t_max, from(0, 1));
  visit("train.checkpoint_every", c.train.checkpoint_every, from(1, 1e12));
  visit("train.keep_checkpoints", c.train.keep_checkpoints, from(1, kMost));
  visit("train.log_every", c.train.log_every, from(1, 1e12));
  visit("train.seed", c.train.seed, from(0, 9e15));

  visit("sample.method", c.sample.method, one_of({"euler", "heun", "rk23", "rk45", "sgld"}));
  visit("sample.steps", c.sample.steps, from(1, kMost));
  visit("sample.rtol", c.sample.rtol, from(1e-14, 1));
  visit("sample.atol", c.sample.atol, from(1e-14, 1e6));
  visit("sample.t_start", c.sample.t_start, from(0, 1));
  visit("sample.t_end", c.sample.t_end, from(0, 1e6));
  visit("sample.energy", c.sample.energy, one_of({"marginal", "boltzmann"}));
  visit("sample.sgld_steps", c.sample.sgld_steps, from(0, kMost));
  visit("sample.step_size", c.sample.step_size, above(0, kHuge));
  visit("sample.temperature", c.sample.temperature, from(0, kHuge));

  visit("energy.marginal_t", c.energy.marginal_t, from(0, 1));
  visit("energy.boltzmann", c.energy.boltzmann, one_of({"given", "path"}));
  visit("energy.boltzmann_t", c.energy.boltzmann_t, from(0, 1));
  visit("energy.f", c.energy.f, from(-kHuge, kHuge));
  visit("energy.g_squared", c.energy.g_squared, above(0, kHuge));

  visit("density.grid", c.density.grid, from(2, 4096));
  visit("density.points", c.density.points, from(2, 1e6));
  visit("density.likelihood_points", c.density.likelihood_points, from(2, 1e6));
  visit("density.sgld_particles", c.density.sgld_particles, from(2, 1e6));
  visit("density.sgld_steps", c.density.sgld_steps, from(10, kMost));
  visit("density.sgld_burn_in", c.density.sgld_burn_in, from(0, kMost));
}

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

std::string to_toml(const Config& config) {
  Writer writer;
  if (config.model.kind != "unet" && config.unet == Config::Unet{}) writer.left_out.insert("unet");
  if (config.model.kind != "wide_resnet" && config.wide_resnet == Config::WideResnet{})
    writer.left_out.insert("wide_resnet");
  for_each_key(config, writer);
  return writer.text;
}

}  // namespace vapo::app
