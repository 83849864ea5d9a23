#include "vapo/training/equilibrium.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "autograd/grad.h"
#include "tensor/finite.h"
#include "tensor/operators.h"

namespace vapo {
namespace {

double norm_of(const std::vector<Tensor>& gradients) {
  return gradients.empty() ? 0 : std::sqrt(kernel::sum_squares(gradients).item());
}

double mean_of(const std::vector<size_t>& members, const std::vector<double>& values) {
  double sum = 0;
  for (size_t i : members) sum += values[i];
  return sum / static_cast<double>(members.size());
}

double squares_about(double centre, const std::vector<size_t>& members, const std::vector<double>& values) {
  double sum = 0;
  for (size_t i : members) sum += (values[i] - centre) * (values[i] - centre);
  return sum;
}

// Chains and data of one label.
struct Stratum {
  std::vector<size_t> chains, data;
};

constexpr double kWatch = 20;  // updates between two looks at the gap

}  // namespace

ContrastOfEnergies contrast_of(const std::vector<double>& energies, int64_t chains, const EquilibriumOptions& o,
                               const std::vector<int64_t>& labels) {
  ContrastOfEnergies out;
  out.coefficients.resize(energies.size());
  auto m = static_cast<size_t>(chains), n = energies.size() - m, rungs = static_cast<size_t>(o.rungs());
  double share = 1 / static_cast<double>(rungs);
  for (size_t rung = 0; rung < rungs; ++rung) {
    std::map<int64_t, Stratum> strata;
    auto of = [&](size_t i) -> Stratum& { return strata[labels.empty() ? 0 : labels[i]]; };
    for (size_t i = rung; i < m; i += rungs) of(i).chains.push_back(i);
    for (size_t i = rung; i < n; i += rungs) of(m + i).data.push_back(m + i);
    std::erase_if(strata, [](const auto& s) { return s.second.chains.empty() || s.second.data.empty(); });

    std::vector<double> above(m);  // of each chain, over the mean of its data
    std::vector<size_t> compared;
    double of_chains = 0, of_data = 0, squares_chains = 0, squares_data = 0, data = 0;
    for (const auto& [label, s] : strata) {
      double count = static_cast<double>(s.chains.size()), centre = mean_of(s.data, energies),
             own = mean_of(s.chains, energies);
      of_chains += count * own, of_data += count * centre, data += static_cast<double>(s.data.size());
      squares_chains += squares_about(own, s.chains, energies),
          squares_data += squares_about(centre, s.data, energies);
      for (size_t i : s.chains) above[i] = energies[i] - centre, compared.push_back(i);
    }
    double count = static_cast<double>(compared.size()), kinds = static_cast<double>(strata.size());
    if (compared.empty()) continue;
    out.energy_chains += share * of_chains / count, out.energy_data += share * of_data / count;
    if (count > kinds) out.spread_chains += share * squares_chains / (count - kinds);
    if (data > kinds) out.spread_data += share * squares_data / (data - kinds);

    std::stable_sort(compared.begin(), compared.end(), [&](size_t a, size_t b) { return above[a] > above[b]; });
    compared.resize(compared.size() - static_cast<size_t>(o.trim * count));
    double each = share / static_cast<double>(compared.size());
    std::vector<double> c(energies.size());
    for (size_t i : compared) {
      const Stratum& own = of(i);
      c[i] = each;
      for (size_t k : own.data) c[k] -= each / static_cast<double>(own.data.size());
      out.value += each * above[i];
    }
    for (size_t i = 0; i < c.size(); ++i)
      if (c[i] != 0) out.coefficients[i] = static_cast<float>(c[i]);
  }
  out.spread_chains = std::sqrt(out.spread_chains), out.spread_data = std::sqrt(out.spread_data);
  if (o.clamp > 0 && o.weight * out.value < -o.clamp)
    std::fill(out.coefficients.begin(), out.coefficients.end(), 0);
  return out;
}

struct EquilibriumPhase::Contrast {
  ContrastOfEnergies of;
  std::vector<Tensor> gradients;
};

EquilibriumPhase::EquilibriumPhase(const EquilibriumSetting& setting, const EquilibriumOptions& options)
    : options_(options), chains_(setting, options) {}

// In several parts the energies are computed first, forward alone: which chains are trimmed all of them decide.
EquilibriumPhase::Contrast EquilibriumPhase::contrast(const States& negatives, const States& positives,
                                                      const Learner& learner) const {
  auto both = [](const Tensor& a, const Tensor& b) {
    return a.defined() ? kernel::concat(std::vector{a, b}, 0) : a;
  };
  States all{both(negatives.x, positives.x), both(negatives.t, positives.t),
             both(negatives.labels, positives.labels)};
  Replicas r = learner.replicas;
  r.fast = false;  // a rank may have nothing here, and its gradients are not complete in the others' order
  int64_t n = all.x.dim(0);
  auto energies_of = [&](Replicas::Rows at) {
    auto part = [&](const Tensor& x) {
      return x.defined() ? kernel::slice(x, 0, at.first, at.first + at.count, 1) : x;
    };
    return chains_.energy(part(all.x), part(all.t), part(all.labels));
  };
  Var kept;  // with its history, where there is one part
  std::vector<double> energies(static_cast<size_t>(n));
  for (int64_t part = 0; part < r.own_parts(); ++part) {
    Replicas::Rows at = r.rows_of(part, n);
    if (at.count == 0) continue;
    std::optional<NoGradGuard> off;
    if (r.parts > 1) off.emplace();
    kept = energies_of(at);
    std::vector<double> e = kept.value().to(DType::f64).to_vector<double>();
    std::copy(e.begin(), e.end(), energies.begin() + at.first);
  }
  if (r.ranks) r.ranks->all_reduce(energies);  // zeros in the place of the others'
  std::vector<int64_t> labels;
  if (all.labels.defined()) labels = all.labels.to_vector<int64_t>();
  ContrastOfEnergies of = contrast_of(energies, negatives.x.dim(0), options_, labels);
  GradientSum sum_of(learner.parameters, r);
  for (int64_t part = 0; part < r.own_parts(); ++part) {
    Replicas::Rows at = r.rows_of(part, n);
    if (at.count == 0) {
      sum_of.take({});
      continue;
    }
    auto c = std::span<const float>(of.coefficients)
                 .subspan(static_cast<size_t>(at.first), static_cast<size_t>(at.count));
    Var e = r.parts > 1 ? energies_of(at) : kept;
    sum_of.take(sum(e * Tensor::from(c, e.shape()).to(e.dtype()).to(e.device())));
  }
  sum_of.finish();
  return {std::move(of), sum_of.gradients()};
}

// Data that are all alike have energies all alike: the deviation over them is then small beside that of the chains' law.
void EquilibriumPhase::watch(int64_t n, double gap, double spread, double dimensions) {
  double of_law = options_.own_temperature() * std::sqrt(dimensions / 2);
  watched_ += 1, gap_ += gap, spread_ += std::max(spread, of_law);
  if (watched_ < kWatch) return;
  double found = std::abs(gap_) / spread_, before = before_;
  watched_ = gap_ = spread_ = 0, before_ = found;
  if (options_.limit > 0 && found > options_.limit && found > before)
    throw DivergedError(fmt::format(
        "energies run away: at update {} of the equilibrium phase those of the chains are {:.3g} "
        "deviations from those of "
        "data, and were {:.3g}; acceptance {:.2g}. Hint: a smaller equilibrium.step_size where that is far "
        "from 1, a larger equilibrium.weight or equilibrium.renewed, a smaller equilibrium.learning_rate; "
        "--from an earlier checkpoint",
        n + 1, found, before, chains_.acceptance()));
}

const StepReport& EquilibriumPhase::update(int64_t n, const Tensor& data, const Tensor& labels,
                                           const FlowTerm& flow, const Learner& learner) {
  EnableGradGuard on;
  VAPO_CHECK(data.dim(0) >= options_.rungs(), "[equilibrium] {} samples for {} times", data.dim(0),
             options_.rungs());
  const States& negatives = chains_.move(n, data, labels);
  Contrast second = contrast(negatives, chains_.positives(n, data, labels), learner);
  const ContrastOfEnergies& of = second.of;
  if (!std::isfinite(of.energy_data + of.energy_chains))
    throw DivergedError(fmt::format(
        "at update {} of the equilibrium phase the mean energy of the chains is {}, of data {}. Hint: a "
        "smaller equilibrium.step_size or equilibrium.learning_rate",
        n + 1, of.energy_chains, of.energy_data));
  watch(n, of.energy_chains - of.energy_data, of.spread_data, static_cast<double>(data.numel() / data.dim(0)));

  report_ = {};
  GradientSum sum(learner.parameters, learner.replicas);
  flow(TrainingStep::Add([&](const LossTerms& part) {
    report_.terms.clear();
    for (const auto& [name, value] : part.terms) report_.terms.emplace_back(name, 0);
    sum.take(part.total, values_of(part).to(DType::f64));
  }));
  sum.finish();
  std::vector<Tensor> gradients = sum.gradients();
  if (sum.values().defined()) {
    std::vector<double> values = sum.values().to_vector<double>();
    report_.loss = values[0];
    for (size_t i = 0; i < report_.terms.size(); ++i) report_.terms[i].second = values[i + 1];
  }
  double flow_norm = norm_of(gradients), norm = norm_of(second.gradients), weight = options_.weight;
  if (options_.share > 0 && norm > 0) weight = std::min(weight, options_.share * flow_norm / norm);
  report_.loss += weight * of.value;
  report_.terms.emplace_back("contrast", weight * of.value);
  report_.measured = {{"energy_data", of.energy_data},
                      {"energy_chains", of.energy_chains},
                      {"spread_data", of.spread_data},
                      {"spread_chains", of.spread_chains},
                      {"gradient_flow", flow_norm},
                      {"gradient_contrast", weight * norm},
                      {"weight", weight},
                      {"acceptance", chains_.acceptance()}};
  if (options_.jumps > 0) report_.measured.emplace_back("jumped", chains_.jumped());
  report_.learning_rate = options_.learning_rate().at(n);
  std::vector<Var> together;
  for (size_t i = 0; i < second.gradients.size(); ++i) {
    Tensor g = weight * second.gradients[i];
    together.emplace_back(gradients.empty() ? g : gradients[i] + g);
  }
  report_.gradient_norm = learner.optimizer.step(together, report_.learning_rate, learner.clip, learner.ema);
  if (!report_.is_finite())
    throw DivergedError(
        fmt::format("update {} of the equilibrium phase: the loss is {}, its gradient's norm {}. Hint: a smaller "
                    "equilibrium.learning_rate or equilibrium.weight",
                    n + 1, report_.loss, report_.gradient_norm));
  return report_;
}

void EquilibriumPhase::store(std::map<std::string, Tensor>& extra) const {
  chains_.store(extra);
  extra["equilibrium.watch"] = Tensor::from(std::vector{watched_, gap_, spread_, before_}, {4});
}

void EquilibriumPhase::restore(const std::map<std::string, Tensor>& extra, const std::string& file) {
  chains_.restore(extra, file);
  auto it = extra.find("equilibrium.watch");
  if (it == extra.end() || it->second.numel() != 4 || it->second.dtype() != DType::f64)
    throw InputError(fmt::format("{}: extra.equilibrium.watch is not there, or is not four numbers", file));
  std::vector<double> w = it->second.to_vector<double>();
  watched_ = w[0], gap_ = w[1], spread_ = w[2], before_ = w[3];
}

}  // namespace vapo
