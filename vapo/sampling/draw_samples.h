#pragma once
// Samples of a trained model. Inside, points are in standardised units; results are in the data's.

#include <functional>
#include <memory>

#include "vapo/model.h"
#include "vapo/recorded.h"
#include "vapo/sampling/ode.h"

namespace vapo {

// ∇Φ(x, min(t,1)): beyond t = 1 the potential stays as it is there. labels (N) i64 or undefined;
// the potential must outlive it. On a GPU it is recorded (vapo/recorded.h), as all samplers' ∇Φ are.
Field flow_field(const Potential& phi, const Tensor& labels = {});

// Samples first … first+n−1 of the prior noise of a seed, n × model.sample, on the model's device; in the units
// that the potential sees. first·D must be a multiple of 4.
Tensor prior_noise(const Model& model, int64_t n, uint64_t seed, int64_t first = 0);

Tensor classes_in_turn(int64_t n, int64_t classes);  // (n) i64: 0, 1, … classes − 1, 0, …

// ∇Φ with its recording, which calls for parts of the same samples have in common.
struct SharedFlow {
  std::shared_ptr<Potential> phi;
  std::unique_ptr<RecordedGradient> gradient;
};

struct SampleRequest {
  int64_t n = 0;
  uint64_t seed = 0;
  int64_t first = 0;       // these are samples first … first+n−1 of the seed; first·D a multiple of 4
  Tensor labels = {};      // (n) i64: the class of each, or undefined
  double guidance = 0;     // w of (1+w)Φ(x,t,y) − wΦ(x,t,∅), where there are labels
  bool own_steps = false;  // rk23, rk45: every sample has steps of its own (vapo/ode.h, integrate_each)
  std::shared_ptr<SharedFlow> shared = {};  // where given, and of calls with the same model and guidance alone
  bool recorded = true;  // on a GPU: ∇Φ is replayed instead of launched (vapo/recorded.h); the same bits
  std::function<void()> before = {};  // called before every evaluation; what it throws ends the sampling
  Tensor start = {};                  // n × model.sample, in the prior noise's place
  // of rows begin … begin+count−1 of these n, in the place of the model's with labels and guidance
  std::function<std::shared_ptr<Potential>(int64_t begin, int64_t count)> potential = {};
};
struct Samples {
  Tensor x;         // (n,D) f64 in the data's units, or images (n,H,W,C) f32 in [−1,1] and somewhat beyond
  int64_t nfe = 0;  // gradient evaluations that a sample took (ODE: of its batch; the largest over batches)
  double rtol = 0, atol = 0;  // rk23, rk45: what was integrated with (vapo/ode.h)
  std::string refusal =
      {};  // why ∇Φ was launched although it was to be recorded; empty: it was not, or there is no GPU
};
// Sample k of a seed does not depend on n; nor, with fixed steps, with own_steps and with SGLD, on
// options.batch_size (to the bit on the CPU with strict precision, which picks the same algorithms for batches of
// every size). Throws DivergedError where a sample is not finite.
Samples draw_samples(const Model& model, const SamplerOptions& options, const SampleRequest& request);
// As the model's recipe says.
Samples draw_samples(const Model& model, int64_t n, uint64_t seed = 0);

// The batches that it makes: options.batch_size or the default, and a little more where noise would not start at a
// whole block of random numbers.
int64_t batch_of(const Model& model, const SamplerOptions& options);

// f(rows begin … begin+count−1) in batches, the results stacked, on the CPU.
Tensor in_batches(int64_t n, int64_t batch, const std::function<Tensor(int64_t begin, int64_t count)>& f);

}  // namespace vapo
