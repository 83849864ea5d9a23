#pragma once
// Controls the steps of adaptive methods as SciPy's solve_ivp does: what error a step may make, how long the first
// and the next one are, and what is asked of a field. The solver of a batch has one control, that of each sample as
// many as there are samples.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "tensor/finite.h"
#include "tensor/tensor.h"
#include "vapo/sampling/ode.h"

namespace vapo::runge_kutta {

// Tolerances that the rounding of state and field allows.
struct Tolerances {
  double rtol, atol;
};
inline void check_tolerances(const OdeOptions& o) {
  if (!(o.rtol >= 0 && o.atol >= 0 && o.rtol + o.atol > 0 && std::isfinite(o.rtol + o.atol)))
    throw InputError(
        fmt::format("ode: rtol = {} and atol = {} must be finite and not negative, nor both 0", o.rtol, o.atol));
}
// Of one error control over n values of x0 (on the CPU) from `begin` on. An estimate h Σ e_j k_j is off by some ε h|k|;
// the step control stands still where that is not below atol + rtol|x|, wherever x passes 0 too. Rounding of the state
// adds up along the way, that of the field alone does not.
inline Tolerances sound(const OdeOptions& o, const Tensor& x0, int64_t begin, int64_t n) {
  return dispatch_floating(x0.dtype(), [&]<class T>() -> Tolerances {
    const T* x = x0.data<T>() + begin;
    double squares = 0, state = std::numeric_limits<T>::epsilon();
    double field = o.field_dtype == DType::f64 ? 0 : std::numeric_limits<float>::epsilon();
    for (int64_t i = 0; i < n; ++i) squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    double rms = std::sqrt(squares / static_cast<double>(std::max<int64_t>(n, 1)));
    return {std::max({o.rtol, 100 * state, 10 * field}), std::max({o.atol, 10 * state * rms, 10 * field * rms})};
  });
}

class StepControl {
 public:
  // error_order is that of the lower of the pair's two methods.
  StepControl(double t0, double t1, double error_order, Tolerances to)
      : t(t0),
        next(t0),
        tolerances(to),
        end_(t1),
        direction_(t1 < t0 ? -1 : 1),
        exponent_(-1 / (error_order + 1)) {}

  double t, next, h = 0;  // where it is, where its attempt leads, next − t
  Tolerances tolerances;

  bool arrived() const { return t == end_; }
  bool before(double time) const { return direction_ * (t - time) < 0; }

  // The size of the first step (Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, II.4), from
  // scaled norms of the state, d0, and of its derivative, d1, at the start: first a trial of h, then the norm of
  // the derivative's change over it.
  void try_first(double d0, double d1) {
    slope_ = d1;
    size_ = std::min(d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : 0.01 * d0 / d1, std::abs(end_ - t));
    h = size_ * direction_;
  }
  void choose_first(double change) {
    double d2 = change / size_;
    double guess = slope_ <= 1e-15 && d2 <= 1e-15 ? std::max(1e-6, size_ * 1e-3)
                                                  : std::pow(0.01 / std::max(slope_, d2), -exponent_);
    size_ = std::min({100 * size_, guess, std::abs(end_ - t)});
  }

  // Sets next and h, or is false where no step is short enough: none is below ten of the gaps between the numbers at t.
  bool attempt() {
    double smallest = 10 * std::abs(std::nextafter(t, direction_ * std::numeric_limits<double>::infinity()) - t);
    if (!rejected_) size_ = std::max(size_, smallest);
    if (!(size_ >= smallest)) return false;
    next = t + size_ * direction_;
    if (direction_ * (next - end_) > 0) next = end_;
    h = next - t;
    size_ = std::abs(h);
    return true;
  }
  // Shortens the step to try after an error that is not below 1; NaN is such a one.
  void reject(double error) {
    size_ *= error >= 1 ? std::max(min_factor, safety * std::pow(error, exponent_)) : min_factor;
    rejected_ = true;
  }
  // Moves t by the attempt, and lengthens the next; an error of 0 gives an infinite factor before its limit.
  void accept(double error) {
    t = next;
    size_ *= std::min(safety * std::pow(error, exponent_), rejected_ ? 1 : max_factor);
    rejected_ = false;
  }

 private:
  static constexpr double safety = 0.9, min_factor = 0.2, max_factor = 10;
  double end_, direction_, exponent_;
  double size_ = 0, slope_ = 0;  // |h| to try next; d1
  bool rejected_ = false;        // the attempt before
};

// Counts evaluations of a field, and looks at what it gives.
class Evaluations {
 public:
  Evaluations(const OdeOptions& options, const char* asked_by) : o_(options), asked_by_(asked_by) {}
  int64_t count() const { return count_; }

  // field() at the state x, when the solution is known up to t.
  template <class F>
  Tensor operator()(const F& field, const Tensor& x, double t) {
    if (count_ >= o_.max_evaluations)
      throw DivergedError(fmt::format(
          "ode: {} evaluations and only at t = {}. Hint: looser rtol and atol, or a potential that is less steep",
          count_, t));
    ++count_;
    Tensor k = field();
    VAPO_CHECK(k.shape() == x.shape() && k.dtype() == x.dtype(), "[{}] the field gives {} {}, the state is {} {}",
               asked_by_, name_of(k.dtype()), k.shape().str(), name_of(x.dtype()), x.shape().str());
    return k;
  }

 private:
  const OdeOptions& o_;
  const char* asked_by_;
  int64_t count_ = 0;
};

inline void check_start(const Tensor& x0, double t0, double t1) {
  VAPO_CHECK(x0.rank() >= 1 && (x0.dtype() == DType::f32 || x0.dtype() == DType::f64),
             "[integrate] x0 is {} {}, expected f32 or f64 with a batch dimension", name_of(x0.dtype()),
             x0.shape().str());
  if (!std::isfinite(t0) || !std::isfinite(t1)) throw InputError(fmt::format("ode: from t = {} to {}", t0, t1));
  if (auto bad = non_finite(x0))
    throw DivergedError(
        fmt::format("ode: the state at the start, t = {}, is {} {}", t0, bad->name(), bad->where()));
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
