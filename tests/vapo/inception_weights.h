#pragma once
// Weights for the Inception network that a formula gives, here and in tests/golden/inception.py.

#include <cmath>

#include "tensor/kernels.h"
#include "tensor/random.h"
#include "vapo/networks/inception.h"

namespace vapo::testing {

inline constexpr uint64_t kInceptionSeed = 20151205;

inline void fill_by_formula(Inception& network) {
  uint64_t step = 0;
  network.parameters([&](const std::string&, Var& p) {
    double fan_in = p.rank() == 1 ? 1 : static_cast<double>(p.numel() / p.dim(0));
    double a = p.rank() == 1 ? 0.1 : std::sqrt(6.0 / fan_in);
    kernel::copy_into(p.value(), rand(p.shape(), {.seed = kInceptionSeed, .step = step++}, -a, a));
  });
}

}  // namespace vapo::testing
