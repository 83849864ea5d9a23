#include "vapo/sgld.h"

#include <cmath>

#include "tensor/kernels.h"

namespace vapo {

Tensor sgld(const Energy& energy, const Tensor& x0, const SgldOptions& o,
            const std::function<void(const SgldReport&)>& observe) {
  VAPO_CHECK(x0.rank() >= 2, "[sgld] x0 has shape {}, expected (N,D) or (N,H,W,C)", x0.shape().str());
  if (!(o.step_size > 0) || !(o.temperature >= 0) || o.steps < 0)
    throw InputError(
        fmt::format("sgld: step_size = {} must be positive, temperature = {} and steps = {} not negative",
                    o.step_size, o.temperature, o.steps));
  double noise = std::sqrt(2 * o.step_size * o.temperature), n = static_cast<double>(x0.dim(0));
  Tensor x = x0;
  RandomKey key = o.key;
  int64_t offset = o.first * rows(x0).dim(1);
  VAPO_CHECK(o.first >= 0 && offset % 4 == 0, "[sgld] chains from {} on of {} numbers: not a multiple of 4",
             o.first, rows(x0).dim(1));
  for (int64_t k = 0; k < o.steps; ++k, ++key.step) {
    EnergyGradient e = energy_gradient(energy, x);
    if (observe)
      observe({k, kernel::sum(e.value, {}, false).item() / n, kernel::sum_squares({&e.gradient, 1}).item() / n, x});
    // x + η∇E + √(2ηλ) ξ
    x = kernel::binary(kernel::Binary::add, x, kernel::affine(e.gradient, o.step_size, 0));
    if (noise > 0) {
      Tensor xi = randn(x.shape(), key, x.options(), offset);
      x = kernel::binary(kernel::Binary::add, x, kernel::affine(xi, noise, 0));
    }
    if (!kernel::all_finite(x))
      throw DivergedError(
          fmt::format("SGLD: x is not finite after step {} of {}. Hint: a smaller step_size than {}", k + 1,
                      o.steps, o.step_size));
  }
  return x;
}

}  // namespace vapo
