#include "vapo/potential.h"

#include "autograd/grad.h"

namespace vapo {

Tensor gradient(const Potential& phi, const Tensor& x, double t, const Tensor& y) {
  VAPO_CHECK(x.rank() == 2, "[gradient] x has shape {}, expected (N,D)", x.shape().str());
  EnableGradGuard on;
  Var leaf = Var::leaf(x, "x"), ones(Tensor::ones({x.dim(0)}, x.options()));
  Var value = phi(leaf, Tensor::full({x.dim(0)}, t, x.options()), y);
  return grad({&value, 1}, {&leaf, 1}, {}, {&ones, 1})[0].value();
}

}  // namespace vapo
