#pragma once
// Every key of a config once, with what its value may be: what reads and what writes a config walks the same list.

#include <string>
#include <utility>
#include <vector>

#include "apps/run/config.h"
#include "data/images.h"
#include "data/points.h"

namespace vapo::app {

// What a value may be: numbers from low (without it where `above`) to high; texts from `choices`, where there are
// any.
struct Limits {
  double low = 0, high = 0;
  bool above = false;
  std::vector<std::string> choices = {};
  bool may_be_empty = false;  // of arrays
};
inline Limits from(double low, double high) { return {low, high}; }
inline Limits above(double low, double high) { return {low, high, true}; }
inline Limits one_of(std::vector<std::string> names) { return {.choices = std::move(names)}; }
constexpr double kMost = 1e9;   // of counts
constexpr double kHuge = 1e30;  // of reals

// Every key, once: visit(key, value, limits).
template <class C, class V>
void for_each_key(C& c, V& visit) {
  std::vector<std::string> sets = data::point_set_names();
  for (const std::string& name : data::image_set_names()) sets.push_back(name);
  sets.push_back("");
  const std::vector<std::string> activations = {"silu", "gelu", "softplus", "relu", "leaky_relu", "tanh"};
  visit("data.set", c.data.set, one_of(sets));
  visit("data.path", c.data.path, Limits{});
  visit("data.noise", c.data.noise, from(0, kHuge));
  visit("data.points", c.data.points, from(0, kMost));
  visit("data.held_out", c.data.held_out, from(0, 0.99));
  visit("data.standardize", c.data.standardize, Limits{});
  visit("data.jitter", c.data.jitter, from(0, 10));
  visit("data.size", c.data.size, from(0, 4096));
  visit("data.crop", c.data.crop, from(0, 65536));
  visit("data.flip", c.data.flip, Limits{});
  visit("data.dequantize", c.data.dequantize, Limits{});
  visit("data.skip_unreadable", c.data.skip_unreadable, Limits{});

  visit("model.kind", c.model.kind, one_of({"mlp", "unet", "wide_resnet"}));
  visit("model.hidden", c.model.hidden, from(1, 65536));
  visit("model.activation", c.model.activation, one_of(activations));
  visit("model.time_embedding", c.model.time_embedding, from(0, 65536));
  visit("model.time_scale", c.model.time_scale, above(0, kHuge));
  visit("model.potential", c.model.potential, one_of({"preconditioned", "raw"}));
  visit("model.reference", c.model.reference, one_of({"gaussian", "none"}));

  visit("unet.base_width", c.unet.base_width, from(1, 65536));
  visit("unet.multipliers", c.unet.multipliers, from(1, 4096));
  visit("unet.blocks_per_level", c.unet.blocks_per_level, from(1, 1024));
  visit("unet.attention_downsamplings", c.unet.attention_downsamplings,
        Limits{.low = 1, .high = 65536, .may_be_empty = true});
  visit("unet.heads", c.unet.heads, from(1, 65536));
  visit("unet.head_width", c.unet.head_width, from(-1, 65536));
  visit("unet.dropout", c.unet.dropout, from(0, 0.99));
  visit("unet.conv_resample", c.unet.conv_resample, Limits{});
  visit("unet.resblock_updown", c.unet.resblock_updown, Limits{});
  visit("unet.new_attention_order", c.unet.new_attention_order, Limits{});
  visit("unet.scale_shift", c.unet.scale_shift, Limits{});
  visit("unet.groups", c.unet.groups, from(1, 65536));
  visit("unet.classes", c.unet.classes, from(0, kMost));
  visit("unet.time", c.unet.time, Limits{});
  visit("unet.time_scale", c.unet.time_scale, above(0, kHuge));

  visit("wide_resnet.base_width", c.wide_resnet.base_width, from(1, 65536));
  visit("wide_resnet.depth", c.wide_resnet.depth, from(10, 10000));
  visit("wide_resnet.widen", c.wide_resnet.widen, from(1, 1024));
  visit("wide_resnet.norm", c.wide_resnet.norm, one_of({"none", "group"}));
  visit("wide_resnet.groups", c.wide_resnet.groups, from(1, 65536));
  visit("wide_resnet.activation", c.wide_resnet.activation, one_of(activations));
  visit("wide_resnet.dropout", c.wide_resnet.dropout, from(0, 0.99));
  visit("wide_resnet.head", c.wide_resnet.head, one_of({"linear", "residual"}));
  visit("wide_resnet.classes", c.wide_resnet.classes, from(0, kMost));
  visit("wide_resnet.time", c.wide_resnet.time, Limits{});

  visit("path.kind", c.path.kind, one_of({"linear", "cosine", "tempered"}));
  visit("path.omega", c.path.omega, above(0, kHuge));
  visit("path.nu", c.path.nu, above(0, kHuge));

  visit("loss.estimator", c.loss.estimator, one_of({"inner_product", "covariance", "published"}));
  visit("loss.weight", c.loss.weight, one_of({"one", "preconditioned"}));
  visit("loss.antithetic", c.loss.antithetic, Limits{});
  visit("loss.first_term", c.loss.first_term, one_of({"correlation", "covariance"}));
  visit("loss.second_term", c.loss.second_term, one_of({"cosine", "dot", "dist"}));
  visit("loss.first_weight", c.loss.first_weight, from(0, kHuge));
  visit("loss.second_weight", c.loss.second_weight, from(0, kHuge));
  visit("loss.dirichlet_weight", c.loss.dirichlet_weight, from(0, kHuge));
  visit("loss.time_weight", c.loss.time_weight, from(0, kHuge));

  visit("train.from", c.train.from, Limits{});
  visit("train.steps", c.train.steps, from(0, 1e12));
  visit("train.batch_size", c.train.batch_size, from(1, 1e7));
  visit("train.accumulate", c.train.accumulate, from(1, 1024));
  visit("train.recompute", c.train.recompute, Limits{});
  visit("train.label_drop", c.train.label_drop, from(0, 1));
  visit("train.learning_rate", c.train.learning_rate, from(0, 1e38));
  visit("train.schedule", c.train.schedule, one_of({"constant", "cosine", "step"}));
  visit("train.schedule_steps", c.train.schedule_steps, from(0, 1e12));
  visit("train.warmup_steps", c.train.warmup_steps, from(0, 1e12));
  visit("train.final_fraction", c.train.final_fraction, from(0, 1));
  visit("train.step_every", c.train.step_every, from(0, 1e12));
  visit("train.step_factor", c.train.step_factor, above(0, 1));
  visit("train.optimizer", c.train.optimizer, one_of({"adam", "adamw", "sgd", "lamb"}));
  visit("train.beta1", c.train.beta1, from(0, 1));
  visit("train.beta2", c.train.beta2, from(0, 1));
  visit("train.eps", c.train.eps, from(0, 1));
  visit("train.weight_decay", c.train.weight_decay, from(0, kHuge));
  visit("train.momentum", c.train.momentum, from(0, 1));
  visit("train.nesterov", c.train.nesterov, Limits{});
  visit("train.clip", c.train.clip, one_of({"none", "norm", "value", "std"}));
  visit("train.clip_limit", c.train.clip_limit, above(0, kHuge));
  visit("train.ema_decay", c.train.ema_decay, from(0, 1));
  visit("train.ema_ramp", c.train.ema_ramp, Limits{});
  visit("train.t_min", c.train.t_min, from(0, 1));
  visit("train.t_max", c.train.t_max, from(0, 1));
  visit("train.checkpoint_every", c.train.checkpoint_every, from(1, 1e12));
  visit("train.keep_checkpoints", c.train.keep_checkpoints, from(1, kMost));
  visit("train.log_every", c.train.log_every, from(1, 1e12));
  visit("train.validate_every", c.train.validate_every, from(0, 1e12));
  visit("train.sample_every", c.train.sample_every, from(0, 1e12));
  visit("train.tensorboard", c.train.tensorboard, Limits{});
  visit("train.seed", c.train.seed, from(0, 9e15));

  visit("sample.method", c.sample.method, one_of({"euler", "heun", "rk23", "rk45", "sgld"}));
  visit("sample.batch_size", c.sample.batch_size, from(0, 1e6));
  visit("sample.grid", c.sample.grid, from(1, 4096));
  visit("sample.steps", c.sample.steps, from(1, kMost));
  visit("sample.rtol", c.sample.rtol, from(1e-30, 1));
  visit("sample.atol", c.sample.atol, from(1e-30, 1e6));
  visit("sample.t_start", c.sample.t_start, from(0, 1));
  visit("sample.t_end", c.sample.t_end, from(0, 1e6));
  visit("sample.energy", c.sample.energy, one_of({"marginal", "boltzmann"}));
  visit("sample.sgld_steps", c.sample.sgld_steps, from(0, kMost));
  visit("sample.step_size", c.sample.step_size, above(0, kHuge));
  visit("sample.temperature", c.sample.temperature, from(0, kHuge));

  visit("energy.marginal_t", c.energy.marginal_t, from(0, 1));
  visit("energy.boltzmann", c.energy.boltzmann, one_of({"given", "path"}));
  visit("energy.boltzmann_t", c.energy.boltzmann_t, from(0, 1));
  visit("energy.f", c.energy.f, from(-kHuge, kHuge));
  visit("energy.g_squared", c.energy.g_squared, above(0, kHuge));

  visit("density.grid", c.density.grid, from(2, 4096));
  visit("density.points", c.density.points, from(2, 1e6));
  visit("density.likelihood_points", c.density.likelihood_points, from(2, 1e6));
  visit("density.sgld_particles", c.density.sgld_particles, from(2, 1e6));
  visit("density.sgld_steps", c.density.sgld_steps, from(10, kMost));
  visit("density.sgld_burn_in", c.density.sgld_burn_in, from(0, kMost));
}

}  // namespace vapo::app
