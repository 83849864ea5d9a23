#pragma once
// Stochastic gradient Langevin dynamics: x ← x + η∇E(x) + √(2ηλ) ξ, whose stationary law is ∝ e^{E/λ}.

#include <functional>

#include "tensor/random.h"
#include "vapo/energy.h"
#include "vapo/recorded.h"

namespace vapo {

struct SgldOptions {
  double step_size = 1e-3;  // η
  double temperature = 1;   // λ; 0 = gradient ascent
  int64_t steps = 1000;
  RandomKey key = {};  // key.step counts from here
  // x0 holds the chains from this one on: chain k has the same noise whatever others run beside it. first·D must be
  // a multiple of 4.
  int64_t first = 0;
  bool recorded = true;  // on a GPU ∇E is recorded: the energy is then a function of x alone (vapo/recorded.h)
};
struct SgldReport {  // of one step, before the move
  int64_t step;
  double mean_energy;            // E over the batch of E(x)
  double mean_squared_gradient;  // of ‖∇E‖²
  const Tensor& x;
};
// From x0 (N,…). `observe`, where given, is called at every step. Throws DivergedError when x is not finite.
Tensor sgld(const Energy& energy, const Tensor& x0, const SgldOptions& options,
            const std::function<void(const SgldReport&)>& observe = {});
// The same by a ∇E that outlasts the call: a recorded one serves several.
Tensor sgld(const EnergySlope& slope, const Tensor& x0, const SgldOptions& options,
            const std::function<void(const SgldReport&)>& observe = {});

}  // namespace vapo
