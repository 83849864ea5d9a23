#include "vapo/sampling/sgld.h"

#include <cmath>

#include "tensor/finite.h"
#include "tensor/operators.h"

namespace vapo {

namespace {

// √(2ηλ), to broadcast over x: of each chain, or of all; undefined where it is 0.
Var noise_of(const SgldOptions& o, const Tensor& x) {
  if (!o.temperatures.defined())
    return o.temperature > 0 ? Var(Tensor::scalar(std::sqrt(2 * o.step_size * o.temperature), x.options())) : Var();
  VAPO_CHECK(o.temperatures.shape() == Shape{x.dim(0)}, "[sgld] temperatures {} of {} chains",
             o.temperatures.shape().str(), x.dim(0));
  Shape each{x.dim(0)};
  for (int i = 1; i < x.rank(); ++i) each.push_back(1);
  return sqrt(affine(Var(o.temperatures.to(x.dtype()).to(x.device()).reshape(each)), 2 * o.step_size, 0));
}

}  // namespace

Tensor heated_flow(const Field& v, const Tensor& x0, double t0, double t1, int64_t steps, double temperature,
                   RandomKey key, int64_t first) {
  if (!(temperature >= 0) || steps < 1 || !(t1 > t0))
    throw InputError(
        fmt::format("heated flow: from t = {} to {} in {} steps at temperature {}", t0, t1, steps, temperature));
  double h = (t1 - t0) / static_cast<double>(steps);
  int64_t offset = first * rows(x0).dim(1);
  Tensor x = x0;
  for (int64_t k = 0; k < steps; ++k, ++key.step) {
    double t = t0 + static_cast<double>(k) * h, noise = std::sqrt(2 * h * temperature * heat_at(t));
    x = x + h * v(x, t);
    if (noise > 0) x = x + noise * randn(x.shape(), key, x.options(), offset);
    if (auto bad = non_finite(x))
      throw DivergedError(fmt::format("the heated flow: x becomes {} at t = {} {}. Hint: more steps than {}",
                                      bad->name(), t + h, bad->where(), steps));
  }
  return x;
}

Tensor sgld(const Energy& energy, const Tensor& x0, const SgldOptions& o,
            const std::function<void(const SgldReport&)>& observe) {
  return sgld(recorded_slope(energy, o.recorded), x0, o, observe);
}

Tensor sgld(const EnergySlope& slope, const Tensor& x0, const SgldOptions& o,
            const std::function<void(const SgldReport&)>& observe) {
  VAPO_CHECK(x0.rank() >= 2, "[sgld] x0 has shape {}, expected (N,D) or (N,H,W,C)", x0.shape().str());
  if (!(o.step_size > 0) || !(o.temperature >= 0) || o.steps < 0)
    throw InputError(
        fmt::format("sgld: step_size = {} must be positive, temperature = {} and steps = {} not negative",
                    o.step_size, o.temperature, o.steps));
  Var noise = noise_of(o, x0);
  double n = static_cast<double>(x0.dim(0));
  Tensor x = x0;
  if (auto bad = non_finite(x))
    throw DivergedError(fmt::format("SGLD: the start is {} {}", bad->name(), bad->where()));
  RandomKey key = o.key;
  int64_t offset = o.first * rows(x0).dim(1);
  Tensor ahead;  // with averaged noise: the coming step's own
  auto xi = [&] {
    if (!o.averaged_noise) return randn(x0.shape(), key, x0.options(), offset);
    Tensor own = ahead.defined() ? ahead : randn(x0.shape(), key, x0.options(), offset);
    ahead = randn(x0.shape(), {key.seed, key.stream, key.step + 1}, x0.options(), offset);
    return 0.5 * (own + ahead);
  };
  VAPO_CHECK(o.first >= 0 && offset % 4 == 0, "[sgld] chains from {} on of {} numbers: not a multiple of 4",
             o.first, rows(x0).dim(1));
  for (int64_t k = 0; k < o.steps; ++k, ++key.step) {
    EnergyGradient e = slope(x);
    if (observe)
      observe({k, kernel::sum(e.value, {}, false).item() / n, kernel::sum_squares({&e.gradient, 1}).item() / n, x});
    // x + η∇E + √(2ηλ) ξ
    x = x + o.step_size * e.gradient;
    if (noise.defined()) x = x + (noise * xi()).value();
    if (o.clamp) x = clamp(Var(x), -1, 1).value();
    if (auto bad = non_finite(x)) {
      if (auto gradient = non_finite(e.gradient))
        throw DivergedError(fmt::format(
            "SGLD: the energy's gradient is {} at step {} of {} {}, from finite x. Hint: {}", gradient->name(),
            k + 1, o.steps, gradient->where(), k == 0 ? "are the weights finite?" : "a smaller step_size"));
      throw DivergedError(fmt::format("SGLD: x becomes {} in step {} of {} {}. Hint: a smaller step_size than {}",
                                      bad->name(), k + 1, o.steps, bad->where(), o.step_size));
    }
  }
  return x;
}

}  // namespace vapo
