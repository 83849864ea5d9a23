// Convolution: three bilinear maps that are each other's derivatives. With C(x,w) the convolution, X(g,w) its
// adjoint in x and W(x,g) its adjoint in w:
//   ⟨C(x,w), g⟩ = ⟨x, X(g,w)⟩ = ⟨w, W(x,g)⟩
// so a derivative of any order is again one of the three. What else is to be added to C or X, a skip connection or the
// cotangent that has come so far, goes through the same kernel.

#include "autograd/ops.h"

namespace vapo {

namespace {
Var identity(const Var& g) { return g; }
}  // namespace

Var conv2d(const Var& x, const Var& w, const Var& b, const Conv2dOptions& p, const Var& add) {
  Tensor y = kernel::conv2d(x.value(), w.value(), b.value(), p, add.value());
  auto dx = [w, p, s = x.shape()](const Var& g, Addend& sum) { return conv2d_input_grad(g, w, s, p, sum.take()); };
  auto dw = [x, p, s = w.shape()](const Var& g) { return conv2d_weight_grad(x, g, s, p); };
  auto db = [](const Var& g) { return sum_to(g, {g.dim(-1)}); };
  return record("conv2d", std::move(y), {{x, dx}, {w, dw}, {b, db}, {add, identity}});
}

Var conv2d_input_grad(const Var& g, const Var& w, const Shape& x_shape, const Conv2dOptions& p, const Var& add) {
  return record("conv2d_input_grad", kernel::conv2d_input_grad(g.value(), w.value(), x_shape, p, add.value()),
                {{g, [w, p](const Var& u, Addend& sum) { return conv2d(u, w, {}, p, sum.take()); }},
                 {w, [g, p, s = w.shape()](const Var& u) { return conv2d_weight_grad(u, g, s, p); }},
                 {add, identity}});
}

Var conv2d_weight_grad(const Var& x, const Var& g, const Shape& w_shape, const Conv2dOptions& p) {
  return record("conv2d_weight_grad", kernel::conv2d_weight_grad(x.value(), g.value(), w_shape, p),
                {{x, [g, p, s = x.shape()](const Var& u) { return conv2d_input_grad(g, u, s, p); }},
                 {g, [x, p](const Var& u) { return conv2d(x, u, {}, p); }}});
}

namespace {
// scale·Σ over windows, and its adjoint, scale·repeat.
Var pool_sum2d(const Var& x, Pair k, double scale);
Var repeat2d(const Var& x, Pair k, double scale) {
  return record("upsample_nearest2d", kernel::upsample_nearest2d(x.value(), k, scale),
                {{x, [k, scale](const Var& g) { return pool_sum2d(g, k, scale); }}});
}
Var pool_sum2d(const Var& x, Pair k, double scale) {
  return record("avg_pool2d", kernel::pool_sum2d(x.value(), k, scale),
                {{x, [k, scale](const Var& g) { return repeat2d(g, k, scale); }}});
}
}  // namespace

Var avg_pool2d(const Var& x, Pair k) {
  VAPO_CHECK(x.rank() == 4 && k.h >= 1 && k.w >= 1, "[avg_pool2d] windows of {}×{} over {}, expects (N,H,W,C)", k.h,
             k.w, x.shape().str());
  Var whole = slice(slice(x, 1, {0, x.dim(1) / k.h * k.h}), 2, {0, x.dim(2) / k.w * k.w});
  return pool_sum2d(whole, k, 1 / static_cast<double>(k.h * k.w));
}
Var upsample_nearest2d(const Var& x, Pair k) { return repeat2d(x, k, 1); }

}  // namespace vapo
