#pragma once
// Features for the tests of distances between sets, by formulas that NumPy computes as well.

#include <cmath>

#include "tensor/tensor.h"

template <class F>
vapo::Tensor rows(int64_t n, int64_t d, F&& f) {
  vapo::Tensor x = vapo::Tensor::empty({n, d}, vapo::DType::f64);
  for (int64_t i = 0; i < n * d; ++i)
    x.mutable_data<double>()[i] = f(static_cast<double>(i / d), static_cast<double>(i % d));
  return x;
}
inline vapo::Tensor waves(int64_t n, int64_t d) {
  return rows(n, d, [](double i, double k) { return std::sin(0.37 * i * (k + 1) + 0.5 * k); });
}
inline vapo::Tensor other_waves(int64_t n, int64_t d) {
  return rows(n, d, [](double i, double k) { return 0.8 * std::cos(0.23 * i * (k + 2)) + 0.1 * k; });
}
