// A norm's coefficients of each sample: a = w·(1 + scale), s = b·(1 + scale) + shift, [scale, shift] = e or 0. One
// operation, and one for its vjp, as they are small and many. Their derivatives in e are the two again, with 0 for 1,
// which is what a gradient in time is differentiated through; those in w and b are made of elementwise operations.

#include <array>

#include "autograd/ops.h"

namespace vapo {
namespace {

struct Operands {
  Var w, b, e, da, ds;
  double one;
};
std::vector<Var> coefficients(const Var& w, const Var& b, const Var& e, int64_t n, double one);
std::vector<Var> coefficients_vjp(const Operands& o, bool want_weights, bool want_e);

Var plus(const Var& x, const Var& y) { return !x.defined() ? y : y.defined() ? add(x, y) : x; }

// The gradient of ⟨uw, dw⟩ + ⟨ub, db⟩ + ⟨ue, de⟩ in the wanted ones of w, b, e, da and ds.
std::vector<Var> coefficients_vjp2(const Operands& o, const Var& uw, const Var& ub, const Var& ue,
                                   const std::vector<bool>& wanted) {
  Shape nc = (o.da.defined() ? o.da : o.ds).shape();
  std::vector<Var> out(5);
  if (ue.defined()) {
    if (wanted[0] || wanted[1]) {
      std::vector<Var> d = coefficients_vjp({o.w, o.b, ue, o.da, o.ds, 0}, true, false);
      out[0] = d[0], out[1] = d[1];
    }
    if (wanted[3] || wanted[4]) {
      std::vector<Var> as = coefficients(o.w, o.b, ue, nc[0], 0);
      out[3] = as[0], out[4] = as[1];
    }
  }
  Var to_scale, factor;
  if (o.e.defined() && (uw.defined() || ub.defined())) factor = slice(o.e, 1, {0, nc[1]}) + o.one;
  auto through = [&](const Var& u, const Var& g, Var& to_g) {  // ⟨u, Σₙ g·(one + scale)⟩
    if (!u.defined() || !g.defined()) return;
    to_scale = plus(to_scale, mul(u, g));
    to_g = plus(to_g, factor.defined() ? mul(u, factor) : broadcast_to(o.one * u, nc));
  };
  through(uw, o.da, out[3]), through(ub, o.ds, out[4]);
  if (to_scale.defined() && wanted[2]) out[2] = concat({to_scale, Tensor::zeros(nc, o.w.options())}, 1);
  return out;
}

std::vector<Var> coefficients_vjp(const Operands& o, bool want_weights, bool want_e) {
  auto d = kernel::norm_coefficients_vjp(o.w.value(), o.b.value(), o.e.value(), o.da.value(), o.ds.value(), o.one,
                                         want_weights, want_e);
  return record_jointly("norm_coefficients_vjp", {d.dw, d.db, d.de}, std::array{o.w, o.b, o.e, o.da, o.ds},
                        [o](std::span<const Var> u, const std::vector<bool>& wanted, auto) {
                          return coefficients_vjp2(o, u[0], u[1], u[2], wanted);
                        });
}

std::vector<Var> coefficients(const Var& w, const Var& b, const Var& e, int64_t n, double one) {
  auto r = kernel::norm_coefficients(w.value(), b.value(), e.value(), n, one);
  return record_jointly("norm_coefficients", {r.a, r.s}, std::array{w, b, e},
                        [=](std::span<const Var> g, const std::vector<bool>& wanted, auto) {
                          return coefficients_vjp({w, b, e, g[0], g[1], one}, wanted[0] || wanted[1], wanted[2]);
                        });
}

}  // namespace

std::vector<Var> norm_coefficients(const Var& w, const Var& b, const Var& e, int64_t n) {
  return coefficients(w, b, e, n, 1);
}

}  // namespace vapo
