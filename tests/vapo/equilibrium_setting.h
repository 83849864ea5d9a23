#pragma once
// What tests of the equilibrium phase begin with.

#include "gaussian_flow.h"
#include "tensor/operators.h"
#include "tensor/random.h"
#include "vapo/training/equilibrium_options.h"

namespace vapo::testing {

inline Tensor gaussian_data(const GaussianFlow& flow, int64_t n, uint64_t step) {
  auto d = static_cast<int64_t>(flow.m.size());
  return (flow.s * Var(randn({n, d}, {.seed = 3, .step = step}, DType::f64)) + flow.mean()).value();
}

inline EquilibriumOptions some(EquilibriumOptions::Energy energy) {
  EquilibriumOptions o;
  o.steps = 12;
  o.energy = energy;
  o.buffer = 16;
  o.batch_size = 8;
  o.chain_steps = 3;
  o.renewed = 0.3;
  o.schedule.base = 1e-3;
  o.schedule.warmup_steps = 2;
  return o;
}

}  // namespace vapo::testing
