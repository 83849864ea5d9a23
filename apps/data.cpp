// vapo data: what a table, a folder of images or a config's data is understood to be, before it is trained on.

#include <fmt/format.h>

#include <algorithm>

#include "apps/data_picture.h"
#include "apps/run/described.h"
#include "apps/run/exit_code.h"
#include "apps/run/image_features.h"
#include "apps/run/model.h"
#include "apps/run/run_folder.h"
#include "data/writers/save.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/npy.h"
#include "tensor/kernels.h"

namespace vapo::app {
namespace {

namespace fs = std::filesystem;

struct DataOptions {
  CommonOptions common;
  std::string what, picture;
  std::vector<std::string> settings;
  bool no_picture = false, path = false;
};

// Which set the files in a folder are of; any other is a folder of images.
std::string set_in(const fs::path& folder) {
  constexpr std::pair<const char*, const char*> known[] = {
      {"train-images-idx3-ubyte", "mnist"}, {"train-images-idx3-ubyte.gz", "mnist"},
      {"data_batch_1.bin", "cifar10"},      {"train.bin", "cifar100"},
      {"train_32x32.mat", "svhn"},          {"img_align_celeba", "celeba"}};
  std::error_code error;
  for (auto [file, set] : known)
    if (fs::exists(folder / file, error)) return set;
  return "image_folder";
}

bool holds_images(const fs::path& file) {
  if (file.extension() != ".npy") return false;
  NpyHeader header = parse_npy_header(read_whole_file(file), file.string());
  return header.dtype == "u8" && header.shape.rank() >= 3;
}

// The config that WHAT is, or that would train on it.
Config config_of(const std::string& what) {
  std::error_code error;
  fs::path path = what;
  Config config;
  if (!fs::exists(path, error)) {
    std::vector<std::string> points = data::point_set_names();
    if (!names_a_set(what) && std::count(points.begin(), points.end(), what) == 0)
      throw IoError(fmt::format("{}: no such file, folder or set", what));
    config.data.set = what;
  } else if (!fs::is_directory(path, error)) {
    if (path.extension() == ".toml") return load_config(path);
    config.data.path = what;
    if (holds_images(path)) config.data.set = "image_array";
  } else {
    if (fs::exists(RunFolder(path).config(), error)) return load_config(RunFolder(path).config());
    config.data.path = what;
    config.data.set = set_in(path);
  }
  return config;
}

struct Understood {
  Json facts;
  std::string refused;               // why training would refuse it
  std::unique_ptr<Dataset> dataset;  // of the picture; null: there is none
  Tensor rows;                       // the same, of points
  std::vector<std::string> columns;  // their names
  bool equal_units = false;
};

void take_rows(Understood& out, const Config& config, const PointDataset& points) {
  if (points.set()) {
    constexpr int64_t kShown = 2000;
    out.rows = points.set()->sample(kShown, {static_cast<uint64_t>(config.train.seed), 0, 0}, DType::f64);
    out.columns = {"x1", "x2"};
    out.equal_units = true;
    return;
  }
  out.columns = points.table().columns;
  out.rows = points.train_rows();
  if (!points.held_out_rows().defined() || points.held_out_rows().dim(0) == 0) return;
  Tensor both[] = {points.train_rows(), points.held_out_rows()};
  out.rows = kernel::concat(both, 0);
}

// What can be said of data that training refuses; throws the refusal where that is nothing.
void describe_refused(Understood& out, Config config, const InputError& refusal) {
  out.refused = refusal.what();
  if (config.data.set == "image_folder") {
    out.facts = facts_of_folder(config.data.path);
    if (config.data.size > 0) return;
    constexpr int64_t kSmall = 64;  // of the picture, where the sizes are what it was refused for
    config.data.size = kSmall;
    try {
      out.dataset = open_dataset(config);
    } catch (const Error&) {
    }
    return;
  }
  if (is_of_images(config) || config.data.path.empty()) throw refusal;
  data::TableFile file(config.data.path);
  out.facts = facts_of(file, nullptr);
  try {
    data::Table numeric = file.choose({.columns = {"numeric"}, .missing = data::Missing::drop});
    out.rows = numeric.values;
    out.columns = numeric.columns;
  } catch (const InputError&) {
  }
}

Understood understand(const Config& config) {
  Understood out;
  try {
    out.dataset = open_dataset(config);
    out.facts = out.dataset->facts();
  } catch (const InputError& refusal) {
    describe_refused(out, config, refusal);
  }
  if (auto* points = dynamic_cast<PointDataset*>(out.dataset.get())) take_rows(out, config, *points);
  return out;
}

// Where the picture is; null and a line where there is none.
Json draw(const DataOptions& options, const Path& path, Understood& data) {
  if (options.no_picture || (!data.dataset && !data.rows.defined())) return nullptr;
  std::string stem = fs::absolute(options.what).lexically_normal().stem().string();
  if (stem.empty()) stem = fs::absolute(options.what).lexically_normal().parent_path().stem().string();
  std::string file = options.picture.empty() ? fmt::format("vapo-data-{}.png", stem) : options.picture, why_not;
  try {
    if (data.rows.defined()) {
      std::string title = fmt::format("{}: {} rows, {} columns", stem, data.rows.dim(0), data.rows.dim(1));
      why_not = draw_rows(file, title, data.rows, data.columns, data.equal_units);
    } else {
      int64_t count = data.facts.value("images", int64_t{64}) - data.facts.value("held_out", int64_t{0});
      if (options.path)
        draw_path(file, *data.dataset, path, count);
      else
        draw_images(file, *data.dataset, count);
    }
  } catch (const IoError& e) {
    if (!options.picture.empty()) throw;  // it was asked for
    why_not = e.what();
  }
  if (why_not.empty()) return file;
  note(fmt::format("without a picture: {}", why_not));
  return nullptr;
}

int describe(const DataOptions& options) {
  if (!options.picture.empty()) data::check_target(options.picture, data::Contents::picture, "--picture");
  Config config = config_of(options.what);
  for (const std::string& setting : options.settings) set_value(config, setting);
  make_paths_absolute(config);
  Understood data = understand(config);
  if (options.path && data.rows.defined())
    throw InputError(fmt::format("--path: {} is of points, and a path is drawn of images", options.what));
  Json found = {{"data", config.data.path.empty() ? config.data.set : config.data.path}};
  found.update(data.facts);
  if (!data.refused.empty()) found["refused"] = data.refused;
  found["picture"] = draw(options, config.path, data);
  print_result(options.common.json ? found : for_a_person(found), options.common.json);
  return 0;
}

}  // namespace

void add_data(CLI::App& app, Action& action) {
  auto o = std::make_shared<DataOptions>();
  CLI::App* command = app.add_subcommand("data", "Show what data is understood to be, before it is trained on");
  command
      ->add_option("WHAT", o->what,
                   "A config or the folder of a run; a table; a folder or a .npy of images; or the name of a set")
      ->required();
  command->add_option("--set", o->settings, "section.key=value: overrides one key of the config; may repeat")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  command->add_option(
      "--picture", o->picture,
      fmt::format("Where to draw it, {}: points or histograms of a table, images as the network gets "
                  "them (default: vapo-data-WHAT.png in the current folder)",
                  data::endings_of(data::Contents::picture)));
  CLI::Option* nothing = command->add_flag("--no-picture", o->no_picture, "Draw nothing")->excludes("--picture");
  command
      ->add_flag("--path", o->path,
                 "Draw where the config's path has some images at nine times, from noise to data")
      ->excludes(nothing);
  o->common.add_to(*command, false);
  command->callback([o, &action] { action = [o] { return describe(*o); }; });
}

}  // namespace vapo::app
