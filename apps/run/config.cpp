#include "apps/run/config.h"

#include <fmt/format.h>

#include "apps/run/exit_code.h"
#include "data/sets/images.h"
#include "data/sets/points.h"
#include "tensor/io/atomic_file.h"
#include "vapo/toml.h"

namespace vapo::app {
namespace {

constexpr double kMost = 1e9;   // of counts
constexpr double kHuge = 1e30;  // of reals
constexpr double kEver = 1e12;  // of steps

Key key_of_set(std::string& set) {
  std::vector<std::string> names = data::point_set_names();
  for (const std::string& name : data::image_set_names()) names.push_back(name);
  names.push_back("");
  return {"data.set", Choice{names, [&set] { return set; }, [&set](const std::string& chosen) { set = chosen; }},
          "Points drawn from a known density, or images by the name of their set"};
}

Key key_of_standardize(Standardize& how) {
  Key out = or_auto(key("data.standardize", how,
                        "columns: (x - mean)/deviation of each; whiten: and without correlations between them"));
  std::get<Choice>(out.value).older = {{"true", "columns"}, {"false", "none"}};
  return out;
}

void add(Keys& keys, std::initializer_list<Key> more) { keys.insert(keys.end(), more); }

void add_keys(Keys& keys, Config::Data& d) {
  add(keys,
      {key_of_set(d.set),
       key("data.path", d.path,
           "Of images: where the set lies; else a table (text, gzipped or not, .npy, .npz of one array or arr_0), "
           "which wins over data.set"),
       key("data.columns", d.columns,
           "Of a table: its columns by name or by number; \"numeric\": all that hold numbers; none: all there are"),
       key("data.missing", d.missing,
           "Of a table: what becomes of rows without a value (empty, NA, NaN, null, ?) in a column that is used"),
       key("data.noise", d.noise, from(0, kHuge), "Of a set of points: deviation of the noise on each"),
       key("data.points", d.points, from(0, kMost),
           "Of a set of points: how many to train on; 0: fresh ones at every step"),
       key("data.held_out", d.held_out, from(0, 0.99),
           "Share of a table's rows or of images that training never sees"),
       key_of_standardize(d.standardize),
       or_auto(key("data.jitter", d.jitter, from(0, 10),
                   "Deviation of noise on every training row, after standardisation")),
       key("data.size", d.size, from(0, 4096), "Images become size x size; 0: as they are (celeba: 64)"),
       key("data.crop", d.crop, from(0, 65536), "The centre square taken first; 0: the set's usual one"),
       key("data.flip", d.flip, "Images are mirrored half of the time"),
       key("data.dequantize", d.dequantize, "Uniform noise of one grey level on every pixel"),
       key("data.skip_unreadable", d.skip_unreadable,
           "image_folder, celeba: go on without broken files, and count them")});
}

void add_keys(Keys& keys, Config::Run& r) {
  add(keys,
      {key("train.from", r.from, "A checkpoint, or the folder of a run, whose weights training starts with"),
       key("train.checkpoint_every", r.checkpoint_every, from(1, kEver), "Steps between checkpoints"),
       key("train.keep_checkpoints", r.keep_checkpoints, from(1, kMost), "The newest; older ones are removed"),
       key("train.log_every", r.log_every, from(1, kEver), "Steps between lines of metrics.jsonl"),
       key("train.validate_every", r.validate_every, from(0, kEver),
           "Steps between losses of what is held out; 0: none"),
       key("train.sample_every", r.sample_every, from(0, kEver), "Steps between grids of samples; 0: none"),
       key("train.tensorboard", r.tensorboard, "Event files beside metrics.jsonl"),
       key("sample.grid", r.grid, from(1, 4096), "Images in a grid")});
}

void add_keys(Keys& keys, Config::Density& d) {
  add(keys,
      {key("density.grid", d.grid, from(2, 4096), "Cells a side"),
       key("density.points", d.points, from(2, 1e6), "Samples, compared with as many fresh points"),
       key("density.likelihood_points", d.likelihood_points, from(2, 1e6), "Whose exact likelihood is computed"),
       key("density.sgld_particles", d.sgld_particles, from(2, 1e6), "Of the long Langevin run"),
       key("density.sgld_steps", d.sgld_steps, from(10, kMost), "Of each of its particles"),
       key("density.sgld_burn_in", d.sgld_burn_in, from(0, kMost), "steps before samples are taken from it")});
}

}  // namespace

Keys keys_of(Config& c) {
  Keys keys;
  add_keys(keys, c.data);
  for (Key& k : keys_of(static_cast<Recipe&>(c))) keys.push_back(std::move(k));
  add_keys(keys, c.run);
  add_keys(keys, c.density);
  return keys;
}

Config parse_config(std::string_view text, const std::string& name) {
  Config config;
  read_toml(text, name, keys_of(config));
  return config;
}

Config load_config(const std::filesystem::path& file) { return parse_config(read_whole_file(file), file.string()); }

std::string key_of(const std::string& assignment) {
  size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    throw UsageError(fmt::format("--set {}: expected section.key=value", assignment));
  return assignment.substr(0, equals);
}

void set_value(Config& config, const std::string& assignment) {
  std::string key = key_of(assignment);
  vapo::set_value(keys_of(config), key, assignment.substr(key.size() + 1), "--set");
}

void make_paths_absolute(Config& config) {
  for (std::string* path : {&config.data.path, &config.run.from})
    if (!path->empty()) *path = std::filesystem::absolute(*path).lexically_normal().string();
}

std::vector<Difference> differences(const Config& first, const Config& second) {
  Config a = first, b = second;
  Keys of_a = keys_of(a), of_b = keys_of(b);
  std::vector<Difference> out;
  for (size_t i = 0; i < of_a.size(); ++i) {
    std::string x = toml_value(of_a[i]), y = toml_value(of_b[i]);
    if (x != y) out.push_back({of_a[i].name, x, y});
  }
  return out;
}

bool operator==(const Config& first, const Config& second) { return differences(first, second).empty(); }

std::string to_toml(const Config& config) {
  Config copy = config;
  return vapo::to_toml(without_unused_networks(keys_of(copy), copy.potential));
}

}  // namespace vapo::app
