#include "nn/optimizer.h"

#include <algorithm>
#include <cmath>

namespace vapo::nn {
namespace {

using Kind = OptimizerOptions::Kind;

void check_options(const OptimizerOptions& o) {
  auto require = [](bool good, const char* what, double value) {
    if (!good) throw InputError(fmt::format("[optimizer] {}, got {}", what, value));
  };
  require(o.beta1 >= 0 && o.beta1 < 1, "beta1 must be in [0, 1)", o.beta1);
  require(o.beta2 >= 0 && o.beta2 < 1, "beta2 must be in [0, 1)", o.beta2);
  require(o.eps > 0 && std::isfinite(o.eps), "eps must be positive", o.eps);
  require(o.weight_decay >= 0 && std::isfinite(o.weight_decay), "weight_decay must not be negative",
          o.weight_decay);
  require(o.momentum >= 0 && o.momentum < 1, "momentum must be in [0, 1)", o.momentum);
  require(!o.nesterov || o.momentum > 0, "nesterov needs a positive momentum", o.momentum);
}

}  // namespace

Optimizer::Optimizer(std::vector<NamedParameter> parameters, OptimizerOptions options)
    : parameters_(std::move(parameters)), options_(options) {
  check_options(options_);
  for (const NamedParameter& p : parameters_) {
    const Tensor& x = p.parameter->value();
    m_.push_back(Tensor::zeros(x.shape(), x.options()));
    if (options_.kind != Kind::sgd) v_.push_back(Tensor::zeros(x.shape(), x.options()));
  }
  slots_.resize(parameters_.size());
}

Tensor Optimizer::start(std::span<const Var> grads, double learning_rate, const ClipOptions& clip, Ema* ema) {
  VAPO_CHECK(grads.size() == parameters_.size(), "[optimizer] {} gradients for {} parameters", grads.size(),
             parameters_.size());
  VAPO_CHECK(!ema || ema->averages().size() == parameters_.size(),
             "[optimizer] an EMA of {} tensors for {} parameters", ema ? ema->averages().size() : 0,
             parameters_.size());
  bool clips = clip.kind == ClipOptions::Kind::norm || clip.kind == ClipOptions::Kind::value;
  VAPO_CHECK(!clips || clip.limit > 0, "[optimizer] the clipping limit must be positive, got {}", clip.limit);
  if (clip.kind == ClipOptions::Kind::std && options_.kind == Kind::sgd)
    throw InputError(
        "[optimizer] clipping 'std' needs a second moment: use adam, adamw or lamb, or clip by norm or value");

  gradients_.clear();
  for (size_t i = 0; i < grads.size(); ++i) {
    const Tensor& x = parameters_[i].parameter->value();
    const Var& g = grads[i];
    VAPO_CHECK(g.defined() && g.shape() == x.shape() && g.dtype() == x.dtype(),
               "[optimizer] parameter '{}' is {} {}, its gradient {}", parameters_[i].name, name_of(x.dtype()),
               x.shape().str(),
               g.defined() ? fmt::format("{} {}", name_of(g.dtype()), g.shape().str()) : "undefined");
    gradients_.push_back(g.value());
    slots_[i] = {.param = x,
                 .grad = g.value(),
                 .m = m_[i],
                 .v = v_.empty() ? Tensor() : v_[i],
                 .ema = ema ? ema->averages()[i] : Tensor()};
  }
  Tensor norm_squares = kernel::sum_squares(gradients_);
  update(norm_squares, learning_rate, clip, ema);
  gradients_.clear();
  std::fill(slots_.begin(), slots_.end(), kernel::Slot());  // the gradients are free to go
  return norm_squares;
}

double Optimizer::finish(double norm_squares, Ema* ema) {
  double norm = std::sqrt(norm_squares);
  if (std::isfinite(norm)) {
    ++steps_;
    if (ema) ema->count_update();
  }
  return norm;
}

void Optimizer::update(const Tensor& norm_squares, double learning_rate, const ClipOptions& clip, Ema* ema) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  kernel::GradientNorm norm{norm_squares, clip.kind == ClipOptions::Kind::norm ? clip.limit : infinity};
  double bound = clip.kind == ClipOptions::Kind::value ? clip.limit : infinity;
  double ema_decay = ema ? ema->next_decay() : 0;
  if (options_.kind == Kind::sgd) {
    kernel::sgd_update(slots_, {.lr = learning_rate,
                                .momentum = options_.momentum,
                                .weight_decay = options_.weight_decay,
                                .nesterov = options_.nesterov,
                                .grad_scale = 1,
                                .clip_value = bound,
                                .ema_decay = ema_decay,
                                .norm = norm});
  } else {
    kernel::AdamUpdate u{.lr = learning_rate,
                         .beta1 = options_.beta1,
                         .beta2 = options_.beta2,
                         .eps = options_.eps,
                         .weight_decay = options_.weight_decay,
                         .decoupled = options_.kind != Kind::adam,
                         .step = steps_ + 1,
                         .grad_scale = 1,
                         .clip_value = bound,
                         .clip_std = clip.kind == ClipOptions::Kind::std,
                         .ema_decay = ema_decay,
                         .norm = norm};
    if (options_.kind == Kind::lamb)
      kernel::lamb_update(slots_, u);
    else
      kernel::adam_update(slots_, u);
  }
}

void Optimizer::state(const BufferVisitor& visit) {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    visit("m." + parameters_[i].name, m_[i]);
    if (!v_.empty()) visit("v." + parameters_[i].name, v_[i]);
  }
}

}  // namespace vapo::nn
