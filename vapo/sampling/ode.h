#pragma once
// Ordinary differential equations dx/dt = v(x,t) over a batch (N,…).

#include <functional>
#include <vector>

#include "tensor/names.h"
#include "tensor/tensor.h"

namespace vapo {

using Field = std::function<Tensor(const Tensor& x, double t)>;

enum class OdeMethod { euler, heun, rk23, rk45 };
constexpr auto names_of(OdeMethod) {
  using enum OdeMethod;
  return name_table<OdeMethod>("ode method", {{"euler", euler}, {"heun", heun}, {"rk23", rk23}, {"rk45", rk45}});
}

bool is_adaptive(OdeMethod method);  // chooses its steps by tolerances

struct OdeOptions {
  OdeMethod method = OdeMethod::rk45;
  // rk23, rk45. Below what rounding lets a step's error be told, they are raised: rtol to 100 ε of the state's
  // dtype, as SciPy does it, atol to 10 ε times the state's RMS at the start.
  double rtol = 1e-3, atol = 1e-3;
  DType field_dtype = DType::f64;  // of a field less exact than the state: both at least 10 of its ε
  int64_t steps = 100;             // euler, heun
  int64_t max_evaluations = 1'000'000;
  std::vector<double> times = {};  // also report x there (inside [t0,t1], in order); read off the
                                   // method's interpolant, so they cost no evaluation
};
struct OdeResult {
  Tensor x;
  int64_t nfe = 0;               // evaluations of the field for the whole batch
  std::vector<Tensor> at_times;  // x at options.times
  double rtol = 0, atol = 0;     // rk23, rk45: what was integrated with; the options', or raised
};
// From t0 to t1 (either direction). Adaptive methods follow SciPy's solve_ivp: safety 0.9, factors 0.2 to 10,
// first-step rule. Throws DivergedError where the field or the state is not finite, naming which, t and the first
// sample, and where the step underflows; InputError for tolerances that are negative, NaN or both 0.
OdeResult integrate(const Field& field, const Tensor& x0, double t0, double t1, const OdeOptions& options = {});

// The same with a time of its own for every sample: t (N), x's dtype and device.
using TimedField = std::function<Tensor(const Tensor& x, const Tensor& t)>;
// Every sample as if it were alone: steps and error norms of rk23 and rk45 are each sample's own, while the batch
// is evaluated together, so that a sample does not depend on its neighbours (where the field does not mix them).
// nfe is that of the sample that takes most; finished ones wait. options.times must be empty.
OdeResult integrate_each(const TimedField& field, const Tensor& x0, double t0, double t1,
                         const OdeOptions& options = {});

}  // namespace vapo
