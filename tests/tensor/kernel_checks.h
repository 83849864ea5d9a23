#pragma once
// What the tests of kernels share: operands, and how far a result is from what it should be.

#include <algorithm>
#include <cmath>
#include <functional>

#include "tensor/kernels.h"
#include "tensor/random.h"

inline constexpr vapo::DType floating[] = {vapo::DType::f32, vapo::DType::f64};
inline double tolerance(vapo::DType t) { return t == vapo::DType::f32 ? 3e-6 : 1e-13; }

inline vapo::Tensor noise(const vapo::Shape& s, vapo::DType t, uint64_t step = 0) {
  return vapo::randn(s, {.seed = 42, .step = step}, t);
}

// Largest |y − want| relative to max(1, |want|); 1e9 where one of the two is NaN alone.
inline double error(const vapo::Tensor& y, const std::function<double(int64_t)>& want) {
  double worst = 0;
  for (int64_t i = 0; i < y.numel(); ++i) {
    double w = want(i);
    worst = std::max(worst, std::abs(y.at(i) - w) / std::max(1.0, std::abs(w)));
    if (std::isnan(y.at(i)) != std::isnan(w)) return 1e9;
  }
  return worst;
}
