#pragma once
// Stochastic gradient Langevin dynamics: x ← x + η∇E(x) + √(2ηλ) ξ, whose stationary law is ∝ e^{E/λ}.

#include <algorithm>
#include <functional>

#include "tensor/random.h"
#include "vapo/energy.h"
#include "vapo/recorded.h"
#include "vapo/sampling/ode.h"

namespace vapo {

// Of the flow of an autonomous potential that turns into Langevin dynamics (docs/equilibrium.md): the share of its
// temperature at time t, which rises from 0 at heat_begins to 1 at t = 1.
inline constexpr double heat_begins = 0.9;
inline double heat_at(double t) { return std::clamp((t - heat_begins) / (1 - heat_begins), 0.0, 1.0); }

struct SgldOptions {
  double step_size = 1e-3;   // η
  double temperature = 1;    // λ; 0 = gradient ascent
  Tensor temperatures = {};  // (N): a λ for each chain, in the place of the one for all
  bool clamp = false;        // to [−1,1] after every step
  // Noise of a step: the mean of its own ξ and the next one's (Leimkuhler & Matthews, 2013). The law of x is then exact for
  // a Gaussian at any stable η, and to second order in η for others. Plain noise makes it broader, in a direction of
  // curvature c by 1/(1 − ηc/2), and the mean energy of many dimensions lower by the sum of that.
  bool averaged_noise = false;
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

// The flow dx/dt = v(x,t) by Euler's steps of h = (t1 − t0)/steps, with noise √(2hλ·heat_at(t)) ξ in each: beyond t = 1
// of an autonomous potential, Langevin dynamics of Φ at temperature λ. Chains from `first` on have the noise of the key as
// in SgldOptions. Throws DivergedError when x is not finite.
Tensor heated_flow(const Field& v, const Tensor& x0, double t0, double t1, int64_t steps, double temperature,
                   RandomKey key, int64_t first = 0);

}  // namespace vapo
