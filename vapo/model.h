#pragma once
// A trained potential, opened from a checkpoint.

#include <filesystem>
#include <memory>
#include <string>

#include "nn/checkpoint.h"
#include "vapo/energy.h"
#include "vapo/potential.h"
#include "vapo/recipe.h"
#include "vapo/standardization.h"

namespace vapo {

struct Model {
  std::filesystem::path file;
  Recipe recipe;
  std::shared_ptr<Potential> potential;
  Shape sample;                     // of one: (D), or (H,W,C) of images in [−1,1]
  Standardization standardization;  // of points: from their own units to those that the potential sees
  int64_t step = 0;
  Device device = Device::cpu;
  bool averaged = false;  // the weights are the EMA's
  bool of_images() const { return sample.rank() == 3; }
  int64_t dims() const { return sample.numel(); }
  const Path& path() const { return recipe.path; }

  // As recipe.energy says, of its potential or of one made of it, which must outlive them.
  Energy marginal() const { return marginal(*potential); }
  Energy boltzmann() const { return boltzmann(*potential); }
  Energy energy(EnergyKind kind) const { return energy(kind, *potential); }
  Energy marginal(const Potential& phi) const;
  Energy boltzmann(const Potential& phi) const;
  Energy energy(EnergyKind kind, const Potential& phi) const;  // potential: Phi at t = 1
};

struct OpenOptions {
  bool last_weights = false;  // else their averages, where there are any
  Device device = Device::cpu;
};
// What a Trainer saved. Throws IoError and InputError, naming the file.
Model open_model(const std::filesystem::path& file, OpenOptions options = {});
Model open_model(const nn::CheckpointReader& reader, const std::filesystem::path& file, OpenOptions options = {});

// extra.data.mean and extra.data.scale of a checkpoint of points, and extra.data.factor where there is one.
Standardization standardization_of(const nn::CheckpointInfo& info, const std::string& file);
// extra.data.image_shape of a checkpoint of images, (H,W,C). Both throw InputError naming the file.
Shape image_shape_of(const nn::CheckpointInfo& info, const std::string& file);

}  // namespace vapo
