#include "vapo/model.h"

#include <cmath>

#include "tensor/check.h"
#include "vapo/toml.h"

namespace vapo {
namespace {

// What f makes of the recipe of a file: where it cannot be made, the file is named.
template <class F>
auto from_recipe_of(const std::string& file, const F& f) {
  try {
    return f();
  } catch (const Error& e) {
    throw InputError(fmt::format("{} (its config): {}", file, e.what()));
  }
}

}  // namespace

Standardization standardization_of(const nn::CheckpointInfo& info, const std::string& file) {
  auto mean = info.extra.find("data.mean"), scale = info.extra.find("data.scale");
  bool there = mean != info.extra.end() && scale != info.extra.end() && mean->second.rank() == 1 &&
               mean->second.numel() > 0 && mean->second.shape() == scale->second.shape();
  if (!there) {
    throw InputError(
        fmt::format("{}: no extra.data.mean and extra.data.scale of one length: not written by vapo train", file));
  }
  Standardization out{mean->second.to(DType::f64), scale->second.to(DType::f64)};
  auto factor = info.extra.find("data.factor");
  if (factor == info.extra.end()) return out;
  int64_t dims = out.mean.numel();
  out.factor = factor->second.to(DType::f64);
  if (out.factor.shape() != Shape{dims, dims})
    throw InputError(
        fmt::format("{}: extra.data.factor is {} for {} columns", file, out.factor.shape().str(), dims));
  for (int64_t k = 0; k < dims; ++k)
    if (double d = out.factor.at(k * dims + k); !(d > 0 && std::isfinite(d)))
      throw InputError(fmt::format("{}: extra.data.factor holds {} on its diagonal", file, d));
  return out;
}

Shape image_shape_of(const nn::CheckpointInfo& info, const std::string& file) {
  auto found = info.extra.find("data.image_shape");
  if (found == info.extra.end() || found->second.dtype() != DType::i64 || found->second.shape() != Shape{3})
    throw InputError(
        fmt::format("{}: no extra.data.image_shape of three integers: not a checkpoint of images", file));
  std::vector<int64_t> s = found->second.to_vector<int64_t>();
  for (int64_t size : s)
    if (size < 1 || size > 65536) throw InputError(fmt::format("{}: extra.data.image_shape holds {}", file, size));
  return {s[0], s[1], s[2]};
}

Energy Model::marginal(const Potential& phi) const {
  return marginal_energy(phi, path(), recipe.energy.marginal_t);
}

Energy Model::boltzmann(const Potential& phi) const {
  const EnergyOptions& e = recipe.energy;
  if (e.boltzmann == EnergyOptions::Boltzmann::given) return boltzmann_energy(phi, e.boltzmann_t, e.f, e.g_squared);
  if (std::string why = path().no_density(); !why.empty())
    throw InputError("energy.boltzmann = \"path\": " + why + ". Hint: energy.boltzmann = \"given\"");
  return boltzmann_energy(phi, e.boltzmann_t, path().f(e.boltzmann_t), path().g_squared(e.boltzmann_t));
}

Energy Model::energy(EnergyKind kind, const Potential& phi) const {
  switch (kind) {
    case EnergyKind::marginal:
      return marginal(phi);
    case EnergyKind::boltzmann:
      return boltzmann(phi);
    case EnergyKind::potential:
      return potential_energy(phi, 1);
  }
  fail("[energy] unknown kind {}", static_cast<int>(kind));
}

Model open_model(const std::filesystem::path& file, OpenOptions options) {
  return open_model(nn::CheckpointReader(file), file, options);
}

Model open_model(const nn::CheckpointReader& reader, const std::filesystem::path& file, OpenOptions options) {
  Model model;
  model.file = file;
  std::string name = file.string();
  model.recipe = parse_recipe(reader.info().config, name + " (its config)", UnknownKeys::ignore);
  if (model.recipe.potential.network == PotentialOptions::Network::mlp) {
    model.standardization = standardization_of(reader.info(), name);
    model.sample = {model.standardization.mean.numel()};
  } else {
    model.sample = image_shape_of(reader.info(), name);
  }
  model.potential = from_recipe_of(name, [&] { return make_potential(model.recipe, model.sample); });
  model.step = reader.info().step;
  model.averaged = reader.has_ema() && !options.last_weights;
  if (model.averaged) {
    reader.load_ema_as_parameters(*model.potential);
  } else {
    reader.load_parameters(*model.potential);
  }
  nn::to(*model.potential, options.device);
  model.device = options.device;
  return model;
}

}  // namespace vapo
