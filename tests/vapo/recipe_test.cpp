// A recipe through its keys and TOML, and what it makes.

#include "vapo/recipe.h"

#include <doctest/doctest.h>

#include <set>

#include "tensor/check.h"
#include "vapo/toml.h"

using namespace vapo;

namespace {

std::string error_of(const std::string& text, UnknownKeys unknown = UnknownKeys::refuse) {
  try {
    parse_recipe(text, "r.toml", unknown);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

std::string refusal_of(const Recipe& recipe) {
  try {
    check(recipe);
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

std::vector<std::string> values_of(Recipe& recipe) {
  std::vector<std::string> out;
  for (const Key& key : keys_of(recipe)) out.push_back(toml_value(key));
  return out;
}

bool says(const std::string& message, const std::string& part) { return message.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("each key stands once, is explained, and leads to a value of its own") {
  Recipe recipe;
  std::set<std::string> names;
  for (const Key& key : keys_of(recipe)) {
    CAPTURE(key.name);
    CHECK(names.insert(key.name).second);
    CHECK(key.help.size() > 3);
    std::vector<std::string> before = values_of(recipe);
    std::string text = toml_value(key), changed;
    if (const Choice* choice = std::get_if<Choice>(&key.value)) {
      for (const std::string& name : choice->names) {
        set_value(keys_of(recipe), key.name, name, "--set");
        CHECK(toml_value(key) == "'" + name + "'");  // every name of every enum leads to its value and back
      }
      changed = "'" + choice->names[choice->names.front() == text.substr(1, text.size() - 2) ? 1 : 0] + "'";
    } else if (std::holds_alternative<bool*>(key.value)) {
      changed = text == "true" ? "false" : "true";
    } else if (std::holds_alternative<std::vector<int64_t>*>(key.value)) {
      changed = "[7, 9]";
    } else if (std::holds_alternative<std::vector<double>*>(key.value)) {
      changed = "[0.25, 0.5]";
      set_value(keys_of(recipe), key.name, "0.75", "--set");  // one without []
      CHECK(toml_value(key) == "[0.75]");
    } else {
      double high = key.range.high, low = key.range.low;
      bool integer = std::holds_alternative<int64_t*>(key.value);
      changed = integer
                    ? fmt::format("{}", static_cast<int64_t>(low) + (text == fmt::format("{}", low + 12) ? 13 : 12))
                    : fmt::format("{}", high <= 1 ? 0.3125 : 3.5);
    }
    set_value(keys_of(recipe), key.name, changed, "--set");
    CHECK(toml_value(key) == changed);
    std::vector<std::string> after = values_of(recipe);
    int changes = 0;
    for (size_t i = 0; i < before.size(); ++i) changes += before[i] != after[i];
    CHECK(changes == 1);  // no other key leads there
  }
  CHECK(to_toml(parse_recipe(to_toml(recipe), "again")) == to_toml(recipe));
}

TEST_CASE("a name that no choice has is an error that lists the names, for every enum") {
  Recipe recipe;
  int choices = 0;
  for (const Key& key : keys_of(recipe)) {
    const Choice* choice = std::get_if<Choice>(&key.value);
    if (!choice) continue;
    CAPTURE(key.name);
    ++choices;
    std::string section = key.section(), name = key.name.substr(section.size() + 1);
    std::string message = error_of(fmt::format("[{}]\n{} = 'nonsense'\n", section, name));
    CHECK(says(message, "r.toml:2: " + key.name + " = 'nonsense'"));
    for (const std::string& known : choice->names) CHECK(says(message, known));
  }
  CHECK(choices >= 17);
  CHECK_THROWS_WITH_AS(from_name<OdeMethod>("rk4"),
                       "unknown ode method 'rk4': expected one of euler, heun, rk23, rk45", InputError);
}

TEST_CASE("keys of others are refused, or passed over where that is asked") {
  std::string text = "[data]\nset = 'two_moons'\n[train]\nsteps = 7\nlog_every = 3\n";
  CHECK(says(error_of(text), "r.toml:1: unknown key data"));
  CHECK(error_of(text, UnknownKeys::ignore).empty());
  CHECK(parse_recipe(text, "r.toml", UnknownKeys::ignore).train.steps == 7);
  CHECK(says(error_of("[train]\nsteps = 'many'", UnknownKeys::ignore), "train.steps"));
}

TEST_CASE("what makes no sense together is refused by the names of its keys") {
  Recipe good;
  CHECK(refusal_of(good).empty());
  auto refused = [&](auto change) {
    Recipe recipe = good;
    change(recipe);
    return refusal_of(recipe);
  };
  CHECK(says(refused([](Recipe& r) { r.train.t_min = 1; }), "train.t_min"));
  CHECK(says(refused([](Recipe& r) { r.train.optimizer.beta2 = 1; }), "train.beta2"));
  CHECK(says(refused([](Recipe& r) { r.sample.t_end = 0; }), "sample.t_start"));
  CHECK(says(refused([](Recipe& r) { r.train.schedule.kind = nn::Schedule::Kind::step; }), "train.step_every"));
  CHECK(says(refused([](Recipe& r) {
               r.train.schedule = {.kind = nn::Schedule::Kind::cosine, .warmup_steps = 50, .total_steps = 50};
             }),
             "train.warmup_steps = 50"));
  auto weighted = [](Recipe& r) { r.times = {.kind = Times::Kind::logit_normal, .unbiased = true}; };
  CHECK(says(refused(weighted), "path.times_uniform = 0"));
  CHECK(refused([&](Recipe& r) { weighted(r), r.times.uniform_share = 0.1; }).empty());
  CHECK(says(refused([&](Recipe& r) {
               weighted(r), r.times.uniform_share = 0.1;
               r.loss = {.estimator = LossOptions::Estimator::published};
             }),
             "loss.estimator = \"published\""));
  auto coupled = [](Recipe& r) {
    r.path = {.kind = Path::Kind::linear, .coupling = Path::Coupling::optimal};
    r.potential.form = PotentialOptions::Form::raw;
  };
  CHECK(refused(coupled).empty());
  CHECK(says(refused([&](Recipe& r) { coupled(r), r.path.kind = Path::Kind::cosine; }), "path.kind = \"cosine\""));
  for (auto estimator : {LossOptions::Estimator::covariance, LossOptions::Estimator::published})
    CHECK(says(refused([&](Recipe& r) { coupled(r), r.loss.estimator = estimator; }),
               fmt::format("loss.estimator = \"{}\" with path.coupling", name_of(estimator))));
  CHECK(says(refused([&](Recipe& r) { coupled(r), r.potential.form = PotentialOptions::Form::preconditioned; }),
             "model.potential = \"preconditioned\""));
  CHECK(says(refused([&](Recipe& r) { coupled(r), r.loss.antithetic = true; }), "loss.antithetic"));
  CHECK(says(refused([&](Recipe& r) { coupled(r), r.sample.langevin = true; }), "sample.energy = \"marginal\""));
  CHECK(refused([&](Recipe& r) {
          coupled(r), r.sample.langevin = true, r.sample.energy = EnergyKind::boltzmann;
        }).empty());
  auto settled = [&](Recipe& r) { coupled(r), r.equilibrium.steps = 1; };
  CHECK(says(refused(settled), "equilibrium.energy = \"marginal\": path.coupling = \"optimal\""));
  CHECK(refused([&](Recipe& r) {
          settled(r), r.equilibrium.energy = EquilibriumOptions::Energy::potential;
        }).empty());
}

TEST_CASE("network and samples fit, or the key is named") {
  Recipe recipe;
  recipe.potential.mlp.hidden = {4};
  CHECK(make_potential(recipe, {3}) != nullptr);
  CHECK_THROWS_WITH_AS(make_potential(recipe, {8, 8, 3}), doctest::Contains("model.kind = \"mlp\""), InputError);
  recipe.potential.network = PotentialOptions::Network::wide_resnet;
  CHECK_THROWS_WITH_AS(make_potential(recipe, {3}), doctest::Contains("model.kind = \"wide_resnet\""), InputError);
  recipe.potential.wide_resnet = {.base_width = 4, .depth = 10, .widen = 1, .classes = 3};
  CHECK(make_potential(recipe, {8, 8, 3}) != nullptr);
  CHECK(recipe.classes() == 3);
}
