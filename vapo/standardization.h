#pragma once
// x → (x − mean)/scale per column; learned from the training rows.

#include "tensor/tensor.h"

namespace vapo {

struct Standardization {
  Tensor mean, scale;                   // (D), f64; a constant column has scale 1
  Tensor apply(const Tensor& x) const;  // (N,D); keeps x's dtype
  Tensor undo(const Tensor& x) const;
  double log_scale() const;  // Σ log scale: log p(x) = log p(standardised) − log_scale
  // Throws InputError for a column whose deviation is not finite, or 0 though it is not constant.
  static Standardization learn(const Tensor& x);
  static Standardization identity(int64_t dims);
};

}  // namespace vapo
