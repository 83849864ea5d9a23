// A norm's coefficients of each sample: a = w·(1 + scale), s = b·(1 + scale) + shift, [scale, shift] = e or 0. One
// operation, and one for its vjp, as they are small and many; the vjp's own rule is made of elementwise operations.

#include <array>

#include "autograd/ops.h"

namespace vapo {
namespace {

// Where an undefined operand is 0.
Var times(const Var& x, const Var& y) { return x.defined() && y.defined() ? mul(x, y) : Var(); }
Var plus(const Var& x, const Var& y) { return !x.defined() ? y : y.defined() ? add(x, y) : x; }

struct Operands {
  Var w, b, e, da, ds;
};

// The gradient of ⟨uw, dw⟩ + ⟨ub, db⟩ + ⟨[uscale, ushift], de⟩ in the wanted ones of w, b, e, da and ds.
std::vector<Var> second(const Operands& o, const Var& uw, const Var& ub, const Var& ue,
                        const std::vector<bool>& wanted) {
  Shape of_channels = o.w.shape(), of_samples = (o.da.defined() ? o.da : o.ds).shape();
  int64_t c = of_channels[0];
  Var uscale, ushift, factor;  // 1 + scale; undefined: 1
  if (ue.defined()) uscale = slice(ue, 1, {0, c}), ushift = slice(ue, 1, {c, 2 * c});
  if (o.e.defined()) factor = slice(o.e, 1, {0, c}) + 1;
  auto scaled = [&](const Var& u) { return factor.defined() ? times(u, factor) : u; };
  auto as = [](const Var& x, const Shape& shape) {
    return !x.defined() ? x : x.shape().rank() < shape.rank() ? broadcast_to(x, shape) : sum_to(x, shape);
  };
  std::vector<Var> out(5);
  if (wanted[0]) out[0] = as(times(uscale, o.da), of_channels);
  if (wanted[1]) out[1] = as(times(uscale, o.ds), of_channels);
  if (wanted[2]) {
    Var to_scale = plus(times(uw, o.da), times(ub, o.ds));
    if (to_scale.defined()) out[2] = concat({to_scale, Tensor::zeros(of_samples, o.w.options())}, 1);
  }
  if (wanted[3]) out[3] = as(plus(scaled(uw), times(uscale, o.w)), of_samples);
  if (wanted[4]) out[4] = as(plus(plus(scaled(ub), times(uscale, o.b)), ushift), of_samples);
  return out;
}

std::vector<Var> norm_coefficients_vjp(const Var& w, const Var& b, const Var& e, const Var& da, const Var& ds,
                                       const std::vector<bool>& wanted) {
  auto d = kernel::norm_coefficients_vjp(w.value(), b.value(), e.value(), da.value(), ds.value(),
                                         wanted[0] || wanted[1], wanted[2]);
  auto of_vjp = [o = Operands{w, b, e, da, ds}](std::span<const Var> u, const std::vector<bool>& of, auto) {
    return second(o, u[0], u[1], u[2], of);
  };
  return record_jointly("norm_coefficients_vjp", {d.dw, d.db, d.de}, std::array{w, b, e, da, ds}, of_vjp);
}

}  // namespace

std::vector<Var> norm_coefficients(const Var& w, const Var& b, const Var& e, int64_t n) {
  auto r = kernel::norm_coefficients(w.value(), b.value(), e.value(), n);
  return record_jointly("norm_coefficients", {r.a, r.s}, std::array{w, b, e},
                        [=](std::span<const Var> g, const std::vector<bool>& wanted, auto) {
                          return norm_coefficients_vjp(w, b, e, g[0], g[1], wanted);
                        });
}

}  // namespace vapo
