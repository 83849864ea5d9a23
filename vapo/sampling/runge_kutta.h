#pragma once
// Takes steps of Runge–Kutta pairs, those of Bogacki & Shampine (rk23) and of Dormand & Prince (rk45, interpolant
// of Shampine 1986): of a batch, or of each sample.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "tensor/kernels.h"
#include "vapo/sampling/ode.h"
#include "vapo/sampling/step_control.h"

namespace vapo::runge_kutta {

inline constexpr int max_stages =
    kernel::most_derivatives;  // with the derivative at the end of the step, which is the next step's first

struct Pair {
  int stages;          // s; k_s is the derivative at the new point
  double error_order;  // of the lower of the two methods
  double c[max_stages];
  double a[max_stages][max_stages];   // a[s] are the weights of the step itself
  double e[max_stages];               // their difference to the lower method's
  double interpolant[max_stages][4];  // weight of k_j at θ in the step: Σ_p interpolant[j][p] θ^{p+1}
};

inline constexpr Pair bogacki_shampine = {
    3,
    2,
    {0, 1. / 2, 3. / 4, 1},
    {{}, {1. / 2}, {0, 3. / 4}, {2. / 9, 1. / 3, 4. / 9}},
    {5. / 72, -1. / 12, -1. / 9, 1. / 8},
    {{1, -4. / 3, 5. / 9}, {0, 1, -2. / 3}, {0, 4. / 3, -8. / 9}, {0, -1, 1}}};

inline constexpr Pair dormand_prince = {
    6,
    4,
    {0, 1. / 5, 3. / 10, 4. / 5, 8. / 9, 1, 1},
    {{},
     {1. / 5},
     {3. / 40, 9. / 40},
     {44. / 45, -56. / 15, 32. / 9},
     {19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
     {9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
     {35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84}},
    {-71. / 57600, 0, 71. / 16695, -71. / 1920, 17253. / 339200, -22. / 525, 1. / 40},
    {{1, -8048581381. / 2820520608, 8663915743. / 2820520608, -12715105075. / 11282082432},
     {},
     {0, 131558114200. / 32700410799, -68118460800. / 10900136933, 87487479700. / 32700410799},
     {0, -1754552775. / 470086768, 14199869525. / 1410260304, -10690763975. / 1880347072},
     {0, 127303824393. / 49829197408, -318862633887. / 49829197408, 701980252875. / 199316789632},
     {0, -282668133. / 205662961, 2019193451. / 616988883, -1453857185. / 822651844},
     {0, 40617522. / 29380423, -110615467. / 29380423, 69997945. / 29380423}}};

inline const Pair* pair_of(OdeMethod method) {  // none: its steps are all of one length
  switch (method) {
    case OdeMethod::rk23:
      return &bogacki_shampine;
    case OdeMethod::rk45:
      return &dormand_prince;
    case OdeMethod::euler:
    case OdeMethod::heun:
      return nullptr;
  }
  return nullptr;
}

// The weights of the derivatives at θ in a step.
inline void interpolate(const Pair& pair, double theta, double* w) {
  for (int j = 0; j <= pair.stages; ++j) {
    const double* p = pair.interpolant[j];
    w[j] = theta * (p[0] + theta * (p[1] + theta * (p[2] + theta * p[3])));
  }
}

// The norm by which errors are told from tolerances, and whether a new state is finite.
struct ScaledNorm {
  double rms;
  bool finite;
};
// √(mean of squares) over n elements, of row `row` of what kernel::runge_kutta_error gives, on the CPU
inline ScaledNorm scaled_norm(const Tensor& errors, int64_t row, int64_t n) {
  const double* e = errors.data<double>() + 2 * row;
  return {std::sqrt(e[0] / static_cast<double>(n)), e[1] == 0};
}

// Says why no step from (t, …) is short enough, from the derivatives k_1 … k_s of the last attempt at times t + c_i h.
inline DivergedError no_step(const Pair& pair, double t, double h, std::span<const Tensor> k) {
  for (size_t i = 1; i < k.size(); ++i)
    if (auto bad = non_finite(k[i]))
      return DivergedError(fmt::format("ode: the field is {} at t = {} {}, however short the step from t = {}",
                                       bad->name(), t + pair.c[i] * h, bad->where(), t));
  return DivergedError(fmt::format(
      "ode: the step size underflows at t = {}: the solution grows without bound there, or is not smooth", t));
}

}  // namespace vapo::runge_kutta
