#include "apps/run/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "apps/run/contents.h"
#include "apps/run/ranks.h"
#include "apps/run/run_folder.h"
#include "data/sets/images.h"

namespace vapo::app {

bool is_of_images(const Config& config) {
  std::vector<std::string> names = data::image_set_names();
  return std::count(names.begin(), names.end(), config.data.set) > 0;
}

double fingerprint(Potential& potential) {
  uint64_t hash = 14695981039346656037u;
  for (const nn::NamedParameter& p : nn::named_parameters(potential)) {
    std::vector<float> values = p.parameter->value().to(Device::cpu).to(DType::f32).to_vector<float>();
    for (float v : values) hash = (hash ^ std::bit_cast<uint32_t>(v)) * 1099511628211u;
  }
  return static_cast<double>(hash >> 12);
}

Model open_model(const std::filesystem::path& dir_or_file, bool last_weights, Device device) {
  Model opened = with_checkpoint(dir_or_file, [&](const std::filesystem::path& file) {
    nn::CheckpointReader reader(file);
    Config config = parse_config(reader.info().config, file.string() + " (its config)");
    Model model{vapo::open_model(reader, file, {.last_weights = last_weights, .device = device}), config,
                stored_contents(reader.info())};
    std::vector<std::string> columns = columns_of(model.contents);
    if (static_cast<int64_t>(columns.size()) == model.dims()) model.columns = columns;
    return model;
  });
  if (ranks().size() > 1)
    expect_same(dir_or_file.string(),
                fmt::format("weights {:013x} of step {}", static_cast<uint64_t>(fingerprint(*opened.potential)),
                            opened.step));
  return opened;
}

void set_value(Model& model, const std::string& assignment) {
  set_value(model.config, assignment);
  model.recipe = model.config;
}

}  // namespace vapo::app
