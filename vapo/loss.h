#pragma once
// Losses of the variational principle (poster, D): Deep Ritz, and the same after integration by parts.

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "vapo/particles.h"
#include "vapo/potential.h"

namespace vapo {

struct LossOptions {
  enum class Estimator { covariance, inner_product, published };
  enum class Weight { one, preconditioned };  // preconditioned: (2σ/g²)², so that the loss is E‖σ∇U + ε‖² − …
  enum class FirstTerm { correlation, covariance };  // published: of its first term
  enum class SecondTerm { cosine, dot, dist };       // published: of its second term
  Estimator estimator = Estimator::inner_product;
  Weight weight = Weight::one;
  bool antithetic = false;  // each (x̄, t) with ε and −ε: the batch doubles
  FirstTerm first = FirstTerm::correlation;
  SecondTerm second = SecondTerm::cosine;
  // published: weights of its four terms
  double first_weight = 1, second_weight = 1, dirichlet_weight = 0.5, time_weight = 0.1;
};

constexpr auto names_of(LossOptions::Estimator) {
  using E = LossOptions::Estimator;
  return name_table<E>(
      "estimator",
      {{"inner_product", E::inner_product}, {"covariance", E::covariance}, {"published", E::published}});
}
constexpr auto names_of(LossOptions::Weight) {
  using W = LossOptions::Weight;
  return name_table<W>("weight", {{"one", W::one}, {"preconditioned", W::preconditioned}});
}
constexpr auto names_of(LossOptions::FirstTerm) {
  using F = LossOptions::FirstTerm;
  return name_table<F>("first term", {{"correlation", F::correlation}, {"covariance", F::covariance}});
}
constexpr auto names_of(LossOptions::SecondTerm) {
  using S = LossOptions::SecondTerm;
  return name_table<S>("second term", {{"cosine", S::cosine}, {"dot", S::dot}, {"dist", S::dist}});
}

// A batch of particles at mixed times.
struct LossBatch {
  Tensor data;                            // x̄ (N,D) or (N,H,W,C)
  Tensor t;                               // (N)
  Tensor eps;                             // ε, like data
  Tensor labels = {};                     // (N) i64 or undefined
  std::optional<RandomKey> dropout = {};  // of the step's dropout masks; without it, no dropout
  Tensor weights =
      {};  // (N), of every particle beside options.weight; undefined: 1. Not of the published estimator
};

struct LossTerms {
  std::vector<std::pair<std::string, Var>> terms;  // each with its weight applied; scalars
  Var total;                                       // their sum
};
LossTerms vapo_loss(const Potential& phi, const Path& path, const LossBatch& batch, const LossOptions& options);

// Where others have the other parts: how many there are from which one on here, and what sums a tensor over all, in place.
struct LossShare {
  int64_t first = 0, count = 0;  // 0: all
  std::function<void(Tensor& x)> sum = {};
};

// A batch of N in `parts` equal parts, one after the other: less memory, the same loss and gradients. What the
// published loss takes of the whole batch (the mean of Γ, the deviations of Γ and Φ) is gathered first, where a
// network is asked for Φ once more, forward alone. Potential and path are kept by reference.
class LossParts {
 public:
  // Throws where N cannot be divided into so many parts, and as vapo_loss does.
  LossParts(const Potential& phi, const Path& path, const LossBatch& batch, const LossOptions& options,
            int64_t parts, const LossShare& share = {});
  // Of part 0 … parts−1: the terms sum over the parts to those of the whole batch. Dropout masks are its rows of
  // the whole batch's.
  LossTerms operator()(int64_t part) const;
  int64_t parts() const { return parts_; }

 private:
  LossBatch part_of(int64_t part) const;
  const Potential& phi_;
  const Path& path_;
  LossBatch batch_;
  LossOptions options_;
  int64_t parts_;
  Tensor gamma_mean_, deviations_;  // of the published loss in several parts: f64 scalars
};
// In how many equal parts the threads of a CPU compute a batch of n side by side, each thread all layers of its rows; 1
// where that does not pay, or the loss takes the whole batch.
int64_t parts_side_by_side(const Potential& phi, int64_t n, const LossOptions& options);
// Whether LossParts runs the network once more, forward alone, for each of several parts.
bool takes_whole_batch(const LossOptions& options);

// γ − γ̄ = −2[(σ'/σ)(‖ε‖² − D) + (μ'/σ) ε·x̄], exact and per particle: (N). With v = μ'x̄ + σ'ε (N,D) in the place of
// data it is −(2/σ)(ε·v − σ'D), where the path blurs too.
Tensor innovation(const PathFactors& p, const Tensor& data, const Tensor& eps);
Tensor innovation(const Particles& at, const Tensor& eps);

}  // namespace vapo
