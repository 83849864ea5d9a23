#include "apps/run/config.h"

#include <doctest/doctest.h>

#include "apps/run/exit_code.h"

using vapo::InputError;
using vapo::app::Config;
using vapo::app::parse_config;
using vapo::app::set_value;
using vapo::app::to_toml;
using vapo::app::UsageError;

namespace {

std::string error_of(const std::string& text) {
  try {
    parse_config(text, "c.toml");
  } catch (const InputError& e) {
    return e.what();
  }
  return "";
}

bool says(const std::string& message, const std::string& part) { return message.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("every key keeps its value through TOML and back") {
  Config c;
  c.data.path = "a \"quoted\\ name\twith tab.csv";
  c.potential.mlp.hidden = {3, 5, 8};
  c.train.schedule.base = 0.1 + 1e-17;
  c.train.optimizer.eps = 1e-8;
  c.train.optimizer.weight_decay = 1.0 / 3;
  c.train.seed = 9'000'000'000'000'000;
  c.train.ema_ramp = false;
  c.energy.f = -2.5;
  CHECK_FALSE(says(to_toml(c), "[unet]"));  // of a network that is not used
  c.potential.unet.attention_downsamplings = {};
  c.potential.wide_resnet.depth = 16;
  CHECK(parse_config(to_toml(c), "c.toml") == c);
  CHECK(parse_config("", "c.toml") == Config{});
  CHECK_FALSE(parse_config("[train]\nsteps = 7", "c.toml") == Config{});
}

TEST_CASE("an image network has a table of its own, whose defaults are the published ones") {
  Config c =
      parse_config("[model]\nkind = 'unet'\n[unet]\nmultipliers = [1, 2]\nattention_downsamplings = []", "c");
  CHECK(c.potential.network == vapo::PotentialOptions::Network::unet);
  CHECK(c.potential.unet.multipliers == std::vector<int64_t>{1, 2});
  CHECK(c.potential.unet.attention_downsamplings.empty());
  CHECK(c.potential.unet.blocks_per_level == 4);
  CHECK(c.potential.unet.dropout == 0.3);
  CHECK(says(to_toml(c), "[unet]\nbase_width = 128\nmultipliers = [1, 2]"));
  CHECK(says(error_of("[unet]\nmultipliers = []"), "c.toml:2: unet.multipliers"));
  CHECK(says(error_of("[unet]\ndropout = 1"), "at most 0.99"));
  CHECK(says(error_of("[unet]\nwidth = 1"), "unknown key unet.width. Hint: [unet] has"));
  CHECK(says(error_of("[wide_resnet]\nnorm = 'batch'"), "none, group"));
  CHECK(says(error_of("[model]\nkind = 'vit'"), "mlp, unet, wide_resnet"));
}

TEST_CASE("values are read into their keys") {
  Config c = parse_config(
      "train.steps = 7\n[model]\nhidden = [1, 2]\n[data]\nset = 'rings'\nnoise = 1\nstandardize = false\n",
      "c.toml");
  CHECK(c.train.steps == 7);
  CHECK(c.potential.mlp.hidden == std::vector<int64_t>{1, 2});
  CHECK(c.data.set == "rings");
  CHECK(c.data.noise == 1.0);  // an integer is a number
  CHECK(c.data.standardize == vapo::Standardize::none);
  CHECK(parse_config("[data]\nstandardize = true", "c").data.standardize == vapo::Standardize::columns);
  CHECK(c.train.batch_size == Config{}.train.batch_size);
}

TEST_CASE("columns are names, numbers from 1, or both, and come back from what is written of them") {
  using Columns = std::vector<vapo::data::NameOrNumber>;
  auto columns_of = [](const std::string& value) {
    Config c = parse_config("[data]\ncolumns = " + value, "c.toml");
    CHECK(parse_config(to_toml(c), "c.toml").data.columns == c.data.columns);
    return c.data.columns;
  };
  CHECK(columns_of("[\"temp\", 3, \"it's \\\"q\\\"\", \"4\"]") == Columns{"temp", 3, "it's \"q\"", "4"});
  CHECK(columns_of("'numeric'") == Columns{"numeric"});
  CHECK(columns_of("2") == Columns{2});
  CHECK(columns_of("[]").empty());
  for (const char* bad : {"0", "-1", "1.5", "true", "[1, 0]", "['a', 2.0]", "[['a']]", "{a = 1}"})
    CHECK_MESSAGE(says(error_of(std::string("[data]\ncolumns = ") + bad), "data.columns"), bad);
  Config c;
  set_value(c, "data.columns=wind speed");
  CHECK(c.data.columns == Columns{"wind speed"});
  set_value(c, "data.columns=[\"a\", 2]");
  CHECK(c.data.columns == Columns{"a", 2});
  set_value(c, "data.missing=drop");
  CHECK(c.data.missing == vapo::data::Missing::drop);
}

TEST_CASE("mistakes are named by file, line and key") {
  CHECK(says(error_of("[train]\n\nstepz = 1"), "c.toml:3: unknown key train.stepz"));
  CHECK(says(error_of("[train]\nsteps = 1.0"), "c.toml:2: train.steps"));
  CHECK(says(error_of("[train]\nsteps = '1'"), "integer"));
  CHECK(says(error_of("[train]\nema_ramp = 1"), "true or false"));
  CHECK(says(error_of("[train]\nlearning_rate = true"), "number"));
  CHECK(says(error_of("[train]\nlearning_rate = inf"), "number"));
  CHECK(says(error_of("[train]\nlearning_rate = -1"), "at least 0"));
  CHECK(says(error_of("[data]\npath = 3"), "string"));
  CHECK(says(error_of("[model]\nhidden = 3"), "array"));
  CHECK(says(error_of("[model]\nhidden = [3, 'x']"), "model.hidden"));
  CHECK(says(error_of("[path]\nkind = 'round'"), "linear, cosine, tempered"));
  CHECK(says(error_of("other = 1"), "unknown key other"));
  CHECK(says(error_of("[other]"), "unknown key other"));
  CHECK(says(error_of("'train.steps' = 1"), "unknown key"));
  CHECK(says(error_of("[train.steps]\nx = 1"), "train.steps must be a value"));
  CHECK(says(error_of("[train.steps]"), "not a table"));
  CHECK(says(error_of("[train\n"), "c.toml:1"));
  CHECK(says(error_of("[train]\nsteps = 1\nsteps = 2"), "c.toml:3"));
  CHECK(says(error_of("\xff\xfe"), "c.toml:1"));
}

TEST_CASE("a name that a key does not have is an error that lists the names, for every key with names") {
  Config c;
  for (const vapo::Key& key : keys_of(c)) {
    const vapo::Choice* choice = std::get_if<vapo::Choice>(&key.value);
    if (!choice) continue;
    CAPTURE(key.name);
    std::string message =
        error_of("[" + key.section() + "]\n" + key.name.substr(key.section().size() + 1) + " = 'nonsense'");
    for (const std::string& name : choice->names) CHECK(says(message, name));
  }
}

TEST_CASE("--set overrides one key") {
  Config c;
  set_value(c, "train.steps=12");
  set_value(c, "train.learning_rate=5e-4");
  set_value(c, "model.hidden=[4, 4]");
  set_value(c, "train.ema_ramp=false");
  set_value(c, "data.path=some file.csv");
  CHECK(c.train.steps == 12);
  CHECK(c.train.schedule.base == 5e-4);
  CHECK(c.potential.mlp.hidden == std::vector<int64_t>{4, 4});
  CHECK_FALSE(c.train.ema_ramp);
  CHECK(c.data.path == "some file.csv");
  set_value(c, "data.path=2024");  // text is wanted, so text it is
  CHECK(c.data.path == "2024");
  set_value(c, "data.path=\"quoted.csv\"");
  CHECK(c.data.path == "quoted.csv");
  CHECK_THROWS_AS(set_value(c, "train.stepz=1"), InputError);
  CHECK_THROWS_AS(set_value(c, "train.steps=many"), InputError);
  CHECK_THROWS_AS(set_value(c, "train.steps=1\nx = 2"), InputError);
  CHECK_THROWS_AS(set_value(c, "train.steps"), UsageError);
  CHECK_THROWS_AS(set_value(c, "=3"), UsageError);
}

TEST_CASE("auto is a value of the keys that may be chosen from rows, and of no other") {
  int64_t may_be = 0;
  Config defaults;
  for (const vapo::Key& key : keys_of(defaults)) {
    CAPTURE(key.name);
    CHECK_FALSE(is_auto(key));
    Config c;
    if (!key.may_be_auto) {
      bool of_text = std::get_if<std::string*>(&key.value) || std::get_if<vapo::NamesOrNumbers*>(&key.value);
      if (!of_text) CHECK_THROWS_AS(set_value(c, key.name + "=auto"), InputError);
      continue;
    }
    ++may_be;
    set_value(c, key.name + "=auto");
    CHECK(says(to_toml(c), key.name.substr(key.name.find('.') + 1) + " = 'auto'\n"));
    CHECK(parse_config(to_toml(c), "c.toml") == c);
    CHECK_FALSE(c == defaults);
    for (const vapo::Key& set : keys_of(c)) CHECK(is_auto(set) == (set.name == key.name));
  }
  CHECK(may_be == 5);
  CHECK(says(error_of("[train]\nsteps = -1"), "or 'auto'"));
  CHECK(says(error_of("[data]\njitter = -1"), "or 'auto'"));
  CHECK(says(error_of("[model]\nhidden = []"), "or 'auto'"));
}

TEST_CASE("differences name each key in which two configs differ, by value and not by text") {
  Config a, b;
  set_value(a, "train.clip_limit=1");
  set_value(b, "train.clip_limit=1.0");
  set_value(b, "model.hidden=[ 192,192, 192 ]");
  CHECK(vapo::app::differences(a, b).empty());
  set_value(b, "train.seed=4");
  set_value(b, "data.path=b.csv");
  std::vector<vapo::app::Difference> found = vapo::app::differences(a, b);
  REQUIRE(found.size() == 2);
  CHECK(found[0].key == "data.path");
  CHECK(found[0].second == "'b.csv'");
  CHECK(found[1].key == "train.seed");
  CHECK(found[1].first == "0");
  CHECK(found[1].second == "4");
}

TEST_CASE("paths become absolute, and none stays none") {
  Config c;
  c.data.path = "a/../b/./c.csv";
  make_paths_absolute(c);
  CHECK(c.data.path == (std::filesystem::current_path() / "b/c.csv").string());
  CHECK(c.run.from.empty());
  c.run.from = "/runs/../run";
  make_paths_absolute(c);
  CHECK(c.run.from == "/run");
}
