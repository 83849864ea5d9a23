#pragma once
// x → L⁻¹(x − mean)/scale, learned from the training rows: each column by itself, or with LLᵀ their correlations.

#include "tensor/names.h"
#include "tensor/tensor.h"

namespace vapo {

enum class Standardize { none, columns, whiten, automatic };  // automatic: whitens, until one is chosen
constexpr auto names_of(Standardize) {
  using enum Standardize;
  return name_table<Standardize>("standardisation",
                                 {{"none", none}, {"columns", columns}, {"whiten", whiten}, {"auto", automatic}});
}

struct Standardization {
  // (D), f64. Scale 0: a constant column. It is seen as x − mean, comes back as its mean, and counts as a column of
  // its own units in densities.
  Tensor mean, scale;
  Tensor factor = {};                   // L (D,D), f64, lower, of a positive diagonal; undefined: 1
  Tensor apply(const Tensor& x) const;  // (N,D); keeps x's dtype
  Tensor undo(const Tensor& x) const;
  double log_scale() const;  // log |det|: log p(x) = log p(standardised) − log_scale
  bool is_constant(int64_t column) const { return scale.at(column) == 0; }
  // Correlations are shrunk towards none by as much as makes a fifth of the rows likeliest to the Gaussian of the
  // others. Throws InputError for a column whose deviation is not finite, or 0 though it is not constant.
  static Standardization learn(const Tensor& x, Standardize how = Standardize::columns);
  static Standardization identity(int64_t dims);
};

}  // namespace vapo
