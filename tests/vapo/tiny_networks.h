#pragma once
// Image networks small enough for tests.

#include <cmath>
#include <memory>

#include "tensor/random.h"
#include "vapo/networks/unet.h"
#include "vapo/networks/wide_resnet.h"

namespace vapo::testing {

inline const UnetOptions tiny{.height = 4,
                              .width = 6,
                              .in_channels = 1,
                              .base_width = 4,
                              .multipliers = {1, 1},
                              .blocks_per_level = 1,
                              .heads = 2,
                              .dropout = 0.4,
                              .groups = 2};
inline const WideResnetOptions tiny_resnet{
    .height = 4, .width = 8, .in_channels = 1, .base_width = 4, .depth = 10, .widen = 1, .dropout = 0.4};

// Values of order one everywhere: at the zero initialisation most derivatives vanish.
inline void perturb(nn::Module& module) {
  uint64_t step = 0;
  module.parameters([&](const std::string& name, Var& p) {
    double fan_in = p.rank() > 1 ? static_cast<double>(p.numel() / p.dim(0)) : 4;
    p = Var::leaf(
        affine(randn(p.shape(), {.seed = 9, .step = step++}, p.options()), 1 / std::sqrt(fan_in), 0).value(), name);
  });
}

template <class Network, class Options>
std::unique_ptr<Network> perturbed(const Options& options, DType dtype = DType::f64) {
  auto phi = std::make_unique<Network>(options, 0, dtype);
  perturb(*phi);
  return phi;
}

}  // namespace vapo::testing
