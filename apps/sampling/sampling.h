#pragma once
// Samples and energies of a trained model. Inside, everything is in standardised units; results are in the data's.

#include "apps/run/dataset.h"
#include "apps/run/model.h"
#include "tensor/finite.h"
#include "vapo/ode.h"
#include "vapo/sgld.h"

namespace vapo::app {

// ∇Φ(x, min(t,1)): beyond t = 1 the potential stays as it is there. labels (N) i64 or undefined;
// the potential must outlive it.
Field flow_field(const Potential& phi, const Tensor& labels = {});
inline Field flow_field(const Model& model, const Tensor& labels = {}) {
  return flow_field(*model.potential, labels);
}
OdeOptions ode_options(const Config::Sample& sample);
// The same by the flow: rk45 in the place of SGLD, where samples of the flow alone are meant.
Config::Sample by_flow(Config::Sample sample);
// One line, once, where a result was integrated with larger tolerances than asked for.
void note_raised_tolerances(const OdeOptions& asked, double rtol, double atol);
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
  int64_t first = 0;       // these are samples first … first+n−1 of the seed; first·D a multiple of 4
  Tensor labels = {};      // (n) i64: the class of each, or undefined
  double guidance = 0;     // w of (1+w)Φ(x,t,y) − wΦ(x,t,∅), where there are labels
  bool own_steps = false;  // rk23, rk45: every sample has steps of its own (vapo/ode.h, integrate_each)
  std::function<void()> before = {};  // called before every evaluation; what it throws ends the sampling
  Tensor start = {};                  // n × model.sample, in the prior noise's place
  // of rows begin … begin+count−1 of these n, in the place of the model's with labels and guidance
  std::function<std::shared_ptr<Potential>(int64_t begin, int64_t count)> potential = {};
};
Tensor classes_in_turn(int64_t n, int64_t classes);  // (n) i64: 0, 1, … classes − 1, 0, …
// Sample k of a seed does not depend on n; nor, with fixed steps, with own_steps and with SGLD, on
// sample.batch_size (to the bit on the CPU with strict precision, which picks the same algorithms for batches of
// every size).
Samples draw_samples(const Model& model, const Config::Sample& sample, const SampleRequest& request);
// Throws DivergedError with the options that help that method.
[[noreturn]] void fail_not_finite(const NonFinite& bad, const Config::Sample& sample);
// The batches that it makes: sample.batch_size or the default, and a little more where noise would not start at a
// whole block of random numbers.
int64_t batch_of(const Model& model, const Config::Sample& sample);

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
