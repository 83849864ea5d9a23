#pragma once
// What a model says of samples, one number for each: vapo ood's scores, higher for what is more like the data.

#include <functional>
#include <optional>

#include "apps/evaluation/ood_sets.h"
#include "apps/run/evaluation.h"
#include "vapo/scores.h"

namespace vapo::app {

struct OodScoring {
  int64_t likelihood = 0;          // of so many of each set; 0: of none
  bool trace = true;               // scores of the second derivative too
  std::vector<double> times = {};  // of a profile: the gradient's statistics at all of them together
  int64_t batch_size = 64;
  uint64_t seed = 0;
};

// The energies E are the Boltzmann energy 4Φ − ‖x‖² of t = 1, the marginal energy of a time where the path has one, and
// Φ itself of an autonomous potential.
class OodScorer {
 public:
  // t: of the marginal energy; none: there is none. Model and evaluation are kept by reference.
  OodScorer(const OodScoring& options, const Model& model, const Evaluation& evaluation, std::optional<double> t);

  // Of each energy, E; of each, −‖∇E‖; and the likelihood, where it was asked for.
  const std::vector<std::string>& names() const { return names_; }
  // Of each energy: ‖∇E‖, ‖∇E‖² + T, and both; T = vᵀ∇²E v of one Rademacher vector v, a function of (seed, index). Of a
  // profile: ‖∇E‖ and T of the marginal energies of all its times. The noise of a time is the scale at which its energy
  // looks at a sample, and what is usual at one scale need not be so across them (norms: MSMA, arXiv 2010.13132).
  const std::vector<std::string>& statistic_names() const { return statistic_names_; }

  struct Scores {
    std::vector<Tensor> values;      // (N) f64, in the order of names()
    std::vector<Tensor> statistics;  // (N,D) f64, in that of statistic_names()
  };
  // `number` tells the files of sets apart.
  Scores operator()(const OodSet& set, size_t number) const;

 private:
  Tensor input(const Tensor& values) const;
  Tensor likelihood(const OodSet& set, const std::string& suffix) const;

  OodScoring options_;
  const Model& model_;
  const Evaluation& evaluation_;
  std::vector<std::function<EnergyScores(const Tensor& x, const Tensor& v)>>
      energies_;             // v: undefined without trace
  int64_t of_one_time_ = 0;  // of them; the others are the profile's
  std::vector<std::string> names_, statistic_names_;
};

}  // namespace vapo::app
