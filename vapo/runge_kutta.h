#pragma once
// Runge–Kutta pairs after Bogacki & Shampine (rk23) and Dormand & Prince (rk45, interpolant of Shampine 1986), with
// the step control of SciPy's solve_ivp: what the solver of a batch and that of each sample share.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>

#include "tensor/finite.h"
#include "tensor/kernels.h"
#include "vapo/ode.h"

namespace vapo::runge_kutta {

inline constexpr int max_stages = 7;  // with the derivative at the end of the step, which is the next step's first

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

// The step control of SciPy's solve_ivp.
inline constexpr double safety = 0.9, min_factor = 0.2, max_factor = 10;

// y + Σ_j w_j k_j in one pass, in y's dtype.
template <class T>
void combine_into(T* out, const T* y, const T* const* k, const T* w, int terms, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T total = 0;
    for (int j = 0; j < terms; ++j) total += w[j] * k[j][i];
    out[i] = y[i] + total;
  }
}

// RMS over i of value/(atol + rtol·max(|a|, |b|)) with value = h Σ_j w_j k_j.
template <class T>
double scaled_norm(double h, const T* const* k, const double* w, size_t terms, const T* a, const T* b, int64_t n,
                   double atol, double rtol) {
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) {
    double value = 0;
    for (size_t j = 0; j < terms; ++j) value += w[j] * static_cast<double>(k[j][i]);
    double largest = std::max(std::abs(static_cast<double>(a[i])), std::abs(static_cast<double>(b[i])));
    double ratio = h * value / (atol + rtol * largest);
    squares += ratio * ratio;
  }
  return std::sqrt(squares / static_cast<double>(n));
}

// The size of the first step (Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, II.4), from
// scaled norms of the state, d0, and of its derivative, d1, at the start: first a trial of h0, then d2, the norm of
// the derivative's change over it by h0.
inline double trial_step(double d0, double d1, double length) {
  return std::min(d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : 0.01 * d0 / d1, length);
}
inline double first_step(double h0, double d1, double d2, double error_order, double length) {
  double h1 = d1 <= 1e-15 && d2 <= 1e-15 ? std::max(1e-6, h0 * 1e-3)
                                         : std::pow(0.01 / std::max(d1, d2), 1 / (error_order + 1));
  return std::min({100 * h0, h1, length});
}

// The smallest step from t: ten of the gaps between the numbers there.
inline double smallest_step(double t, double direction) {
  return 10 * std::abs(std::nextafter(t, direction * std::numeric_limits<double>::infinity()) - t);
}
// What a rejected step of this error is made shorter by, and the next step longer than an accepted one.
inline double shorter(double error, double error_order) {
  return error >= 1 ? std::max(min_factor, safety * std::pow(error, -1 / (error_order + 1))) : min_factor;
}
inline double longer(double error, double error_order, bool rejected_before) {  // error 0: the factor is infinite
  return std::min(safety * std::pow(error, -1 / (error_order + 1)), rejected_before ? 1 : max_factor);
}

inline void check_start(const Tensor& x0, double t0, double t1) {
  VAPO_CHECK(x0.rank() >= 1 && (x0.dtype() == DType::f32 || x0.dtype() == DType::f64),
             "[integrate] x0 is {} {}, expected f32 or f64 with a batch dimension", name_of(x0.dtype()),
             x0.shape().str());
  if (!std::isfinite(t0) || !std::isfinite(t1)) throw InputError(fmt::format("ode: from t = {} to {}", t0, t1));
  if (auto bad = non_finite(x0))
    throw DivergedError(
        fmt::format("ode: the state at the start, t = {}, is {} {}", t0, bad->name(), bad->where()));
}

// Tolerances that the rounding of state and field allows.
struct Tolerances {
  double rtol, atol;
};
inline void check_tolerances(const OdeOptions& o) {
  if (!(o.rtol >= 0 && o.atol >= 0 && o.rtol + o.atol > 0 && std::isfinite(o.rtol + o.atol)))
    throw InputError(
        fmt::format("ode: rtol = {} and atol = {} must be finite and not negative, nor both 0", o.rtol, o.atol));
}
// Of one error control over the n values of x0. An estimate h Σ e_j k_j is off by some ε h|k|; the step control
// stands still where that is not below atol + rtol|x|, wherever x passes 0 too. Rounding of the state adds up along
// the way, that of the field alone does not.
template <class T>
Tolerances sound(const OdeOptions& o, const T* x0, int64_t n) {
  double squares = 0, state = std::numeric_limits<T>::epsilon();
  double field = o.field_dtype == DType::f64 ? 0 : std::numeric_limits<float>::epsilon();
  for (int64_t i = 0; i < n; ++i) squares += static_cast<double>(x0[i]) * static_cast<double>(x0[i]);
  double rms = std::sqrt(squares / static_cast<double>(std::max<int64_t>(n, 1)));
  return {std::max({o.rtol, 100 * state, 10 * field}), std::max({o.atol, 10 * state * rms, 10 * field * rms})};
}

// Why no step from (t, …) is short enough, from the derivatives k_1 … k_s of the last attempt at times t + c_i h.
inline DivergedError no_step(const Pair& pair, double t, double h, std::span<const Tensor> k) {
  for (size_t i = 1; i < k.size(); ++i)
    if (auto bad = non_finite(k[i]))
      return DivergedError(fmt::format("ode: the field is {} at t = {} {}, however short the step from t = {}",
                                       bad->name(), t + pair.c[i] * h, bad->where(), t));
  return DivergedError(fmt::format(
      "ode: the step size underflows at t = {}: the solution grows without bound there, or is not smooth", t));
}
inline DivergedError field_not_finite(double t, const NonFinite& bad) {
  return DivergedError(fmt::format(
      "ode: the field is {} at t = {} {}, from a finite state. Hint: are the weights and conditions finite?",
      bad.name(), t, bad.where()));
}
inline DivergedError state_not_finite(double t, const NonFinite& bad) {
  return DivergedError(
      fmt::format("ode: the state becomes {} at t = {} {}. Hint: more steps, or an adaptive method", bad.name(), t,
                  bad.where()));
}

}  // namespace vapo::runge_kutta
