#pragma once
// From a config to the objects it describes, and a trained model opened from its checkpoint.

#include <filesystem>
#include <memory>
#include <string>

#include "apps/run/config.h"
#include "data/points.h"
#include "nn/checkpoint.h"
#include "nn/optimizer.h"
#include "nn/schedule.h"
#include "vapo/energy.h"
#include "vapo/loss.h"
#include "vapo/path.h"
#include "vapo/potential.h"

namespace vapo::app {

Path make_path(const Config& config);
// Of points (D) or images (H,W,C). Throws InputError naming the key where network and data do not fit.
std::unique_ptr<Potential> make_potential(const Config& config, const Shape& sample);
LossOptions make_loss(const Config& config);
nn::OptimizerOptions make_optimizer(const Config& config);
nn::ClipOptions make_clip(const Config& config);
nn::Schedule make_schedule(const Config& config);

int64_t classes_of(const Config& config);  // of its network; 0 = not conditional
bool is_of_images(const Config& config);   // by its data.set

// extra.data.mean and extra.data.scale of a checkpoint of points.
data::Standardization standardization_of(const nn::CheckpointInfo& info, const std::string& file);

// extra.data.image_shape of a checkpoint of images, (H,W,C). Both throw InputError naming the file.
Shape image_shape_of(const nn::CheckpointInfo& info, const std::string& file);

struct Model {
  std::filesystem::path file;
  Config config;
  Path path;
  std::shared_ptr<Potential> potential;
  Shape sample;                           // of one: (D), or (H,W,C) of images in [−1,1]
  data::Standardization standardization;  // of points
  std::string contents;  // of the data that it was trained on, where the checkpoint says (contents.h)
  int64_t step = 0;
  Device device = Device::cpu;
  bool averaged = false;  // the weights are the EMA's
  bool of_images() const { return sample.rank() == 3; }
  int64_t dims() const { return sample.numel(); }

  // Of its potential, or of one made of it, which must outlive them.
  Energy marginal() const { return marginal(*potential); }
  Energy boltzmann() const { return boltzmann(*potential); }
  Energy marginal(const Potential& phi) const;
  Energy boltzmann(const Potential& phi) const;
};
// `dir_or_file` as find_checkpoint takes it. Weights: the averages where there are any, unless `last_weights`.
Model open_model(const std::filesystem::path& dir_or_file, bool last_weights = false, Device device = Device::cpu);

}  // namespace vapo::app
