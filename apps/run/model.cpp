#include "apps/run/model.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/run/contents.h"
#include "apps/run/run_folder.h"
#include "data/images.h"
#include "tensor/check.h"
#include "vapo/networks/mlp.h"
#include "vapo/networks/unet.h"
#include "vapo/networks/wide_resnet.h"
#include "vapo/preconditioned.h"

namespace vapo::app {

Path make_path(const Config& c) { return path_from_name(c.path.kind, c.path.omega, c.path.nu); }

namespace {

std::unique_ptr<Potential> make_unet(const Config& c, const Shape& image) {
  const Config::Unet& u = c.unet;
  UnetOptions options{.height = image[0],
                      .width = image[1],
                      .in_channels = image[2],
                      .base_width = u.base_width,
                      .multipliers = u.multipliers,
                      .blocks_per_level = u.blocks_per_level,
                      .attention_downsamplings = u.attention_downsamplings,
                      .heads = u.heads,
                      .head_width = u.head_width,
                      .dropout = u.dropout,
                      .conv_resample = u.conv_resample,
                      .resblock_updown = u.resblock_updown,
                      .new_attention_order = u.new_attention_order,
                      .scale_shift = u.scale_shift,
                      .groups = u.groups,
                      .classes = u.classes,
                      .time = u.time,
                      .time_scale = u.time_scale};
  return std::make_unique<UnetPotential>(options, static_cast<uint64_t>(c.train.seed));
}

std::unique_ptr<Potential> make_wide_resnet(const Config& c, const Shape& image) {
  const Config::WideResnet& w = c.wide_resnet;
  WideResnetOptions options{.height = image[0],
                            .width = image[1],
                            .in_channels = image[2],
                            .base_width = w.base_width,
                            .depth = w.depth,
                            .widen = w.widen,
                            .norm = norm_from_name(w.norm),
                            .groups = w.groups,
                            .activation = nn::activation_from_name(w.activation),
                            .dropout = w.dropout,
                            .head = head_from_name(w.head),
                            .time = w.time,
                            .classes = w.classes};
  return std::make_unique<WideResnetPotential>(options, static_cast<uint64_t>(c.train.seed));
}

std::unique_ptr<Potential> make_mlp(const Config& c, int64_t dims) {
  if (c.model.time_embedding % 2 != 0) {
    throw InputError(fmt::format("model.time_embedding = {}: must be even", c.model.time_embedding));
  }
  MlpOptions options{.in_features = dims,
                     .hidden = c.model.hidden,
                     .activation = nn::activation_from_name(c.model.activation),
                     .time_embedding = c.model.time_embedding,
                     .time_scale = c.model.time_scale};
  return std::make_unique<MlpPotential>(options, static_cast<uint64_t>(c.train.seed));
}

std::unique_ptr<Potential> make_network(const Config& c, const Shape& sample) {
  bool images = c.model.kind != "mlp";
  if (sample.rank() != (images ? 3 : 1)) {
    throw InputError(fmt::format("model.kind = \"{}\" is for {}, and a sample of the data has shape {}",
                                 c.model.kind, images ? "images (H,W,C)" : "points (D)", sample.str()));
  }
  if (c.model.kind == "unet") return make_unet(c, sample);
  if (c.model.kind == "wide_resnet") return make_wide_resnet(c, sample);
  return make_mlp(c, sample[0]);
}

}  // namespace

std::unique_ptr<Potential> make_potential(const Config& c, const Shape& sample) {
  auto network = make_network(c, sample);
  if (c.model.potential == "raw") return network;
  using Reference = PreconditionedPotential::Reference;
  return std::make_unique<PreconditionedPotential>(
      std::move(network), make_path(c), c.model.reference == "none" ? Reference::none : Reference::gaussian);
}

LossOptions make_loss(const Config& c) {
  using E = LossOptions::Estimator;
  using F = LossOptions::FirstTerm;
  using S = LossOptions::SecondTerm;
  const Config::Loss& l = c.loss;
  return {.estimator = l.estimator == "covariance"  ? E::covariance
                       : l.estimator == "published" ? E::published
                                                    : E::inner_product,
          .weight = l.weight == "one" ? LossOptions::Weight::one : LossOptions::Weight::preconditioned,
          .antithetic = l.antithetic,
          .first = l.first_term == "covariance" ? F::covariance : F::correlation,
          .second = l.second_term == "dot"    ? S::dot
                    : l.second_term == "dist" ? S::dist
                                              : S::cosine,
          .first_weight = l.first_weight,
          .second_weight = l.second_weight,
          .dirichlet_weight = l.dirichlet_weight,
          .time_weight = l.time_weight};
}

nn::OptimizerOptions make_optimizer(const Config& c) {
  const Config::Train& t = c.train;
  return {.kind = nn::optimizer_from_name(t.optimizer),
          .beta1 = t.beta1,
          .beta2 = t.beta2,
          .eps = t.eps,
          .weight_decay = t.weight_decay,
          .momentum = t.momentum,
          .nesterov = t.nesterov};
}

nn::ClipOptions make_clip(const Config& c) {
  return {.kind = nn::clip_from_name(c.train.clip), .limit = c.train.clip_limit};
}

nn::Schedule make_schedule(const Config& c) {
  const Config::Train& t = c.train;
  return {.kind = nn::schedule_from_name(t.schedule),
          .base = t.learning_rate,
          .warmup_steps = t.warmup_steps,
          .total_steps = t.schedule_steps > 0 ? t.schedule_steps : t.steps,
          .final_fraction = t.final_fraction,
          .step_every = t.step_every,
          .step_factor = t.step_factor};
}

int64_t classes_of(const Config& c) {
  return c.model.kind == "unet" ? c.unet.classes : c.model.kind == "wide_resnet" ? c.wide_resnet.classes : 0;
}

bool is_of_images(const Config& config) {
  std::vector<std::string> names = data::image_set_names();
  return std::count(names.begin(), names.end(), config.data.set) > 0;
}

data::Standardization standardization_of(const nn::CheckpointInfo& info, const std::string& file) {
  auto mean = info.extra.find("data.mean"), scale = info.extra.find("data.scale");
  bool there = mean != info.extra.end() && scale != info.extra.end() && mean->second.rank() == 1 &&
               mean->second.numel() > 0 && mean->second.shape() == scale->second.shape();
  if (!there) {
    throw InputError(
        fmt::format("{}: no extra.data.mean and extra.data.scale of one length: not written by vapo train", file));
  }
  return {mean->second.to(DType::f64), scale->second.to(DType::f64)};
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

Energy Model::marginal(const Potential& phi) const { return marginal_energy(phi, path, config.energy.marginal_t); }

Energy Model::boltzmann(const Potential& phi) const {
  const Config::Energy& e = config.energy;
  if (e.boltzmann == "given") return boltzmann_energy(phi, e.boltzmann_t, e.f, e.g_squared);
  return boltzmann_energy(phi, e.boltzmann_t, path.f(e.boltzmann_t), path.g_squared(e.boltzmann_t));
}

namespace {

// What f makes of the config of a file: where it cannot be made, the file is named.
template <class F>
auto from_config_of(const std::string& file, const F& f) {
  try {
    return f();
  } catch (const Error& e) {
    throw InputError(fmt::format("{} (its config): {}", file, e.what()));
  }
}

}  // namespace

Model open_model(const std::filesystem::path& dir_or_file, bool last_weights, Device device) {
  Model model;
  nn::CheckpointReader reader = with_checkpoint(dir_or_file, [&](const std::filesystem::path& file) {
    model.file = file;
    return nn::CheckpointReader(file);
  });
  std::string name = model.file.string();
  model.config = parse_config(reader.info().config, name + " (its config)");
  model.path = from_config_of(name, [&] { return make_path(model.config); });
  if (is_of_images(model.config)) {
    model.sample = image_shape_of(reader.info(), name);
  } else {
    model.standardization = standardization_of(reader.info(), name);
    model.sample = {model.standardization.mean.numel()};
  }
  model.potential = from_config_of(name, [&] { return make_potential(model.config, model.sample); });
  model.contents = stored_contents(reader.info());
  model.step = reader.info().step;
  model.averaged = reader.has_ema() && !last_weights;
  if (model.averaged) {
    reader.load_ema_as_parameters(*model.potential);
  } else {
    reader.load_parameters(*model.potential);
  }
  nn::to(*model.potential, device);
  model.device = device;
  return model;
}

}  // namespace vapo::app
