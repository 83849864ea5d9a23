#include "vapo/training/training_step.h"

#include <cmath>
#include <limits>

#include "tensor/kernels.h"

namespace vapo {

bool StepReport::is_finite() const { return std::isfinite(loss) && std::isfinite(gradient_norm); }

TrainingStep::TrainingStep(nn::Module& module, const StepOptions& options) : options_(options) {
  nn::to(module, options.device);
  std::vector<nn::NamedParameter> named = nn::named_parameters(module);
  for (const nn::NamedParameter& p : named) parameters_.push_back(*p.parameter);
  if (options.ema_decay > 0) ema_ = std::make_unique<nn::Ema>(named, options.ema_decay, options.ema_ramp);
  optimizer_ = std::make_unique<nn::Optimizer>(std::move(named), options.optimizer);
}

Tensor values_of(const LossTerms& loss) {
  std::vector<Tensor> values{loss.total.value().reshape({1})};
  for (const auto& [name, value] : loss.terms) values.push_back(value.value().reshape({1}));
  return kernel::concat(values, 0);
}

void TrainingStep::compute(double learning_rate, const std::function<void(const Add&)>& losses) {
  GradientSum sum(parameters_, options_.replicas);
  auto name_terms = [&](const LossTerms& loss) {
    term_names_.clear();
    for (const auto& [name, value] : loss.terms) term_names_.push_back(name);
  };
  // Where only ∇Φ enters the loss, Φ's last bias has no gradient: zeros. Where the loss is not finite neither is their
  // norm, and nothing is written.
  {
    nn::RoundedParameters::Use rounded(rounded_);
    losses(Add(
        [&](const LossTerms& loss) {
          name_terms(loss);
          sum.take(loss.total, values_of(loss));
        },
        [&](int64_t count, const Add::Loss& loss) {
          sum.take_side_by_side(count, [&](int64_t part) {
            LossTerms of_part = loss(part);
            if (part == 0) name_terms(of_part);
            return std::pair(of_part.total, values_of(of_part));
          });
        }));
  }
  sum.finish();
  std::vector<Var> gradients(sum.gradients().begin(), sum.gradients().end());
  const Tensor& values = sum.values();
  Tensor squares = optimizer_->start(gradients, learning_rate, options_.clip, ema_.get());
  Tensor parts[] = {values.to(DType::f64), squares.reshape({1})}, all = kernel::concat(parts, 0);
  if (!results_.defined()) results_ = Tensor::empty(all.shape(), all.options());
  kernel::copy_into(results_, all);
}

const StepReport& TrainingStep::operator()(int64_t step, double learning_rate,
                                           const std::function<void(const Add&)>& losses,
                                           const std::function<void()>& meanwhile) {
  constexpr int64_t warm_up = 2;  // steps in which libraries choose their algorithms
  if (options_.device == Device::cpu || !options_.recorded || eager_steps_ < warm_up) {
    compute(learning_rate, losses);
    ++eager_steps_;
  } else {
    if (!graph_) {
      graph_ = std::make_unique<StepGraph>();
      first_replayed_ = step;
      graph_->record([&] { compute(learning_rate, losses); });
    }
    graph_->replay({.advance = static_cast<uint64_t>(step - first_replayed_),
                    .learning_rate = learning_rate,
                    .ema_decay = ema_ ? ema_->next_decay() : 0});
  }
  if (meanwhile) meanwhile();
  std::vector<double> values = results_.to_vector<double>();
  report_.loss = values[0];
  report_.learning_rate = learning_rate;
  report_.gradient_norm = std::numeric_limits<double>::quiet_NaN();
  report_.terms.resize(term_names_.size());
  for (size_t i = 0; i < term_names_.size(); ++i) report_.terms[i] = {term_names_[i], values[i + 1]};
  if (std::isfinite(report_.loss)) report_.gradient_norm = optimizer_->finish(values.back(), ema_.get());
  return report_;
}

}  // namespace vapo
