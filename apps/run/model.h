#pragma once
// A trained model of a run: with what its config says of the data, beside the recipe.

#include "apps/run/config.h"
#include "vapo/model.h"

namespace vapo::app {

// FNV-1a of all parameters, in 52 bits: a whole number that a double holds.
double fingerprint(Potential& potential);

struct Model : vapo::Model {
  Config config;         // its recipe is `recipe`
  std::string contents;  // of the data that it was trained on, where the checkpoint says (contents.h)
  std::vector<std::string> columns = {};  // the names of its dimensions, where its table had names
};
// `dir_or_file` as find_checkpoint takes it. Weights: the averages where there are any, unless `last_weights`.
// By all ranks: throws on rank 0 where another has other weights.
Model open_model(const std::filesystem::path& dir_or_file, bool last_weights = false, Device device = Device::cpu);

void set_value(Model& model, const std::string& assignment);  // in its config, and its recipe
bool is_of_images(const Config& config);                      // by its data.set

}  // namespace vapo::app
