#include "vapo/training/point_choices.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/check.h"
#include "tensor/kernels.h"
#include "vapo/model_density.h"
#include "vapo/streams.h"
#include "vapo/training/trainer.h"

namespace vapo {
namespace {

Tensor rows_of(const Tensor& x, const std::vector<double>& index) {
  return kernel::index_select(x, 0, Tensor::from(index, {static_cast<int64_t>(index.size())}).to(DType::i64));
}

// One training of a trial, on all rows but those left out.
struct Training {
  PointBatches source;
  Trainer trainer;
  Tensor left_out;

  Training(const Recipe& recipe, const PointOptions& options, const Tensor& rows, const Tensor& others,
           Device device)
      : source(rows, options), trainer(flow_of(recipe), source, {.device = device}), left_out(others) {}

  // After so many steps: the mean log-likelihood of what was left out; −∞ where it is not finite, or the flow so steep
  // that it cannot be followed in time: then rows are known by heart.
  double at(int64_t steps) {
    while (trainer.steps_done() < steps) trainer.step();
    Model model = trainer.averaged();
    model.standardization = source.standardization();
    return mean_log_density(model);
  }

 private:
  static Recipe flow_of(Recipe recipe) { return recipe.equilibrium.steps = 0, recipe; }
  double mean_log_density(const Model& model) const {
    constexpr int64_t few_columns = 4;  // whose trace is cheap
    constexpr int most_evaluations = 300;
    using Trace = LikelihoodOptions::Trace;
    int evaluations = 0;
    auto observe = [&](double t) {
      if (++evaluations > most_evaluations)
        throw DivergedError(fmt::format("[trial] {} evaluations and only at t = {}", evaluations, t));
    };
    try {
      Tensor log_p = log_density(model, left_out,
                                 {.trace = left_out.dim(1) <= few_columns ? Trace::exact : Trace::hutchinson,
                                  .probes = few_columns,
                                  .tolerance = 1e-3,
                                  .observe = observe})
                         .log_likelihood;
      double mean = kernel::sum(log_p, {0}, false).item() / static_cast<double>(log_p.numel());
      return std::isfinite(mean) ? mean : -INFINITY;
    } catch (const DivergedError&) {
      return -INFINITY;
    }
  }
};

// Every √2 times as many, up to the most.
std::vector<int64_t> marks_up_to(int64_t most) {
  std::vector<int64_t> out;
  for (int i = 10; i >= 0; --i) {
    int64_t steps = std::llround(static_cast<double>(most) * std::pow(2, -0.5 * i));
    if (steps > 0 && (out.empty() || steps > out.back())) out.push_back(steps);
  }
  return out;
}

// As often a part of the rows is left out. None of few; nor of so many that the most steps learn none by heart.
int64_t folds_of(int64_t rows, int64_t columns) {
  constexpr int64_t few = 20, many = 10'000;
  if (rows < few || rows >= std::max(many, 500 * columns * columns)) return 0;
  return std::min<int64_t>(3, 1 + 1000 / rows);
}

// The folds of one view train side by side, until three marks in turn were worse than the best.
PointTrial try_view(const Recipe& recipe, PointOptions options, const Tensor& rows, PointView view,
                    const std::vector<int64_t>& marks, Device device) {
  constexpr int64_t enough = 1000;  // rows left out
  int64_t n = rows.dim(0), folds = folds_of(n, rows.dim(1)), share = std::min(enough, n / 5);
  options.standardize = view.standardize;
  options.jitter = view.jitter;
  std::vector<float> chance = rand({n}, {options.seed, kTrialStream, 0}).to_vector<float>();
  std::vector<double> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](double a, double b) {
    return chance[static_cast<size_t>(a)] < chance[static_cast<size_t>(b)];
  });
  std::vector<std::unique_ptr<Training>> trainings;
  for (int64_t fold = 0; fold < folds; ++fold) {
    auto first = order.begin() + fold * share, last = first + share;
    std::vector<double> others(first, last), kept(order.begin(), first);
    kept.insert(kept.end(), last, order.end());
    trainings.push_back(
        std::make_unique<Training>(recipe, options, rows_of(rows, kept), rows_of(rows, others), device));
  }
  PointTrial best{view, marks[0], -INFINITY};
  int worse = 0;
  for (int64_t mark : marks) {
    double nats = 0;
    for (auto& t : trainings) nats += t->at(mark) / static_cast<double>(folds);
    worse = nats > best.nats ? 0 : worse + 1;
    if (worse == 0) best.steps = mark, best.nats = nats;
    if (worse == 3) break;
  }
  // All rows are to be shown as often as those that were kept.
  best.steps = std::min(best.steps * n / (n - share), marks.back());
  return best;
}

}  // namespace

