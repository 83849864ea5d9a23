#pragma once
// Energies and likelihoods of data under a trained model, in the data's units.

#include <functional>

#include "vapo/likelihood.h"
#include "vapo/model.h"
#include "vapo/scores.h"

namespace vapo {

// Energy at points (N,D) in the data's units: (N).
Tensor energy_at(const Energy& energy, const Model& model, const Tensor& points);
// The same with the gradient, whose norm is in what the potential sees: standardised columns, all of one unit.
EnergyScores energy_scores_at(const Energy& energy, const Model& model, const Tensor& points);

struct Likelihoods {
  Tensor log_likelihood;      // (N) f64, nats
  int64_t nfe = 0;            // evaluations of ∇Φ and ΔΦ of the batch that took most of them
  double rtol = 0, atol = 0;  // what was integrated with (vapo/ode.h)
};
constexpr int64_t kPointBatch = 4096;  // points whose likelihoods are integrated with the same steps
struct LogDensityOptions {
  LikelihoodOptions::Trace trace = LikelihoodOptions::Trace::exact;
  int64_t probes = 1;
  double tolerance = 1e-5;  // rtol and atol of rk45
  uint64_t seed = 0;        // of the probes
  int64_t first = 0;        // of a larger set: the place of the first point, at the start of a batch
  std::function<void(double t)> observe = {};  // called at every evaluation
};
// log p of points (N,D) in the data's units. Throws DivergedError where a potential is so steep that 2,000 evaluations do
// not do (more at tolerances below 1e-5).
Likelihoods log_density(const Model& model, const Tensor& points, const LogDensityOptions& options = {});

// One batch of images u (N,H,W,C) of grey levels in [0,255], dequantised with the noises of index (N) and of
// `dequantization`, from t_max of the training to 1e-5: log p of the model's x = u/128 − 1 (vapo/scores.h,
// bits_per_dim). labels (N) or undefined. `draw` numbers the batch's probes.
struct ImageBatchRequest {
  Tensor u, labels, index;
  int64_t dequantization = 0, draw = 0;
};
Likelihoods log_density(const Model& model, const ImageBatchRequest& request, const LogDensityOptions& options);

// −log₂ p/D of images u (N,H,W,C) of grey levels in [0,255], each with its own noise of the seed: (N) f64. Throws
// DivergedError naming the image where that is not finite.
Tensor bits_per_dim(const Model& model, const Tensor& u, const LogDensityOptions& options = {},
                    const Tensor& labels = {}, int64_t batch_size = 64);

}  // namespace vapo
