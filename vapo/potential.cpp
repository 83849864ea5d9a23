#include "vapo/potential.h"

#include "autograd/grad.h"

namespace vapo {

namespace {
Shape row_shape(const Shape& s) {
  int64_t d = 1;
  for (int i = 1; i < s.rank(); ++i) d *= s[i];
  return {s[0], d};
}
}  // namespace

Tensor rows(const Tensor& x) { return x.reshape(row_shape(x.shape())); }
Var rows(const Var& x) { return x.rank() == 2 ? x : reshape(x, row_shape(x.shape())); }

Var energy_head(const Var& x, const Var& f) {
  VAPO_CHECK(x.shape() == f.shape() && x.rank() >= 1, "[energy_head] x {} and f {} must agree", x.shape().str(),
             f.shape().str());
  return 0.5 * sum(square(rows(x - f)), {1});
}

Var head_of(Head head, const Var& x, const Var& f, double scale) {
  auto of = [&] {
    if (head == Head::residual) return energy_head(x, f);
    VAPO_CHECK(f.rank() >= 2 && f.dim(0) == x.dim(0) && (head == Head::linear || f.shape() == x.shape()),
               "[head] x {} and f {} must agree", x.shape().str(), f.shape().str());
    return sum(rows(head == Head::linear ? f : x * f), {1});
  };
  return scale == 1 ? of() : scale * of();
}

Tensor gradient(const Potential& phi, const Tensor& x, const Tensor& t, const Tensor& y) {
  VAPO_CHECK(x.rank() >= 2, "[gradient] x has shape {}, expected (N,D) or (N,H,W,C)", x.shape().str());
  EnableGradGuard on;
  Var leaf = Var::leaf(x, "x"), ones(Tensor::ones({x.dim(0)}, x.options()));
  Var value = phi(leaf, t, y);
  return grad({&value, 1}, {&leaf, 1}, {}, {&ones, 1})[0].value();
}

Tensor gradient(const Potential& phi, const Tensor& x, double t, const Tensor& y) {
  return gradient(phi, x, Tensor::full({x.shape()[0]}, t, x.options()), y);
}

}  // namespace vapo
