#pragma once
// log p(x) by the instantaneous change of variables: d log ρ/dt = −ΔΦ along dx/dt = ∇Φ.

#include "tensor/random.h"
#include "vapo/path.h"
#include "vapo/potential.h"
#include "vapo/sampling/ode.h"

namespace vapo {

struct LikelihoodOptions {
  enum class Trace { exact, hutchinson };
  Trace trace = Trace::exact;  // exact: D Hessian-vector products per evaluation
  int64_t probes = 1;          // hutchinson: Rademacher vectors per sample, fixed along the trajectory
  RandomKey key = {};
  double t_data = 1, t_prior = 1e-5;
  OdeOptions ode = {.rtol = 1e-5, .atol = 1e-5, .times = {}};
  std::function<void(double t)> observe = {};  // called at every evaluation
  bool recorded = true;  // on a GPU: of few products with ∇²Φ, replayed instead of launched (vapo/recorded.h)
};
struct LikelihoodResult {
  Tensor log_likelihood;  // (N), nats, f64
  int64_t nfe = 0;
  double rtol = 0, atol = 0;  // what was integrated with (vapo/sampling/ode.h)
};
LikelihoodResult log_likelihood(const Potential& phi, const Path& path, const Tensor& x,
                                const LikelihoodOptions& options, const Tensor& labels = {});
// ΔΦ (N) at x (N,…) and t, by hvp with unit vectors (exact) or the given probes (each like x).
Tensor laplacian(const Potential& phi, const Tensor& x, double t, const Tensor& labels = {});
Tensor laplacian(const Potential& phi, const Tensor& x, double t, std::span<const Tensor> probes,
                 const Tensor& labels = {});

}  // namespace vapo
