#include "apps/run/model.h"

#include <algorithm>

#include "apps/run/contents.h"
#include "apps/run/run_folder.h"
#include "data/sets/images.h"

namespace vapo::app {

bool is_of_images(const Config& config) {
  std::vector<std::string> names = data::image_set_names();
  return std::count(names.begin(), names.end(), config.data.set) > 0;
}

Model open_model(const std::filesystem::path& dir_or_file, bool last_weights, Device device) {
  return with_checkpoint(dir_or_file, [&](const std::filesystem::path& file) {
    nn::CheckpointReader reader(file);
    Config config = parse_config(reader.info().config, file.string() + " (its config)");
    Model model{vapo::open_model(reader, file, {.last_weights = last_weights, .device = device}), config,
                stored_contents(reader.info())};
    std::vector<std::string> columns = columns_of(model.contents);
    if (static_cast<int64_t>(columns.size()) == model.dims()) model.columns = columns;
    return model;
  });
}

void set_value(Model& model, const std::string& assignment) {
  set_value(model.config, assignment);
  model.recipe = model.config;
}

}  // namespace vapo::app
