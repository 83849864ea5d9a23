#include "apps/trainer.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/grad.h"
#include "tensor/check.h"
#include "tensor/kernels.h"
#include "tensor/random.h"

namespace vapo::app {

void Window::add(const StepReport& report) {
  sums.resize(2 + report.terms.size());
  sums[0] += report.loss;
  sums[1] += report.gradient_norm;
  for (size_t i = 0; i < report.terms.size(); ++i) sums[2 + i] += report.terms[i].second;
  ++steps;
}

StepReport Window::mean(const StepReport& last) const {
  StepReport out = last;
  if (steps == 0 || sums.size() != 2 + last.terms.size()) return out;
  double n = static_cast<double>(steps);
  out.loss = sums[0] / n;
  out.gradient_norm = sums[1] / n;
  for (size_t i = 0; i < out.terms.size(); ++i) out.terms[i].second = sums[2 + i] / n;
  return out;
}

Trainer::Trainer(const Config& config, const Dataset& dataset, Device device, bool recorded)
    : config_(config),
      config_text_(to_toml(config)),
      dataset_(dataset),
      path_(make_path(config)),
      loss_(make_loss(config)),
      clip_(make_clip(config)),
      schedule_(make_schedule(config)),
      potential_(make_potential(config, Shape{dataset.dims()})),
      device_(device),
      recorded_(recorded) {
  nn::to(*potential_, device);
  if (config.train.t_min >= config.train.t_max) {
    throw InputError(
        fmt::format("train.t_min = {} must be below train.t_max = {}", config.train.t_min, config.train.t_max));
  }
  if (config.loss.estimator == "published" && config.loss.weight != "one") {
    throw InputError(
        "loss.weight must be \"one\" with loss.estimator = \"published\": that loss has time weights of its own");
  }
  if (config.loss.estimator == "published" && config.train.batch_size < 2) {
    throw InputError(
        "train.batch_size must be 2 or more with loss.estimator = \"published\": it divides by a deviation");
  }
  std::vector<nn::NamedParameter> named = nn::named_parameters(*potential_);
  for (const nn::NamedParameter& p : named) parameters_.push_back(*p.parameter);
  if (config.train.ema_decay > 0) {
    ema_ = std::make_unique<nn::Ema>(named, config.train.ema_decay, config.train.ema_ramp);
  }
  optimizer_ = std::make_unique<nn::Optimizer>(std::move(named), make_optimizer(config));
}

int64_t Trainer::parameters() const {
  int64_t count = 0;
  for (const Var& p : parameters_) count += p.numel();
  return count;
}

void Trainer::compute() {
  const Config::Train& c = config_.train;
  uint64_t seed = static_cast<uint64_t>(c.seed), k = static_cast<uint64_t>(step_);
  LossBatch batch;
  batch.data = data_;
  batch.t = rand({c.batch_size}, {seed, kTimeStream, k}, c.t_min, c.t_max, {DType::f32, device_});
  batch.eps = randn(data_.shape(), {seed, kNoiseStream, k}, {DType::f32, device_});

  LossTerms loss = vapo_loss(*potential_, path_, batch, loss_);
  std::vector<Tensor> values{loss.total.value().reshape({1})};
  term_names_.clear();
  for (const auto& [name, value] : loss.terms) {
    term_names_.push_back(name);
    values.push_back(value.value().reshape({1}));
  }
  Tensor all = kernel::concat(values, 0);
  if (!loss_values_.defined()) loss_values_ = Tensor::empty(all.shape(), {DType::f64, device_});
  kernel::copy_into(loss_values_, all);

  // Where only ∇Φ enters the loss, Φ's last bias has no gradient: zeros. Where the loss is not finite neither is
  // their norm, and nothing is written.
  std::vector<Var> gradients = grad(loss.total, parameters_, {.allow_unused = true});
  Tensor squares = optimizer_->start(gradients, schedule_.at(step_), clip_, ema_.get());
  if (!gradient_squares_.defined()) gradient_squares_ = Tensor::empty({}, {DType::f64, device_});
  kernel::copy_into(gradient_squares_, squares);
}

const StepReport& Trainer::step() {
  Tensor x = dataset_.batch(config_.train.batch_size, static_cast<uint64_t>(step_));
  if (!data_.defined()) data_ = Tensor::empty(x.shape(), {DType::f32, device_});
  kernel::copy_into(data_, x);

  constexpr int64_t warm_up = 2;  // steps in which libraries choose their algorithms
  if (device_ == Device::cpu || !recorded_ || eager_steps_ < warm_up) {
    compute();
    ++eager_steps_;
  } else {
    if (!graph_) {
      graph_ = std::make_unique<StepGraph>();
      first_replayed_ = step_;
      graph_->record([&] { compute(); });
    }
    graph_->replay({.advance = static_cast<uint64_t>(step_ - first_replayed_),
                    .learning_rate = schedule_.at(step_),
                    .ema_decay = ema_ ? ema_->next_decay() : 0});
  }

  std::vector<double> values = loss_values_.to(Device::cpu).to_vector<double>();
  report_.loss = values[0];
  report_.terms.resize(term_names_.size());
  for (size_t i = 0; i < term_names_.size(); ++i) report_.terms[i] = {term_names_[i], values[i + 1]};
  if (!std::isfinite(report_.loss)) {
    throw DivergedError(fmt::format("the loss of step {} is {}. Hint: a smaller train.learning_rate, or train.clip",
                                    step_ + 1, report_.loss));
  }
  report_.learning_rate = schedule_.at(step_);
  report_.gradient_norm = optimizer_->finish(gradient_squares_, ema_.get());
  if (!std::isfinite(report_.gradient_norm)) {
    throw DivergedError(
        fmt::format("the gradient of step {} is not finite. Hint: a smaller train.learning_rate", step_ + 1));
  }
  ++step_;
  window_.add(report_);
  return report_;
}

void Trainer::save(const std::filesystem::path& file) {
  for (const Var& p : parameters_) {
    if (!kernel::all_finite(p.value())) {
      throw DivergedError(
          fmt::format("a parameter is not finite after step {}: no checkpoint of it is kept", step_));
    }
  }
  nn::TrainingState state{.module = potential_.get(),
                          .ema = ema_.get(),
                          .optimizer = optimizer_.get(),
                          .step = step_,
                          .seed = static_cast<uint64_t>(config_.train.seed),
                          .config = config_text_,
                          .extra = {}};
  store(dataset_.standardization(), state.extra);
  if (window_.steps > 0) {
    std::vector<double> values = {static_cast<double>(window_.steps)};
    values.insert(values.end(), window_.sums.begin(), window_.sums.end());
    state.extra["metrics.window"] = Tensor::from(values, {static_cast<int64_t>(values.size())});
  }
  nn::save_checkpoint(file, state);
}

void Trainer::load(const nn::CheckpointReader& checkpoint) {
  checkpoint.load_training_state(*potential_, ema_.get(), *optimizer_);
  step_ = checkpoint.info().step;
  window_ = {};
  auto saved = checkpoint.info().extra.find("metrics.window");
  if (saved != checkpoint.info().extra.end() && saved->second.numel() > 0) {
    std::vector<double> values = saved->second.to(DType::f64).to_vector<double>();
    window_ = {static_cast<int64_t>(values[0]), {values.begin() + 1, values.end()}};
  }
}

}  // namespace vapo::app
