// Checks, allocation and dispatch of group normalisation, softmax and dropout masks.

#include <tuple>

#include "tensor/backend.h"
#include "tensor/kernels.h"

namespace vapo::kernel {
namespace {

NormCall check_norm(const char* op, const Tensor& x, const Tensor& a, const Tensor& s, const GroupNormOptions& p) {
  VAPO_CHECK(x.defined() && a.defined() && s.defined(), "[{}] an operand is undefined", op);
  DType t = compute_dtype(x.dtype());
  VAPO_CHECK(is_floating(x.dtype()) && a.dtype() == t && s.dtype() == t,
             "[{}] operands are {}, {} and {}; scale and shift are expected in {}", op, name_of(x.dtype()),
             name_of(a.dtype()), name_of(s.dtype()), name_of(t));
  VAPO_CHECK(a.device() == x.device() && s.device() == x.device(), "[{}] operands are on {}, {} and {}", op,
             name_of(x.device()), name_of(a.device()), name_of(s.device()));
  VAPO_CHECK(x.rank() >= 2, "[{}] input {} must be (N,…,C)", op, x.shape().str());
  NormSize size{x.dim(0), 1, x.dim(-1)};
  for (int i = 1; i + 1 < x.rank(); ++i) size.pixels *= x.shape()[i];
  VAPO_CHECK(p.groups >= 1 && size.channels % p.groups == 0, "[{}] {} channels of {} do not divide into {} groups",
             op, size.channels, x.shape().str(), p.groups);
  VAPO_CHECK(size.pixels * size.channels > 0 || size.n == 0, "[{}] of no elements: shape {}", op, x.shape().str());
  VAPO_CHECK((a.shape() == Shape{size.n, size.channels}) && s.shape() == a.shape(),
             "[{}] scale {} and shift {} for {}: expects ({},{})", op, a.shape().str(), s.shape().str(),
             x.shape().str(), size.n, size.channels);
  if (p.mask.defined())
    VAPO_CHECK(p.mask.dtype() == DType::u8 && p.mask.shape() == x.shape() && p.mask.device() == x.device(),
               "[{}] mask {} {} on {} for {} on {}: expects u8", op, name_of(p.mask.dtype()), p.mask.shape().str(),
               name_of(p.mask.device()), x.shape().str(), name_of(x.device()));
  return {size, p, x, a, s};
}
void check_like(const char* op, const char* what, const Tensor& t, const Tensor& x) {
  VAPO_CHECK(t.dtype() == x.dtype() && t.shape() == x.shape() && t.device() == x.device(),
             "[{}] {} {} {} on {}, expects {} {} on {}", op, what, name_of(t.dtype()), t.shape().str(),
             name_of(t.device()), name_of(x.dtype()), x.shape().str(), name_of(x.device()));
}
void check_addends(const char* op, const NormCall& call) {
  for (const auto& [what, t, like] : {std::tuple("addend of dx", &call.add.dx, &call.x),
                                      {"addend of da", &call.add.da, &call.a},
                                      {"addend of ds", &call.add.ds, &call.a},
                                      {"addend of dg", &call.add.dg, &call.x}})
    if (t->defined()) check_like(op, what, *t, *like);
}
// w, b (C) and e (N,2C) or undefined, all f32 or all f64.
void check_coefficients(const char* op, const Tensor& w, const Tensor& b, const Tensor& e, int64_t n) {
  VAPO_CHECK(w.defined() && b.defined(), "[{}] an operand is undefined", op);
  VAPO_CHECK(w.rank() == 1 && is_floating(w.dtype()) && w.dtype() == compute_dtype(w.dtype()),
             "[{}] weights {} {}: expects (C) in f32 or f64", op, name_of(w.dtype()), w.shape().str());
  check_like(op, "biases", b, w);
  VAPO_CHECK(n >= 0, "[{}] of {} samples", op, n);
  if (e.defined())
    VAPO_CHECK(e.dtype() == w.dtype() && e.device() == w.device() && (e.shape() == Shape{n, 2 * w.dim(0)}),
               "[{}] scale and shift {} {} on {}: expects {} ({},{}) on {}", op, name_of(e.dtype()),
               e.shape().str(), name_of(e.device()), name_of(w.dtype()), n, 2 * w.dim(0), name_of(w.device()));
}
SoftmaxSize check_rows(const char* op, const Tensor& x, double scale) {
  VAPO_CHECK(x.defined() && is_floating(x.dtype()) && x.rank() >= 1 && (x.dim(-1) > 0 || x.numel() == 0),
             "[{}] needs f32 or f64 with at least one element in the last dimension", op);
  return {x.numel() == 0 ? 0 : x.numel() / x.dim(-1), x.dim(-1), scale};
}

}  // namespace

Normalized group_norm(const Tensor& x, const Tensor& a, const Tensor& s, const GroupNormOptions& p) {
  NormCall call = check_norm("group_norm", x, a, s, p);
  auto statistic = [&] { return Tensor::empty({call.size.n, p.groups}, a.options()); };
  call.stats = {Tensor::empty(x.shape(), x.options()), statistic(), statistic(), statistic()};
  VAPO_ON(x.device(), group_norm(call));
  return call.stats;
}

NormGrads group_norm_vjp(const Tensor& x, const Tensor& a, const Tensor& s, const Tensor& g,
                         const Normalized& stats, const GroupNormOptions& p, bool want_dx, const NormGrads& add) {
  NormCall call = check_norm("group_norm_vjp", x, a, s, p);
  check_like("group_norm_vjp", "cotangent", g, x);
  VAPO_CHECK(want_dx || !add.dx.defined(), "[group_norm_vjp] an addend of dx, which is not wanted");
  call.add = {add.dx, add.da, add.ds, {}};
  check_addends("group_norm_vjp", call);
  call.stats = stats, call.g = g;
  if (want_dx) call.grads.dx = Tensor::empty(x.shape(), x.options());
  call.grads.da = Tensor::empty(a.shape(), a.options()), call.grads.ds = Tensor::empty(a.shape(), a.options());
  VAPO_ON(x.device(), group_norm_vjp(call));
  return {call.grads.dx, call.grads.da, call.grads.ds};
}

NormGrads2 group_norm_vjp2(const Tensor& x, const Tensor& a, const Tensor& s, const Tensor& g, const Tensor& u,
                           const Tensor& ua, const Tensor& us, const Normalized& stats, const GroupNormOptions& p,
                           const NormGrads2& add) {
  NormCall call = check_norm("group_norm_vjp2", x, a, s, p);
  check_like("group_norm_vjp2", "cotangent", g, x);
  if (ua.defined()) check_like("group_norm_vjp2", "cotangent of da", ua, a);
  if (us.defined()) check_like("group_norm_vjp2", "cotangent of ds", us, a);
  if (u.defined()) check_like("group_norm_vjp2", "cotangent of dx", u, x);
  call.add = add;
  check_addends("group_norm_vjp2", call);
  call.stats = stats, call.g = g, call.ua = ua, call.us = us;
  call.u = u.defined() ? u : Tensor::zeros(x.shape(), x.options());
  call.grads = {Tensor::empty(x.shape(), x.options()), Tensor::empty(a.shape(), a.options()),
                Tensor::empty(a.shape(), a.options()), Tensor::empty(x.shape(), x.options())};
  VAPO_ON(x.device(), group_norm_vjp2(call));
  return call.grads;
}

NormCoefficients norm_coefficients(const Tensor& w, const Tensor& b, const Tensor& e, int64_t n, double one) {
  check_coefficients("norm_coefficients", w, b, e, n);
  auto result = [&] { return Tensor::empty({n, w.dim(0)}, w.options()); };
  NormCoefficients out{result(), result()};
  if (out.a.numel() > 0) VAPO_ON(w.device(), norm_coefficients(w, b, e, one, out));
  return out;
}

CoefficientGrads norm_coefficients_vjp(const Tensor& w, const Tensor& b, const Tensor& e, const Tensor& da,
                                       const Tensor& ds, double one, bool want_weights, bool want_e) {
  const char* op = "norm_coefficients_vjp";
  const Tensor& g = da.defined() ? da : ds;
  VAPO_CHECK(g.defined() && g.rank() == 2, "[{}] needs a cotangent (N,C)", op);
  check_coefficients(op, w, b, e, g.dim(0));
  VAPO_CHECK(g.dtype() == w.dtype() && g.device() == w.device() && g.dim(1) == w.dim(0),
             "[{}] cotangent {} {} on {} for weights {} {} on {}", op, name_of(g.dtype()), g.shape().str(),
             name_of(g.device()), name_of(w.dtype()), w.shape().str(), name_of(w.device()));
  if (ds.defined()) check_like(op, "cotangent", ds, g);
  CoefficientGrads out;
  if (want_weights) out.dw = Tensor::empty(w.shape(), w.options()), out.db = Tensor::empty(w.shape(), w.options());
  if (want_e) out.de = Tensor::empty({g.dim(0), 2 * w.dim(0)}, w.options());
  if (w.numel() > 0 && (want_weights || want_e))
    VAPO_ON(w.device(), norm_coefficients_vjp(w, b, e, da, ds, one, out));
  return out;
}

Tensor softmax(const Tensor& x, double scale) {
  SoftmaxSize size = check_rows("softmax", x, scale);
  Tensor y = Tensor::empty(x.shape(), x.options());
  if (size.rows > 0) VAPO_ON(x.device(), softmax(size, x, y));
  return y;
}

Tensor softmax_vjp(const Tensor& y, const Tensor& g, double scale) {
  SoftmaxSize size = check_rows("softmax_vjp", y, scale);
  check_like("softmax_vjp", "cotangent", g, y);
  Tensor dx = Tensor::empty(y.shape(), y.options());
  if (size.rows > 0) VAPO_ON(y.device(), softmax_vjp(size, y, g, dx));
  return dx;
}

SoftmaxGrads2 softmax_vjp2(const Tensor& y, const Tensor& g, const Tensor& u, double scale, const Tensor& add_dy,
                           const Tensor& add_dg) {
  SoftmaxSize size = check_rows("softmax_vjp2", y, scale);
  check_like("softmax_vjp2", "cotangent", g, y);
  check_like("softmax_vjp2", "cotangent of dx", u, y);
  if (add_dy.defined()) check_like("softmax_vjp2", "addend of dy", add_dy, y);
  if (add_dg.defined()) check_like("softmax_vjp2", "addend of dg", add_dg, y);
  SoftmaxGrads2 grads{Tensor::empty(y.shape(), y.options()), Tensor::empty(y.shape(), y.options())};
  if (size.rows > 0) VAPO_ON(y.device(), softmax_vjp2(size, y, g, u, {add_dy, add_dg}, grads));
  return grads;
}

Tensor dropout_mask(const Shape& shape, double p, const RandomKey& key, Device device) {
  VAPO_CHECK(p >= 0 && p < 1, "[dropout] probability {} must be in [0, 1)", p);
  constexpr int64_t block = 4;  // elements that one call of Philox makes
  int64_t n = shape.numel(), before = key.first > 0 && n > 0 ? key.first * (n / shape[0]) : 0,
          lead = before % block;
  Tensor mask = Tensor::empty({lead + n}, {DType::u8, device});
  VAPO_ON(device, bernoulli(key, p, before / block, mask));
  return (lead > 0 ? slice(mask, 0, lead, lead + n, 1) : mask).reshape(shape);
}

}  // namespace vapo::kernel
