#pragma once
// Numerical check of derivatives of any order.

#include <functional>
#include <span>
#include <vector>

#include "autograd/var.h"

namespace vapo {

using VarFunction = std::function<std::vector<Var>(std::span<const Var>)>;

struct CheckGradsOptions {
  int order = 2;
  double step = 1e-3;  // of the five-point central difference, for inputs of order 1
  uint64_t seed = 0;   // of the direction and the cotangents
};

// Compares ⟨vjp(u), d⟩ with the five-point central difference of ⟨u, f⟩ along one random direction d, for random
// cotangents u, at f64 inputs; then recursively the same for (x, u) ↦ vjp, up to `order`. Returns the worst
// relative error over all orders: |a − b| / max(1, |a|, |b|).
double check_grads(const VarFunction& f, std::span<const Tensor> inputs, const CheckGradsOptions& options = {});

}  // namespace vapo
