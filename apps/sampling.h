#pragma once
// Samples and energies of a trained model. Inside, everything is in standardised units; results are in the data's.

#include "apps/dataset.h"
#include "apps/model.h"
#include "vapo/ode.h"
#include "vapo/sgld.h"

namespace vapo::app {

// ∇Φ(x, min(t,1)): beyond t = 1 the potential stays as it is there. labels (N) i64 or undefined.
Field flow_field(const Model& model, const Tensor& labels = {});
OdeOptions ode_options(const Config::Sample& sample);
SgldOptions sgld_options(const Config::Sample& sample, uint64_t seed);

// Samples first … first+n−1 of the prior noise of a seed, n × model.sample; in the units that the network sees.
// first·D must be a multiple of 4.
Tensor prior_noise(const Model& model, int64_t n, uint64_t seed, int64_t first = 0);

struct Samples {
  Tensor x;         // f32: (n,D) in the data's units, or images (n,H,W,C) in [−1,1] and somewhat beyond
  int64_t nfe = 0;  // gradient evaluations that a sample took (ODE: of its batch; the largest over batches)
  double seconds = 0;
};
struct SampleRequest {
  int64_t n = 0;
  uint64_t seed = 0;
  Tensor labels = {};                 // (n) i64: the class of each, or undefined
  std::function<void()> before = {};  // called before every evaluation; what it throws ends the sampling
};
Tensor classes_in_turn(int64_t n, int64_t classes);  // (n) i64: 0, 1, … classes − 1, 0, …
// Sample k starts from the same noise whatever n is; they are made in batches of sample.batch_size.
Samples draw_samples(const Model& model, const Config::Sample& sample, const SampleRequest& request);

// Energy at points (N,2) in the data's units: (N).
Tensor energy_at(const Energy& energy, const Model& model, const Tensor& points);

struct Likelihoods {
  Tensor log_likelihood;  // (N) f64, nats, in the data's units
  int64_t nfe = 0;
  double seconds = 0;
};
struct LikelihoodRequest {
  bool exact = true;
  int64_t probes = 1;
  double tolerance = 1e-5;
  uint64_t seed = 0;
};
Likelihoods likelihood_of(const Model& model, const Tensor& points, const LikelihoodRequest& request);

}  // namespace vapo::app
