#pragma once
// Samples and energies of a trained model. Inside, everything is in standardised units; results are in the data's.

#include "apps/dataset.h"
#include "apps/model.h"
#include "vapo/ode.h"
#include "vapo/sgld.h"

namespace vapo::app {

// ∇Φ(x, min(t,1)): beyond t = 1 the potential stays as it is there.
Field flow_field(const Model& model);
OdeOptions ode_options(const Config::Sample& sample);
SgldOptions sgld_options(const Config::Sample& sample, uint64_t seed);

// Rows first … first+n−1 of the prior noise of a seed (first a multiple of 4); standardised units.
Tensor prior_noise(const Model& model, int64_t n, uint64_t seed, int64_t first = 0);

struct Samples {
  Tensor x;         // (n,D) f32, in the data's units
  int64_t nfe = 0;  // gradient evaluations that a sample took (ODE: of its batch; the largest over batches)
  double seconds = 0;
};
// Row k starts from row k of the prior noise whatever n is; samples are made in batches of 4096.
Samples draw_samples(const Model& model, const Config::Sample& sample, int64_t n, uint64_t seed);

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
