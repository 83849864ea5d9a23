// Gathering along a dimension and its adjoint; the maxima of windows, which are gathered where they lie.

#include "autograd/ops.h"

namespace vapo {
namespace {

// Where entries are known to be in range, and shapes agree but along d: an adjoint pair.
Var gathered(const Var& x, int d, const Var& index);
Var scattered(const Var& g, const Shape& shape, int d, const Var& index) {
  return record("scatter_add", kernel::scatter_add(g.value(), shape, d, index.value(), true),
                {{g, [d, index](const Var& u) { return gathered(u, d, index); }}});
}
Var gathered(const Var& x, int d, const Var& index) {
  return record("gather", kernel::gather(x.value(), d, index.value(), true),
                {{x, [d, index, s = x.shape()](const Var& g) { return scattered(g, s, d, index); }}});
}

// The part of x that an index of `shape` can meet: all of dimension d, the first entries of the others.
Var met(const char* op, const char* what, const Var& x, const Shape& shape, int d) {
  Var y = x;
  for (int i = 0; i < shape.rank(); ++i) {
    if (i == d) continue;
    VAPO_CHECK(shape[i] <= x.dim(i), "[{}] along dimension {}: index {} is larger than {} {} in dimension {}", op,
               d, shape.str(), what, x.shape().str(), i);
    y = slice(y, i, {0, shape[i]});
  }
  return y;
}
void check_rank(const char* op, const char* what, const Var& x, const Tensor& index) {
  VAPO_CHECK(x.defined() && index.defined() && index.rank() == x.rank(),
             "[{}] index {} and {} {} must have as many dimensions", op, index.defined() ? index.shape().str() : "",
             what, x.defined() ? x.shape().str() : "");
}

}  // namespace

Var gather(const Var& x, int64_t dim, const Tensor& index) {
  check_rank("gather", "the operand", x, index);
  int d = x.shape().wrap(dim, "gather");
  Var from = met("gather", "the operand", x, index.shape(), d);
  Tensor y = kernel::gather(from.value(), d, Var(index).value());
  return record("gather", std::move(y),
                {{from, [d, at = Var(index), s = from.shape()](const Var& g) { return scattered(g, s, d, at); }}});
}

Var scatter_add(const Var& x, int64_t dim, const Tensor& index, const Var& src) {
  check_rank("scatter_add", "the operand", x, index);
  check_rank("scatter_add", "src", src, index);
  int d = x.shape().wrap(dim, "scatter_add");
  VAPO_CHECK(index.dim(d) <= src.dim(d), "[scatter_add] along dimension {}: index {} is larger than src {}", d,
             index.shape().str(), src.shape().str());
  Var from = slice(met("scatter_add", "src", src, index.shape(), d), d, {0, index.dim(d)});
  Shape shape = met("scatter_add", "the operand", x.detach(), index.shape(), d).shape();
  Tensor sums = kernel::scatter_add(from.value(), shape, d, Var(index).value());
  Var y = record("scatter_add", std::move(sums),
                 {{from, [d, at = Var(index)](const Var& g) { return gathered(g, d, at); }}});
  for (int i = 0; i < shape.rank(); ++i) {  // zeros where no index leads
    shape[i] = x.dim(i) - y.dim(i);
    if (shape[i] > 0) y = concat({y, Var(Tensor::zeros(shape, y.options()))}, i);
    shape[i] = x.dim(i);
  }
  return add(x, y);
}

Var max_pool2d(const Var& x, const kernel::Window& window) {
  if (!x.requires_grad() || !NoGradGuard::grad_enabled())
    return kernel::pool2d(kernel::Pool::maximum, x.value(), window);
  kernel::Maxima top = kernel::max_pool2d(x.value(), window);
  Shape s = x.shape(), flat{s[0], top.y.dim(1) * top.y.dim(2), s[3]};
  return record("max_pool2d", top.y,
                {{x, [s, flat, index = Var(top.index.reshape(flat))](const Var& g) {
                    return reshape(scattered(reshape(g, flat), {s[0], s[1] * s[2], s[3]}, 1, index), s);
                  }}});
}

}  // namespace vapo
