#include "apps/evaluation/ood_scorer.h"

#include <fmt/format.h>

#include "apps/evaluation/image_likelihood.h"
#include "apps/evaluation/model_images.h"
#include "apps/run/parts.h"
#include "apps/sampling/sampling.h"
#include "tensor/check.h"
#include "tensor/finite.h"
#include "tensor/io/npy.h"
#include "tensor/kernels.h"
#include "tensor/operators.h"
#include "vapo/recorded.h"
#include "vapo/streams.h"

namespace vapo::app {
namespace {

Tensor column(const Tensor& x, int64_t k) { return kernel::slice(x, 1, k, k + 1, 1); }

Tensor beside(const std::vector<Tensor>& columns) { return kernel::concat(columns, 1); }

}  // namespace

OodScorer::OodScorer(const OodScoring& options, const Model& model, const Evaluation& evaluation,
                     std::optional<double> t)
    : options_(options), model_(model), evaluation_(evaluation) {
  std::vector<std::string> energies = {"4 Phi - |x|^2"}, norms = {"-|grad (4 Phi - |x|^2)|"};
  auto add = [&](Energy energy) {
    if (options.trace)
      energies_.push_back([f = recorded_curvature(std::move(energy))](const Tensor& x, const Tensor& v) {
        return energy_scores(f, x, v);
      });
    else
      energies_.push_back(
          [f = recorded_slope(std::move(energy))](const Tensor& x, const Tensor&) { return energy_scores(f, x); });
  };
  add(boltzmann_energy(*model.potential, 1, -1, 1));
  if (t) {
    energies.push_back("marginal energy"), norms.push_back("-|grad marginal energy|");
    add(blurred_data_energy(*model.potential, model.path(), *t));
  }
  if (model.potential->autonomous()) {  // an energy after the equilibrium phase
    energies.push_back("Phi"), norms.push_back("-|grad Phi|");
    add(model.energy(EnergyKind::potential));
  }
  for (const auto* names : {&energies, &norms}) names_.insert(names_.end(), names->begin(), names->end());
  if (options.likelihood > 0) names_.push_back("likelihood");
  for (const std::string& e : energies) {
    statistic_names_.push_back(fmt::format("|grad E|, E = {}", e));
    if (!options.trace) continue;
    statistic_names_.push_back(fmt::format("|grad E|^2 + v'Hv, E = {}", e));
    statistic_names_.push_back(fmt::format("(|grad E|^2, v'Hv), E = {}", e));
  }
  of_one_time_ = std::ssize(energies_);
  for (double at : options.times) add(blurred_data_energy(*model.potential, model.path(), at));
  if (!options.times.empty())
    statistic_names_.push_back(fmt::format("{} of marginal energies at t = {}",
                                           options.trace ? "(|grad E|, v'Hv)" : "|grad E|",
                                           fmt::join(options.times, ", ")));
}

Tensor OodScorer::input(const Tensor& values) const {
  Tensor x = model_.of_images() ? as_input(values) : model_.standardization.apply(values).to(DType::f32);
  return x.to(model_.device);
}

OodScorer::Scores OodScorer::operator()(const OodSet& set, size_t number) const {
  std::string suffix = fmt::format("-{}-{}", number, as_file_name(set.name));
  write_npy(evaluation_.file((model_.of_images() ? "images" : "points") + suffix + ".npy"), set.index);
  auto rows_of = [](const Tensor& x, int64_t first, int64_t count) {
    return kernel::slice(x, 0, first, first + count, 1);
  };
  RandomKey key{options_.seed, kTraceStream, 0};
  auto make = [&](int64_t first, int64_t count) {
    Tensor x = input(rows_of(set.values, first, count)), v;
    if (options_.trace) v = probes(x, key, rows_of(set.index, first, count));
    std::vector<Tensor> columns;
    for (const auto& scores_of : energies_) {
      EnergyScores scores = scores_of(x, v);
      for (const Tensor& values : {scores.energy, scores.mass, scores.trace})
        if (values.defined()) columns.push_back(values.reshape({count, 1}));
    }
    return beside(columns);
  };
  Tensor all = rows_in_parts(evaluation_.file("energies" + suffix + ".npy"), set.values.dim(0), options_.batch_size,
                             set.name + ": energies", make);
  int64_t n = all.dim(0), width = options_.trace ? 3 : 2;
  Scores out;
  for (int64_t of : {0, 1})
    for (int64_t e = 0; e < of_one_time_; ++e) out.values.push_back(column(all, e * width + of).reshape({n}));
  if (options_.likelihood > 0) out.values.push_back(likelihood(set, suffix));
  for (int64_t e = 0; e < of_one_time_; ++e) {
    Tensor norm = -column(all, e * width + 1), square = norm * norm;
    out.statistics.push_back(norm);
    if (!options_.trace) continue;
    Tensor trace = column(all, e * width + 2);
    out.statistics.push_back(square + trace);
    out.statistics.push_back(beside({square, trace}));
  }
  std::vector<Tensor> profile;
  for (int64_t e = of_one_time_; e < std::ssize(energies_); ++e)
    for (int64_t of = 1; of < width; ++of) profile.push_back(column(all, e * width + of));
  if (!profile.empty()) out.statistics.push_back(beside(profile));
  auto check = [&](const std::vector<Tensor>& values, const std::vector<std::string>& names) {
    for (size_t k = 0; k < values.size(); ++k)
      if (auto bad = non_finite(values[k]))
        throw DivergedError(
            fmt::format("{}: the score '{}' is {} {}", set.name, names[k], bad->name(), bad->where()));
  };
  check(out.values, names_), check(out.statistics, statistic_names_);
  return out;
}

// Of some of the set: −bits/dim of images, which ranks as log p does; log p of points.
Tensor OodScorer::likelihood(const OodSet& set, const std::string& suffix) const {
  Tensor some = some_of(set.values.dim(0), options_.likelihood, options_.seed);
  Tensor values = kernel::index_select(set.values, 0, some), index = kernel::index_select(set.index, 0, some);
  if (!model_.of_images()) return shared_likelihood(model_, values, {.seed = options_.seed}).log_likelihood;
  ImageLikelihoods result =
      image_likelihoods(model_, values, {}, index, {.batch_size = options_.batch_size, .seed = options_.seed},
                        evaluation_.folder(), "likelihood" + suffix);
  return kernel::affine(result.mean_bits(), -1, 0);
}

}  // namespace vapo::app
