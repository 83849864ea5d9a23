#pragma once
// Gaussian kernel density estimate: the mean of N(x; row, h²C) over the rows, C their covariance. The yardstick for tables.

#include "tensor/tensor.h"

namespace vapo::data {

class GaussianKde {
 public:
  // rows (N,D), N > D, f64. `factor` is h.
  GaussianKde(const Tensor& rows, double factor);
  // h = N^(−1/(D+4)), Scott's rule, as SciPy's gaussian_kde.
  static double scott_factor(int64_t rows, int64_t dims);
  // The h in a geometric ladder around Scott's whose leave-one-out log-likelihood of the rows is largest.
  static double cross_validated_factor(const Tensor& rows);

  Tensor log_density(const Tensor& x) const;  // (M,D) → (M), f64
  double factor() const { return factor_; }

 private:
  Tensor leave_one_out() const;  // log-density of every row under all others
  Tensor log_density_of_whitened(const Tensor& x, bool skip_self) const;
  Tensor whiten(const Tensor& x) const;
  double factor_;
  int64_t dims_;
  Tensor cholesky_;      // L with LLᵀ = C
  Tensor rows_;          // L⁻¹ rows
  double log_constant_;  // of one kernel: −½D log 2π − log det L − D log h
};

}  // namespace vapo::data
