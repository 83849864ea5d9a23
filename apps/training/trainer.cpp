#include "apps/training/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "autograd/grad.h"
#include "tensor/check.h"
#include "tensor/finite.h"
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

Trainer::Trainer(const Config& config, Dataset& dataset, Device device, bool recorded)
    : config_(config),
      config_text_(to_toml(config)),
      dataset_(dataset),
      path_(make_path(config)),
      loss_(make_loss(config)),
      clip_(make_clip(config)),
      schedule_(make_schedule(config)),
      potential_(make_potential(config, dataset.sample_shape())),
      device_(device),
      recorded_(recorded) {
  check_config();
  potential_->set_recompute(config.train.recompute);
  nn::to(*potential_, device);
  std::vector<nn::NamedParameter> named = nn::named_parameters(*potential_);
  for (const nn::NamedParameter& p : named) parameters_.push_back(*p.parameter);
  if (config.train.ema_decay > 0) {
    ema_ = std::make_unique<nn::Ema>(named, config.train.ema_decay, config.train.ema_ramp);
  }
  optimizer_ = std::make_unique<nn::Optimizer>(std::move(named), make_optimizer(config));
  share_averages();
}

void Trainer::check_config() const {
  const Config::Train& t = config_.train;
  bool published = config_.loss.estimator == "published";
  if (t.t_min >= t.t_max)
    throw InputError(fmt::format("train.t_min = {} must be below train.t_max = {}", t.t_min, t.t_max));
  if (published && config_.loss.weight != "one") {
    throw InputError(
        "loss.weight must be \"one\" with loss.estimator = \"published\": that loss has time weights of its own");
  }
  if (t.batch_size % t.accumulate != 0) {
    throw InputError(fmt::format("train.batch_size = {} cannot be divided into train.accumulate = {} equal parts",
                                 t.batch_size, t.accumulate));
  }
  if (published && t.batch_size < 2) {
    throw InputError(
        "train.batch_size must be 2 or more with loss.estimator = \"published\": it divides by a deviation");
  }
  int64_t classes = classes_of(config_);
  if (classes > 0 && (dataset_.classes() == 0 || dataset_.classes() > classes)) {
    throw InputError(
        fmt::format("{}.classes = {}, and {} has {}", config_.model.kind, classes, dataset_.name(),
                    dataset_.classes() == 0 ? "no labels" : fmt::format("{} classes", dataset_.classes())));
  }
}

// A second potential whose parameters are the averages themselves, as constants.
void Trainer::share_averages() {
  averaged_.config = config_;
  averaged_.path = path_;
  averaged_.sample = dataset_.sample_shape();
  averaged_.device = device_;
  averaged_.averaged = ema_ != nullptr;
  averaged_.potential = make_potential(config_, averaged_.sample);
  std::vector<nn::NamedParameter> named = nn::named_parameters(*averaged_.potential);
  for (size_t i = 0; i < named.size(); ++i)
    *named[i].parameter = Var(ema_ ? ema_->averages()[i] : parameters_[i].value());
}

int64_t Trainer::parameters() const {
  int64_t count = 0;
  for (const Var& p : parameters_) count += p.numel();
  return count;
}

void Trainer::compute_part(const LossTerms& loss, std::vector<Var>& gradients, Tensor& values) {
  std::vector<Tensor> of_part{loss.total.value().reshape({1})};
  term_names_.clear();
  for (const auto& [name, value] : loss.terms) {
    term_names_.push_back(name);
    of_part.push_back(value.value().reshape({1}));
  }
  Tensor all = kernel::concat(of_part, 0);
  // Where only ∇Φ enters the loss, Φ's last bias has no gradient: zeros. Where the loss is not finite neither is
  // their norm, and nothing is written.
  std::vector<Var> g = grad(loss.total, parameters_, {.allow_unused = true});
  if (gradients.empty()) {
    gradients = std::move(g);
    values = all;
    return;
  }
  values = kernel::binary(kernel::Binary::add, values, all);
  for (size_t i = 0; i < g.size(); ++i) {
    gradients[i] = kernel::binary(kernel::Binary::add, gradients[i].value(), g[i].value());
    g[i] = Var();
  }
}

void Trainer::compute() {
  const Config::Train& c = config_.train;
  uint64_t seed = static_cast<uint64_t>(c.seed), k = static_cast<uint64_t>(step_);
  LossBatch batch;
  batch.data = data_;
  batch.t = rand({c.batch_size}, {seed, kTimeStream, k}, c.t_min, c.t_max, {DType::f32, device_});
  batch.eps = randn(data_.shape(), {seed, kNoiseStream, k}, {DType::f32, device_});
  batch.labels = labels_;
  batch.dropout = RandomKey{seed, kDropoutStream, k};

  std::vector<Var> gradients;
  Tensor values;
  LossParts loss(*potential_, path_, batch, loss_, c.accumulate);
  for (int64_t part = 0; part < c.accumulate; ++part) compute_part(loss(part), gradients, values);
  if (!loss_values_.defined()) loss_values_ = Tensor::empty(values.shape(), {DType::f64, device_});
  kernel::copy_into(loss_values_, values);
  Tensor squares = optimizer_->start(gradients, schedule_.at(step_), clip_, ema_.get());
  if (!gradient_squares_.defined()) gradient_squares_ = Tensor::empty({}, {DType::f64, device_});
  kernel::copy_into(gradient_squares_, squares);
}

