#pragma once
// The equilibrium phase: a potential that has learned its flow becomes an energy whose chains hold still
// (docs/equilibrium.md; Energy Matching, arXiv 2504.10612). One update descends
//   E_t[w(t) ‖∇Φ − v‖²] + λ(E[E(x⁻)] − E_data[E(x⁺)]),
// x⁻ states of persistent chains of the present E, through which no gradient goes: the second term's gradient is that of
// the Kullback-Leibler divergence from the data's law to e^{E/T}, times T.

#include <functional>

#include "vapo/training/equilibrium_chains.h"
#include "vapo/training/training_step.h"

namespace vapo {

// Where an update's gradients go.
struct Learner {
  const std::vector<Var>& parameters;
  nn::Optimizer& optimizer;
  nn::ClipOptions clip = {};
  nn::Ema* ema = nullptr;
  Replicas replicas = {};  // among whose parts both terms are divided; the chains are moved by every rank alike
};

class EquilibriumPhase {
 public:
  // Throws InputError naming the key where potential and options do not fit. The setting's potential is kept by reference.
  EquilibriumPhase(const EquilibriumSetting& setting, const EquilibriumOptions& options);

  // Hands the flow term, this rank's parts of it, to `add`, as TrainingStep has it.
  using FlowTerm = std::function<void(const TrainingStep::Add& add)>;
  // Update n (from 0) on data (N,…) and labels (N) i64 or undefined, on the setting's device. Beside the loss it reports in
  // `measured`: energy_data, energy_chains and their deviations, the norms of both terms' gradients (λ applied), λ, the
  // acceptance, and with jumps the share of them that was taken (EquilibriumChains). Throws DivergedError, and writes no
  // parameter, where an energy, the loss or a gradient is not finite, or where energies run away: where
  // |E[E(x⁻)] − E_data[E]| of 20 updates is beyond options.limit deviations, of E over data or of E over a Gaussian law in
  // D dimensions, T√(D/2), whichever is larger; and larger than before.
  const StepReport& update(int64_t n, const Tensor& data, const Tensor& labels, const FlowTerm& flow,
                           const Learner& learner);
  const StepReport& last() const { return report_; }

  const EquilibriumOptions& options() const { return options_; }
  const EquilibriumChains& chains() const { return chains_; }
  void store(std::map<std::string, Tensor>& extra) const;  // of a checkpoint
  void restore(const std::map<std::string, Tensor>& extra, const std::string& file);

 private:
  struct Contrast;
  Contrast contrast(const States& negatives, const States& positives, const Learner& learner) const;
  void watch(int64_t n, double gap, double spread, double dimensions);

  EquilibriumOptions options_;
  EquilibriumChains chains_;
  StepReport report_;
  // Of the energies' gap since it was last looked at: updates, sum, sum of the data's deviations; and what was found.
  double watched_ = 0, gap_ = 0, spread_ = 0, before_ = 0;
};

// Of energies E of M chains and N data, M + N in one (f64), in `rungs` groups k mod rungs: the second term, the coefficients
// c (M + N) with which its gradient is that of Σ c E, and what is logged. The mean over groups of the difference of means,
// of chains without the trimmed ones; no gradient below −clamp. With labels (M + N) chains are compared with data of their
// own label, and those of which there are none are left out: the level of a label's energies is free, and which labels a
// batch happens to have would move it.
struct ContrastOfEnergies {
  double value = 0;  // λ not applied
  double energy_data = 0, energy_chains = 0, spread_data = 0, spread_chains = 0;
  std::vector<float> coefficients;
};
ContrastOfEnergies contrast_of(const std::vector<double>& energies, int64_t chains,
                               const EquilibriumOptions& options, const std::vector<int64_t>& labels = {});

}  // namespace vapo
