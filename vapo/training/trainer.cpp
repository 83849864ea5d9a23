#include "vapo/training/trainer.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "tensor/check.h"
#include "tensor/finite.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tensor/upload.h"
#include "vapo/coupling.h"
#include "vapo/toml.h"

namespace vapo {

void Window::add(const StepReport& report) {
  if (size_t count = 2 + report.terms.size() + report.measured.size(); sums.size() != count)
    *this = {0, std::vector<double>(count)};
  sums[0] += report.loss;
  sums[1] += report.gradient_norm;
  size_t at = 2;
  for (const auto* named : {&report.terms, &report.measured})
    for (const auto& [name, value] : *named) sums[at++] += value;
  ++steps;
}

StepReport Window::mean(const StepReport& last) const {
  StepReport out = last;
  if (steps == 0 || sums.size() != 2 + last.terms.size() + last.measured.size()) return out;
  double n = static_cast<double>(steps);
  out.loss = sums[0] / n;
  out.gradient_norm = sums[1] / n;
  size_t at = 2;
  for (auto* named : {&out.terms, &out.measured})
    for (auto& [name, value] : *named) value = sums[at++] / n;
  return out;
}

namespace {

Replicas replicas_of(const TrainingOptions& t, const TrainerOptions& o) {
  bool fast = t.reduction == TrainingOptions::Reduction::fast;
  return {.ranks = o.ranks, .parts = t.parts(), .tree = t.shards > 0 && !fast, .fast = fast};
}

StepOptions step_options(const TrainingOptions& t, const TrainerOptions& o) {
  return {.optimizer = t.optimizer,
          .clip = t.clip,
          .ema_decay = t.ema_decay,
          .ema_ramp = t.ema_ramp,
          .device = o.device,
          .replicas = replicas_of(t, o),
          .recorded = o.recorded};
}

}  // namespace

Trainer::Trainer(const Recipe& recipe, BatchSource& source, TrainerOptions options)
    : recipe_(recipe),
      options_(std::move(options)),
      source_(source),
      schedule_(recipe.train.learning_rate()),
      potential_(make_potential(recipe, source.sample_shape())),
      training_(*potential_, step_options(recipe.train, options_)) {
  check_recipe();
  if (recipe.equilibrium.steps > 0) {
    EquilibriumSetting setting{.potential = *potential_,
                               .path = recipe.path,
                               .sample = source.sample_shape(),
                               .classes = recipe.classes(),
                               .seed = static_cast<uint64_t>(recipe.train.seed),
                               .device = options_.device,
                               .recorded = options_.recorded,
                               .replicas = replicas_of(recipe.train, options_)};
    equilibrium_ = std::make_unique<EquilibriumPhase>(setting, recipe.equilibrium);
  }
  if (options_.config.empty()) options_.config = to_toml(recipe);
  potential_->set_recompute(recipe.train.recompute);
  share_averages();
}

void Trainer::check_recipe() const {
  const TrainingOptions& t = recipe_.train;
  if (t.t_min >= t.t_max)
    throw InputError(fmt::format("train.t_min = {} must be below train.t_max = {}", t.t_min, t.t_max));
  bool published = recipe_.loss.estimator == LossOptions::Estimator::published;
  if (published && recipe_.loss.weight != LossOptions::Weight::one) {
    throw InputError(
        "loss.weight must be \"one\" with loss.estimator = \"published\": that loss has time weights of its own");
  }
  auto divides = [](int64_t parts, int64_t whole) { return parts <= 1 || whole % parts == 0; };
  for (auto [name, parts] : {std::pair{"accumulate", t.accumulate}, {"shards", t.shards}})
    if (!divides(parts, t.batch_size))
      throw InputError(fmt::format("train.batch_size = {} cannot be divided into train.{} = {} equal parts",
                                   t.batch_size, name, parts));
  if (!divides(t.accumulate, t.shards) && !divides(t.shards, t.accumulate))
    throw InputError(fmt::format("train.accumulate = {} and train.shards = {}: one must divide the other",
                                 t.accumulate, t.shards));
  check_ranks(t);
  if (published && t.batch_size < 2) {
    throw InputError(
        "train.batch_size must be 2 or more with loss.estimator = \"published\": it divides by a deviation");
  }
  int64_t classes = recipe_.classes();
  if (classes > 0 && (source_.classes() == 0 || source_.classes() > classes)) {
    throw InputError(
        fmt::format("{}.classes = {}, and {} has {}", name_of(recipe_.potential.network), classes, source_.name(),
                    source_.classes() == 0 ? "no labels" : fmt::format("{} classes", source_.classes())));
  }
}

// Ranks whose parts are whole branches of the tree have the sums of one rank.
void Trainer::check_ranks(const TrainingOptions& t) const {
  int64_t ranks = options_.ranks ? options_.ranks->size() : 1, own = t.parts() / ranks;
  if (ranks == 1) return;
  bool exact = t.reduction == TrainingOptions::Reduction::exact;
  if (t.shards == 0) throw InputError(fmt::format("train.shards = 0: nothing to share out among {} ranks", ranks));
  if (t.parts() % ranks != 0 || (exact && !std::has_single_bit(static_cast<uint64_t>(own))))
    throw InputError(fmt::format(
        "train.shards = {} cannot be shared out among {} ranks: {}. "
        "Hint: train.shards = {}, with a train.batch_size that it divides",
        t.parts(), ranks, exact ? "shards for each must be 1, 2, 4, 8, …" : "each must have as many", ranks));
}

// A second potential whose parameters are the averages themselves, as constants.
void Trainer::share_averages() {
  const nn::Ema* ema = training_.ema();
  averaged_.recipe = recipe_;
  averaged_.sample = source_.sample_shape();
  averaged_.device = options_.device;
  averaged_.averaged = ema != nullptr;
  averaged_.potential = make_potential(recipe_, averaged_.sample);
  std::vector<nn::NamedParameter> named = nn::named_parameters(*averaged_.potential);
  for (size_t i = 0; i < named.size(); ++i)
    *named[i].parameter = Var(ema ? ema->averages()[i] : training_.parameters()[i].value());
}

int64_t Trainer::parameters() const {
  int64_t count = 0;
  for (const Var& p : training_.parameters()) count += p.numel();
  return count;
}

RandomKey Trainer::key(Stream stream) const {
  return {static_cast<uint64_t>(recipe_.train.seed), stream, static_cast<uint64_t>(step_)};
}

// fade: the time from which on a particle's weight falls, to 0 at t = 1.
void Trainer::compute(const TrainingStep::Add& add, double fade) const {
  const TrainingOptions& t = recipe_.train;
  DrawnTimes times =
      draw_times(recipe_.times, t.batch_size, key(kTimeStream), t.t_min, t.t_max, {DType::f32, options_.device});
  LossBatch batch{.data = data_,
                  .t = times.t,
                  .eps = randn(data_.shape(), key(kNoiseStream), {DType::f32, options_.device}),
                  .labels = labels_,
                  .dropout = key(kDropoutStream),
                  .weights = times.weights};
  if (fade < 1) {
    Var share = clamp(affine(Var(batch.t), -1 / (1 - fade), 1 / (1 - fade)), 0, 1);
    batch.weights = (times.weights.defined() ? share * times.weights : share).value();
  }
  Replicas replicas = replicas_of(t, options_);
  LossShare share{.first = replicas.first_part(), .count = replicas.own_parts()};
  if (options_.ranks) share.sum = [this](Tensor& x) { options_.ranks->all_reduce({&x}); };
  if (t.parts() == 1 && !options_.ranks && options_.device == Device::cpu) {
    LossParts loss(*potential_, recipe_.path, batch, recipe_.loss,
                   parts_side_by_side(*potential_, t.batch_size, recipe_.loss));
    return add.side_by_side(loss.parts(), loss);
  }
  LossParts loss(*potential_, recipe_.path, batch, recipe_.loss, replicas.parts, share);
  for (int64_t part = 0; part < share.count; ++part) add(loss(share.first + part));
}

// Of each image the label, or "no class" with the probability of the phase that step `step` is of.
Tensor Trainer::shown_labels(const Tensor& labels, int64_t step) const {
  int64_t classes = recipe_.classes();
  if (classes == 0) return {};
  const TrainingOptions& t = recipe_.train;
  const EquilibriumOptions& e = recipe_.equilibrium;
  double drop = step >= t.steps && e.label_drop >= 0 ? e.label_drop : t.label_drop;
  RandomKey key{static_cast<uint64_t>(t.seed), kLabelStream, static_cast<uint64_t>(step)};
  std::vector<int64_t> y = labels.to_vector<int64_t>();
  std::vector<float> u = rand(labels.shape(), key).to_vector<float>();
  for (size_t i = 0; i < y.size(); ++i)
    if (static_cast<double>(u[i]) < drop) y[i] = classes;
  return Tensor::from(y, labels.shape());
}

Tensor Trainer::coupled(const Tensor& x, const Tensor& labels, RandomKey noise) const {
  if (recipe_.path.coupling == Path::Coupling::independent || non_finite(x)) return x;  // why_not_finite tells
  return kernel::index_select(x, 0, optimal_coupling(x, randn(x.shape(), noise), labels));
}

Trainer::Shown Trainer::batch_of(int64_t step) {
  Batch b = source_.batch(step);
  auto of = [&](Stream stream) {
    return RandomKey{static_cast<uint64_t>(recipe_.train.seed), stream, static_cast<uint64_t>(step)};
  };
  Tensor labels = shown_labels(b.labels, step);
  return {step, coupled(b.x, labels, of(kNoiseStream)), labels};
}

void Trainer::load_batch() {
  Shown& staged = staged_[step_ % 2];
  bool there = staged.step == step_;
  Shown now = there ? staged : batch_of(step_);
  auto place = [&](Tensor& target, const Tensor& source, Tensor Shown::*of_staged) {
    if (!source.defined()) return;
    if (!target.defined()) {
      target = Tensor::empty(source.shape(), {source.dtype(), options_.device});
      if (options_.device != Device::cpu)
        for (Shown& s : staged_) s.*of_staged = Tensor::empty(target.shape(), target.options());
    }
    kernel::copy_into(target, source);
  };
  place(data_, now.data, &Shown::data);
  place(labels_, now.labels, &Shown::labels);
}

// While the step at hand runs. What was staged here before was for the step before that one, which is over.
void Trainer::stage_next() {
  Shown& staged = staged_[(step_ + 1) % 2];
  staged.step = -1;
  Shown next;
  try {
    next = batch_of(step_ + 1);
  } catch (const Error&) {  // it is for the next step to meet it
    return;
  }
  upload_beside(staged.data, next.data);
  if (next.labels.defined()) upload_beside(staged.labels, next.labels);
  staged.step = step_ + 1;
}

double Trainer::validation_loss(const std::function<void()>& before) const {
  constexpr int64_t most = 1024;
  const TrainingOptions& t = recipe_.train;
  uint64_t seed = static_cast<uint64_t>(t.seed);
  int64_t count = std::min(most, source_.held_out_count()), size = std::min(t.batch_size, count);
  int64_t part = t.batch_size / t.parts(), parts = std::max<int64_t>(1, (size + part - 1) / part);
  size -= size % parts;
  bool published = recipe_.loss.estimator == LossOptions::Estimator::published;
  if (size < 1 || (published && size < 2)) return NAN;
  double total = 0;
  int64_t batches = count / size;
  for (int64_t i = 0; i < batches; ++i) {
    if (before) before();
    uint64_t k = static_cast<uint64_t>(i);
    Batch b = source_.held_out(i * size, size);
    RandomKey noise{seed, kValidationNoiseStream, k};
    Tensor labels = recipe_.classes() > 0 ? b.labels : Tensor();
    LossBatch batch{coupled(b.x, labels, noise).to(options_.device),
                    rand({size}, {seed, kValidationTimeStream, k}, t.t_min, t.t_max, {DType::f32, options_.device}),
                    randn(b.x.shape(), noise, {DType::f32, options_.device})};
    if (labels.defined()) batch.labels = labels.to(options_.device);
    LossParts loss(*averaged_.potential, recipe_.path, batch, recipe_.loss, parts);
    for (int64_t p = 0; p < parts; ++p) total += loss(p).total.item();
  }
  return total / static_cast<double>(batches);
}

// Of the step at hand, whose loss is not finite: what is to blame. Weights are as they were before it.
std::string Trainer::why_not_finite(const StepReport& report) const {
  for (const nn::NamedParameter& p : nn::named_parameters(*potential_))
    if (auto bad = non_finite(p.parameter->value()))
      return fmt::format("the weights were {} before step {} ('{}', {} of {} values). Hint: an earlier checkpoint",
                         bad->name(), step_ + 1, p.name, bad->values, p.parameter->numel());
  if (auto bad = non_finite(data_))
    return fmt::format("the data of step {} is {} {}", step_ + 1, bad->name(), bad->where());
  std::string terms;
  for (const auto& [name, value] : report.terms)
    if (!std::isfinite(value)) terms += fmt::format("{}{} = {}", terms.empty() ? "" : ", ", name, value);
  return fmt::format(
      "the loss of step {} is {} ({}), of finite weights and data. Hint: a smaller train.learning_rate, or "
      "train.clip",
      step_ + 1, report.loss, terms);
}

const StepReport& Trainer::equilibrium_update() {
  const TrainingOptions& t = recipe_.train;
  nn::Ema* ema = training_.ema();
  if (ema) {
    if (step_ == t.steps)
      for (size_t i = 0; i < training_.parameters().size(); ++i)
        kernel::copy_into(training_.parameters()[i].value(), ema->averages()[i]);
    ema->set_decay(recipe_.equilibrium.ema_decay);
  }
  Learner learner{training_.parameters(), training_.optimizer(), t.clip, ema, replicas_of(t, options_)};
  const StepReport& report = equilibrium_->update(
      step_ - t.steps, data_, labels_,
      [&](const TrainingStep::Add& add) { compute(add, recipe_.equilibrium.fade); }, learner);
  ++step_;
  window_.add(report);
  return report;
}

const StepReport& Trainer::step() {
  constexpr int of_a_part = 4;  // ranks may have other numbers of threads
  std::optional<FixedSumParts> fixed;
  if (recipe_.train.shards > 0 && recipe_.train.reduction == TrainingOptions::Reduction::exact)
    fixed.emplace(of_a_part);
  load_batch();
  if (equilibrium_ && step_ >= recipe_.train.steps) return equilibrium_update();
  std::function<void()> meanwhile;
  if (options_.device != Device::cpu) meanwhile = [&] { stage_next(); };
  const StepReport& report = training_(
      step_, schedule_.at(step_), [&](const TrainingStep::Add& add) { compute(add); }, meanwhile);
  if (!std::isfinite(report.loss)) throw DivergedError(why_not_finite(report));
  if (!std::isfinite(report.gradient_norm)) {
    throw DivergedError(fmt::format(
        "the gradient of step {} is not finite, and the loss is {}. Hint: a smaller train.learning_rate", step_ + 1,
        report.loss));
  }
  ++step_;
  window_.add(report);
  return report;
}

void Trainer::save(const std::filesystem::path& file) {
  for (const nn::NamedParameter& p : nn::named_parameters(*potential_))
    if (auto bad = non_finite(p.parameter->value()))
      throw DivergedError(fmt::format("the parameter '{}' is {} after step {}: no checkpoint of it is kept", p.name,
                                      bad->name(), step_));
  nn::TrainingState state{.module = potential_.get(),
                          .ema = training_.ema(),
                          .optimizer = &training_.optimizer(),
                          .step = step_,
                          .seed = static_cast<uint64_t>(recipe_.train.seed),
                          .config = options_.config,
                          .extra = {}};
  source_.store(state.extra);
  if (equilibrium_begun()) equilibrium_->store(state.extra);
  if (window_.steps > 0) {
    std::vector<double> values = {static_cast<double>(window_.steps)};
    values.insert(values.end(), window_.sums.begin(), window_.sums.end());
    state.extra["metrics.window"] = Tensor::from(values, {static_cast<int64_t>(values.size())});
  }
  nn::save_checkpoint(file, state);
}

void Trainer::start_from(const nn::CheckpointReader& checkpoint, bool moments) {
  if (moments) checkpoint.load_moments(training_.optimizer());
  if (checkpoint.has_ema()) {
    checkpoint.load_ema_as_parameters(*potential_);
  } else {
    checkpoint.load_parameters(*potential_);
  }
  const nn::Ema* ema = training_.ema();
  for (size_t i = 0; ema && i < training_.parameters().size(); ++i)
    kernel::copy_into(ema->averages()[i], training_.parameters()[i].value());
}

void Trainer::load(const nn::CheckpointReader& checkpoint) {
  checkpoint.load_training_state(*potential_, training_.ema(), training_.optimizer());
  step_ = checkpoint.info().step;
  if (equilibrium_begun()) equilibrium_->restore(checkpoint.info().extra, "the checkpoint");
  window_ = {};
  auto saved = checkpoint.info().extra.find("metrics.window");
  if (saved != checkpoint.info().extra.end() && saved->second.numel() > 0) {
    std::vector<double> values = saved->second.to(DType::f64).to_vector<double>();
    window_ = {static_cast<int64_t>(values[0]), {values.begin() + 1, values.end()}};
  }
}

}  // namespace vapo