// Of each image the label, or "no class" with probability train.label_drop.
Tensor Trainer::shown_labels(const Tensor& labels, RandomKey key) const {
  int64_t classes = classes_of(config_);
  if (classes == 0) return {};
  std::vector<int64_t> y = labels.to_vector<int64_t>();
  std::vector<float> u = rand(labels.shape(), key).to_vector<float>();
  for (size_t i = 0; i < y.size(); ++i)
    if (static_cast<double>(u[i]) < config_.train.label_drop) y[i] = classes;
  return Tensor::from(y, labels.shape());
}

void Trainer::load_batch() {
  Batch b = dataset_.batch(step_);
  auto place = [&](Tensor& target, const Tensor& source) {
    if (!source.defined()) return;
    if (!target.defined()) target = Tensor::empty(source.shape(), {source.dtype(), device_});
    kernel::copy_into(target, source);
  };
  place(data_, b.x);
  place(labels_, shown_labels(b.labels, {static_cast<uint64_t>(config_.train.seed), kLabelStream,
                                         static_cast<uint64_t>(step_)}));
}

double Trainer::validation_loss(const std::function<void()>& before) const {
  constexpr int64_t most = 1024;
  const Config::Train& c = config_.train;
  uint64_t seed = static_cast<uint64_t>(c.seed);
  int64_t count = std::min(most, dataset_.held_out_count()), size = std::min(c.batch_size, count);
  int64_t part = c.batch_size / c.accumulate, parts = std::max<int64_t>(1, (size + part - 1) / part);
  size -= size % parts;
  if (size < 1 || (loss_.estimator == LossOptions::Estimator::published && size < 2)) return NAN;
  double total = 0;
  int64_t batches = count / size;
  for (int64_t i = 0; i < batches; ++i) {
    if (before) before();
    uint64_t k = static_cast<uint64_t>(i);
    Batch b = dataset_.held_out(i * size, size);
    LossBatch batch{b.x.to(device_),
                    rand({size}, {seed, kValidationTimeStream, k}, c.t_min, c.t_max, {DType::f32, device_}),
                    randn(b.x.shape(), {seed, kValidationNoiseStream, k}, {DType::f32, device_})};
    if (classes_of(config_) > 0) batch.labels = b.labels.to(device_);
    LossParts loss(*averaged_.potential, path_, batch, loss_, parts);
    for (int64_t p = 0; p < parts; ++p) total += loss(p).total.item();
  }
  return total / static_cast<double>(batches);
}

// Of the step at hand, whose loss is not finite: what is to blame. Weights are as they were before it.
std::string Trainer::why_not_finite() const {
  std::vector<nn::NamedParameter> named = nn::named_parameters(*potential_);
  for (const nn::NamedParameter& p : named)
    if (auto bad = non_finite(p.parameter->value()))
      return fmt::format("the weights were {} before step {} ('{}', {} of {} values). Hint: an earlier checkpoint",
                         bad->name(), step_ + 1, p.name, bad->values, p.parameter->numel());
  if (auto bad = non_finite(data_))
    return fmt::format("the data of step {} is {} {}", step_ + 1, bad->name(), bad->where());
  std::string terms;
  for (const auto& [name, value] : report_.terms)
    if (!std::isfinite(value)) terms += fmt::format("{}{} = {}", terms.empty() ? "" : ", ", name, value);
  return fmt::format(
      "the loss of step {} is {} ({}), of finite weights and data. Hint: a smaller train.learning_rate, or "
      "train.clip",
      step_ + 1, report_.loss, terms);
}

const StepReport& Trainer::step() {
  load_batch();
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
  if (!std::isfinite(report_.loss)) throw DivergedError(why_not_finite());
  report_.learning_rate = schedule_.at(step_);
  report_.gradient_norm = optimizer_->finish(gradient_squares_, ema_.get());
  if (!std::isfinite(report_.gradient_norm)) {
    throw DivergedError(fmt::format(
        "the gradient of step {} is not finite, and the loss is {}. Hint: a smaller train.learning_rate", step_ + 1,
        report_.loss));
  }
  ++step_;
  window_.add(report_);
  return report_;
}

void Trainer::save(const std::filesystem::path& file) {
  for (const nn::NamedParameter& p : nn::named_parameters(*potential_))
    if (auto bad = non_finite(p.parameter->value()))
      throw DivergedError(fmt::format("the parameter '{}' is {} after step {}: no checkpoint of it is kept", p.name,
                                      bad->name(), step_));
  nn::TrainingState state{.module = potential_.get(),
                          .ema = ema_.get(),
                          .optimizer = optimizer_.get(),
                          .step = step_,
                          .seed = static_cast<uint64_t>(config_.train.seed),
                          .config = config_text_,
                          .extra = {}};
  dataset_.store(state.extra);
  if (window_.steps > 0) {
    std::vector<double> values = {static_cast<double>(window_.steps)};
    values.insert(values.end(), window_.sums.begin(), window_.sums.end());
    state.extra["metrics.window"] = Tensor::from(values, {static_cast<int64_t>(values.size())});
  }
  nn::save_checkpoint(file, state);
}

void Trainer::start_from(const nn::CheckpointReader& checkpoint) {
  if (checkpoint.has_ema()) {
    checkpoint.load_ema_as_parameters(*potential_);
  } else {
    checkpoint.load_parameters(*potential_);
  }
  for (size_t i = 0; ema_ && i < parameters_.size(); ++i)
    kernel::copy_into(ema_->averages()[i], parameters_[i].value());
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