PointSizes sizes_for(int64_t rows, int64_t columns) {
  double n = static_cast<double>(rows), scott = std::pow(n, -1 / (static_cast<double>(columns) + 4));
  auto share_of_it = [&](double share) { return std::round(1000 * share * scott) / 1000; };
  PointSizes out{.hidden = {128, 128, 128},
                 .batch_size = 256,
                 .most_steps = static_cast<int64_t>(std::clamp(75 * std::sqrt(n), 3000.0, 30000.0)),
                 .views = {{Standardize::whiten, share_of_it(0.1)}}};
  if (rows < 10'000) out.views.push_back({Standardize::columns, share_of_it(0.1)});
  if (rows < 2000) {
    out.views.push_back({Standardize::whiten, share_of_it(0.4)});
    out.views.push_back({Standardize::columns, share_of_it(0.4)});
  } else {
    out.hidden = {192, 192, 192};
    out.batch_size = 512;
  }
  return out;
}

std::string choose_auto(Recipe& recipe, PointOptions& options, const Tensor& rows, Device device,
                        const std::function<void(int64_t)>& before_trial) {
  TrainingOptions& t = recipe.train;
  PointSizes sizes = sizes_for(rows.dim(0), rows.dim(1));
  std::string chosen;
  auto say = [&](const char* key, const std::string& value) {
    chosen += fmt::format("{}{} = {}", chosen.empty() ? "" : ", ", key, value);
  };
  if (recipe.potential.mlp.hidden.empty()) {
    recipe.potential.mlp.hidden = sizes.hidden;
    say("model.hidden", fmt::format("[{}]", fmt::join(sizes.hidden, ", ")));
  }
  if (t.batch_size == kAuto) {
    t.batch_size = sizes.batch_size;
    say("train.batch_size", std::to_string(t.batch_size));
  }
  options.batch_size = t.batch_size;

  bool auto_columns = options.standardize == Standardize::automatic, auto_jitter = options.jitter == kAuto;
  bool auto_steps = t.steps == kAuto;
  std::vector<PointView> views;
  for (PointView view : sizes.views) {
    if (!auto_columns) view.standardize = options.standardize;
    if (!auto_jitter) view.jitter = options.jitter;
    if (std::find(views.begin(), views.end(), view) == views.end()) views.push_back(view);
  }
  if (auto_steps) {
    t.steps = sizes.most_steps;
    if (t.schedule.total_steps == 0) t.schedule.total_steps = t.steps;
  }
  std::vector<int64_t> marks = auto_steps ? marks_up_to(t.steps) : std::vector<int64_t>{t.steps};
  PointTrial best{views.back(), t.steps};
  size_t tries = views.size() * marks.size();
  int64_t folds = before_trial ? folds_of(rows.dim(0), rows.dim(1)) : 0;
  std::string why;
  if (folds > 0 && tries > 1) {
    before_trial(folds * static_cast<int64_t>(views.size()));
    best.nats = -INFINITY;
    for (const PointView& view : views)
      if (PointTrial tried = try_view(recipe, options, rows, view, marks, device); tried.nats > best.nats)
        best = tried;
    why = std::isfinite(best.nats) ? fmt::format("; rows left out then have {:.3f} nats", best.nats)
                                   : "; rows left out had no finite likelihood in any of them";
  }
  options.standardize = best.view.standardize;
  options.jitter = best.view.jitter;
  if (auto_columns) say("data.standardize", std::string(name_of(options.standardize)));
  if (auto_jitter) say("data.jitter", fmt::format("{}", options.jitter));
  if (auto_steps) say("train.steps", fmt::format("{} of {}", best.steps, t.steps));
  if (auto_steps) t.steps = best.steps;
  if (chosen.empty()) return "";
  return fmt::format("chosen for {} rows of {} columns: {}{}", rows.dim(0), rows.dim(1), chosen, why);
}

}  // namespace vapo
