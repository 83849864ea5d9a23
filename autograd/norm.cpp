// Group normalisation with scale, shift, SiLU and dropout as one operation. Its vjp is an operation again, whose
// own vjp is a kernel in closed form (tensor/norm_formulas.h has them). Where that one is recorded too, for a
// third derivative, it is made of elementwise operations.

#include <array>
#include <memory>

#include "autograd/grad.h"
#include "autograd/ops.h"

namespace vapo {
namespace {

using kernel::GroupNormOptions;
using kernel::Normalized;

// The same value as a new node: derivatives in it stop here.
Var alias(const Var& x) {
  if (!x.requires_grad()) return Var::leaf(x.value());
  return record("alias", x.value(), {{x, [](const Var& g) { return g; }}});
}
Var gradient(const Var& y, const Var& x, const Var& cotangent) {
  return std::move(
      grad(std::span(&y, 1), std::span(&x, 1), {.create_graph = true, .allow_unused = true}, {&cotangent, 1})[0]);
}

struct Operands {
  Var x, a, s;
  GroupNormOptions p;
  Normalized stats;  // y is not kept
  Tensor shift;      // the value of s
  // Only silu's slope depends on s: written since, it is an error there alone.
  const Tensor& s_value() const { return p.silu ? s.value() : shift; }
  // Of a mask that was not written since.
  const GroupNormOptions& options() const { return Var(p.mask).value(), p; }
};
using OperandsPtr = std::shared_ptr<const Operands>;

// d/d(operand i) of ⟨u, vjp for operand j⟩ out of elementwise operations; operand 3 is the cotangent g.
Var composite_second(const Operands& o, const Var& g, size_t j, const Var& u, size_t i) {
  std::array<Var, 4> v{alias(o.x), alias(o.a), alias(o.s), alias(g)};
  Var y = group_norm_composite(v[0], v[1], v[2], o.options());
  return gradient(gradient(y, v[j], v[3]), v[i], u);
}

// The vjp for the wanted ones of x, a and s, as an operation on x, a, s, g and what has come to x so far.
std::vector<Var> group_norm_vjp(const OperandsPtr& o, const Var& g, const std::vector<bool>& wanted,
                                std::span<Addend> came) {
  Var so_far = wanted[0] ? came[0].take() : Var();
  kernel::NormGrads to{so_far.value(), {}, {}};
  if (!NoGradGuard::grad_enabled()) {  // else these have derivatives of their own
    if (wanted[1]) to.da = came[1].take().value();
    if (wanted[2]) to.ds = came[2].take().value();
  }
  kernel::NormGrads d = kernel::group_norm_vjp(o->x.value(), o->a.value(), o->s_value(), g.value(), o->stats,
                                               o->options(), wanted[0], to);
  return record_jointly("group_norm_vjp", {d.dx, d.da, d.ds}, std::array{o->x, o->a, o->s, g, so_far},
                        [o, g](std::span<const Var> u, const std::vector<bool>& wanted_of_vjp,
                               std::span<Addend> sums) -> std::vector<Var> {
                          if (!NoGradGuard::grad_enabled()) {
                            kernel::NormGrads2 have{sums[0].take().value(), sums[1].take().value(),
                                                    sums[2].take().value(), sums[3].take().value()};
                            auto r = kernel::group_norm_vjp2(o->x.value(), o->a.value(), o->s_value(), g.value(),
                                                             u[0].value(), u[1].value(), u[2].value(), o->stats,
                                                             o->options(), have);
                            return {r.dx, r.da, r.ds, r.dg, u[0]};
                          }
                          std::vector<Var> out(5);
                          out[4] = u[0];
                          for (size_t i = 0; i < 4; ++i)
                            for (size_t j = 0; j < 3; ++j) {
                              if (!wanted_of_vjp[i] || !u[j].defined()) continue;
                              Var part = composite_second(*o, g, j, u[j], i);
                              out[i] = out[i].defined() ? add(out[i], part) : part;
                            }
                          return out;
                        });
}

}  // namespace

Var group_norm_fused(const Var& x, const Var& a, const Var& s, const GroupNormOptions& p) {
  Normalized r = kernel::group_norm(x.value(), a.value(), s.value(), p);
  Tensor y = std::exchange(r.y, Tensor());
  if (!NoGradGuard::grad_enabled() || !(x.requires_grad() || a.requires_grad() || s.requires_grad())) return y;
  auto o = std::make_shared<const Operands>(Operands{x, a, s, p, std::move(r), s.value()});
  return record_jointly("group_norm", {std::move(y)}, std::array{x, a, s},
                        [o](std::span<const Var> g, const std::vector<bool>& wanted, std::span<Addend> sums) {
                          return group_norm_vjp(o, g[0], wanted, sums);
                        })[0];
}

// First with numbers alone, the statistics that the kernel found: the result does not depend on by what a group was
// shifted and divided before, and f32 holds all that comes after, of large values and of a small spread far from 0.
Var group_norm_composite(const Var& x, const Var& a, const Var& s, const GroupNormOptions& p) {
  int64_t n = x.dim(0), c = x.dim(-1), pixels = 1;
  for (int i = 1; i + 1 < x.rank(); ++i) pixels *= x.dim(i);
  Var wide = to(x, a.dtype()), none = Tensor::zeros(a.shape(), a.options());
  Normalized stats =
      kernel::group_norm(wide.value(), none.value(), none.value(), {.groups = p.groups, .eps = p.eps});
  auto number = [&](const Tensor& t) { return Var(t.reshape({n, 1, p.groups, 1})); };
  Var rows = reshape(wide, {n, pixels, p.groups, c / p.groups}), scale = number(stats.rstd);
  rows = mul(sub(sub(rows, number(stats.mean)), number(stats.rest)), scale);
  double one = 1 / static_cast<double>(pixels * c / p.groups);
  Var centred = sub(rows, one * sum(rows, {1, 3}, true));
  Var rstd = rsqrt(add(one * sum(square(centred), {1, 3}, true), p.eps * square(scale)));
  Var z = add(mul(reshape(mul(centred, rstd), {n, pixels, c}), reshape(a, {n, 1, c})), reshape(s, {n, 1, c}));
  if (p.silu) z = mul(z, sigmoid(z));
  z = reshape(z, x.shape());
  if (p.mask.defined()) z = mul(z, Var(p.mask_scale * p.mask.to(a.dtype())));
  return to(z, x.dtype());
}

Var group_norm(const Var& x, const Var& w, const Var& b, int64_t groups, double eps) {
  std::vector<Var> as = norm_coefficients(w, b, {}, x.dim(0));
  return group_norm_fused(x, as[0], as[1], {.groups = groups, .eps = eps});
}

Var group_norm_silu(const Var& x, const Var& w, const Var& b, int64_t groups, double eps, const Var& e,
                    const Dropout& d) {
  std::vector<Var> as = norm_coefficients(w, b, e.defined() ? to(e, w.dtype()) : e, x.dim(0));
  GroupNormOptions p{.groups = groups, .eps = eps, .silu = true};
  if (d.p > 0) p.mask = kernel::dropout_mask(x.shape(), d.p, d.key, x.device()), p.mask_scale = 1 / (1 - d.p);
  return group_norm_fused(x, as[0], as[1], p);
}

Var dropout(const Var& x, const Dropout& d) {
  if (d.p == 0) return x;
  Tensor mask = kernel::dropout_mask(x.shape(), d.p, d.key, x.device());
  return mul(x, Var(mask.to(x.dtype()) / (1 - d.p)));
}

}  // namespace vapo
