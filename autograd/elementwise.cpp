// Elementwise operations. Towers: f, f', f'' … are scalar functions of their own, so that an activation's vjp and
// its double backward are one kernel each; the rest follows from closed rules.

#include "autograd/ops.h"

#include <array>
#include <cmath>

namespace vapo {
namespace {

using kernel::Binary;

Var constant_like(const Var& x, double value) { return Tensor::full(x.shape(), value, x.options()); }

// A function and its derivatives: the number of the first in `Functions`, where the others follow it.
struct Tower {
  static constexpr int levels = 4;
  const char* name;
  const char* vjp_name;
  int function;
  int at(int level) const {
    VAPO_CHECK(level < levels, "[{}] its derivative of order {} is not implemented", name, level);
    return function + level;
  }
};
template <class F>
constexpr Tower tower_of(const char* name, const char* vjp_name) {
  static_assert(Towers::index_of<F>() >= 0);
  return {name, vjp_name, Functions::index_of<F>()};
}

// a·b·f⁽ⁿ⁾(x): what the vjp of a·f⁽ⁿ⁻¹⁾(x) in x gives for the cotangent b.
Var scaled2(const Tower* t, int n, const Var& x, const Var& a, const Var& b) {
  return record(t->vjp_name, kernel::scaled2(t->at(n), x.value(), a.value(), b.value(), 0),
                {{x, [=](const Var& u) { return scaled2(t, n + 1, x, mul(a, b), u); }},
                 {a, [=](const Var& u) { return scaled2(t, n, x, b, u); }},
                 {b, [=](const Var& u) { return scaled2(t, n, x, a, u); }}});
}
// a·f'(x): the vjp of f for the cotangent a, plus `so_far` where that is defined. f'(x) was computed with f(x): it serves
// the inner gradient and both passes of the outer one.
Var scaled(const Tower* t, const Var& x, const Var& a, const Tensor& slope, const Var& so_far) {
  Tensor y = so_far.defined() ? kernel::addcmul(so_far.value(), a.value(), slope)
                              : kernel::binary(Binary::mul, a.value(), slope);
  return record_jointly(
      t->vjp_name, {std::move(y)}, std::array{x, a, so_far},
      [=](std::span<const Var> cotangent, const std::vector<bool>& wanted, std::span<Addend> sums) {
        const Var& u = cotangent[0];
        if (wanted[0] && wanted[1] && !NoGradGuard::grad_enabled()) {
          auto [dx, da] = kernel::scaled_vjp(t->at(2), x.value(), a.value(), slope, u.value());
          return std::vector<Var>{dx, da, u};
        }
        return std::vector{wanted[0] ? scaled2(t, 2, x, a, u) : Var(),
                           wanted[1] ? scaled(t, x, u, slope, sums[1].take()) : Var(), u};
      })[0];
}
Var tower(const Tower* t, const Var& x) {
  if (!x.requires_grad() || !NoGradGuard::grad_enabled()) return kernel::unary(t->function, x.value(), 0);
  auto [y, slope] = kernel::unary_with_slope(t->function, x.value());
  return record(
      t->name, y,
      {{x, [t, x, slope = slope](const Var& g, Addend& sum) { return scaled(t, x, g, slope, sum.take()); }}});
}

// The rule of a function whose slope, F, has itself slope 0 almost everywhere.
template <class F>
Rule piecewise(const Var& x, double p = 0) {
  return {x, [x = x.detach(), p](const Var& g) { return masked(g, kernel::unary<F>(x.value(), p)); }};
}

}  // namespace

// ---- two operands

Var add(const Var& a, const Var& b) {
  return record("add", kernel::binary(Binary::add, a.value(), b.value()),
                {{a, [s = a.shape()](const Var& g) { return sum_to(g, s); }},
                 {b, [s = b.shape()](const Var& g) { return sum_to(g, s); }}});
}
Var sub(const Var& a, const Var& b) {
  return record("sub", kernel::binary(Binary::sub, a.value(), b.value()),
                {{a, [s = a.shape()](const Var& g) { return sum_to(g, s); }},
                 {b, [s = b.shape()](const Var& g) { return neg(sum_to(g, s)); }}});
}
Var mul(const Var& a, const Var& b) {
  // of an operand of shape s, with what has come to it so far
  auto vjp = [](const Var& g, const Var& other, const Shape& s, Addend& sum) {
    Var so_far = g.shape() == s && other.shape() == s ? sum.take() : Var();
    return so_far.defined() ? addcmul(so_far, g, other) : sum_to(mul(g, other), s);
  };
  return record("mul", kernel::binary(Binary::mul, a.value(), b.value()),
                {{a, [=, s = a.shape()](const Var& g, Addend& sum) { return vjp(g, b, s, sum); }},
                 {b, [=, s = b.shape()](const Var& g, Addend& sum) { return vjp(g, a, s, sum); }}});
}
Var addcmul(const Var& c, const Var& a, const Var& b) {
  return record("addcmul", kernel::addcmul(c.value(), a.value(), b.value()),
                {{c, [](const Var& g) { return g; }},
                 {a, [b](const Var& g) { return mul(g, b); }},
                 {b, [a](const Var& g) { return mul(g, a); }}});
}
Var div(const Var& a, const Var& b) {
  return record("div", kernel::binary(Binary::div, a.value(), b.value()),
                {{a, [s = a.shape(), b](const Var& g) { return sum_to(div(g, b), s); }},
                 {b, [b](const Var& g, const Var& y) { return neg(sum_to(div(mul(g, y), b), b.shape())); }}});
}
Var masked(const Var& x, const Tensor& mask) {
  return record("masked", kernel::binary(Binary::mul_or_zero, x.value(), mask),
                {{x, [s = x.shape(), mask](const Var& g) { return sum_to(masked(g, mask), s); }}});
}
namespace {
// g where the first operand wins, half of it at a tie.
Var shared(const Var& g, const Var& winner, const Var& loser, const Shape& s) {
  return sum_to(masked(g, kernel::binary(Binary::share, winner.value(), loser.value())), s);
}
}  // namespace
Var maximum(const Var& a, const Var& b) {
  Var ca = a.detach(), cb = b.detach();
  return record("maximum", kernel::binary(Binary::maximum, a.value(), b.value()),
                {{a, [ca, cb](const Var& g) { return shared(g, ca, cb, ca.shape()); }},
                 {b, [ca, cb](const Var& g) { return shared(g, cb, ca, cb.shape()); }}});
}
Var minimum(const Var& a, const Var& b) {
  Var ca = a.detach(), cb = b.detach();
  return record("minimum", kernel::binary(Binary::minimum, a.value(), b.value()),
                {{a, [ca, cb](const Var& g) { return shared(g, cb, ca, ca.shape()); }},
                 {b, [ca, cb](const Var& g) { return shared(g, ca, cb, cb.shape()); }}});
}

Var eq(const Var& a, const Var& b) { return kernel::binary(Binary::eq, a.value(), b.value()); }
Var ne(const Var& a, const Var& b) { return kernel::binary(Binary::ne, a.value(), b.value()); }
Var lt(const Var& a, const Var& b) { return kernel::binary(Binary::lt, a.value(), b.value()); }
Var le(const Var& a, const Var& b) { return kernel::binary(Binary::le, a.value(), b.value()); }
Var gt(const Var& a, const Var& b) { return kernel::binary(Binary::gt, a.value(), b.value()); }
Var ge(const Var& a, const Var& b) { return kernel::binary(Binary::ge, a.value(), b.value()); }
Var where(const Var& condition, const Var& a, const Var& b) {
  Var c = condition.detach(), zero = Tensor::zeros({}, a.options());
  return record("where", kernel::where(c.value(), a.value(), b.value()),
                {{a, [s = a.shape(), c, zero](const Var& g) { return sum_to(where(c, g, zero), s); }},
                 {b, [s = b.shape(), c, zero](const Var& g) { return sum_to(where(c, zero, g), s); }}});
}

Var to(const Var& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return record("to", x.value().to(dtype), {{x, [from = x.dtype()](const Var& g) { return to(g, from); }}});
}

Var affine(const Var& x, double a, double b) {
  if (a == 1 && b == 0) return x;
  return record("affine", kernel::affine(x.value(), a, b), {{x, [a](const Var& g) { return affine(g, a, 0); }}});
}

// ---- one operand: closed rules

Var neg(const Var& x) {
  return record("neg", kernel::affine(x.value(), -1, 0), {{x, [](const Var& g) { return neg(g); }}});
}
Var expm1(const Var& x) {
  return record("expm1", kernel::unary<Expm1>(x.value()),
                {{x, [](const Var& g, const Var& y) { return mul(g, y + 1); }}});
}
Var log1p(const Var& x) {
  return record("log1p", kernel::unary<Log1p>(x.value()), {{x, [x](const Var& g) { return div(g, x + 1); }}});
}
Var log(const Var& x) {
  return record("log", kernel::unary<Log>(x.value()), {{x, [x](const Var& g) { return div(g, x); }}});
}
Var sqrt(const Var& x) {
  return record("sqrt", kernel::unary<Sqrt>(x.value()),
                {{x, [](const Var& g, const Var& y) { return div(0.5 * g, y); }}});
}
Var rsqrt(const Var& x) {
  return record("rsqrt", kernel::unary<Rsqrt>(x.value()),
                {{x, [x](const Var& g, const Var& y) { return -0.5 * div(mul(g, y), x); }}});
}
Var square(const Var& x) {
  return record("square", kernel::unary<Square>(x.value()), {{x, [x](const Var& g) { return 2 * mul(g, x); }}});
}
Var sin(const Var& x) {
  return record("sin", kernel::unary<Sin>(x.value()), {{x, [x](const Var& g) { return mul(g, cos(x)); }}});
}
Var cos(const Var& x) {
  return record("cos", kernel::unary<Cos>(x.value()), {{x, [x](const Var& g) { return neg(mul(g, sin(x))); }}});
}
Var pow(const Var& x, double p) {
  return record("pow", kernel::unary<Pow>(x.value(), p),
                {{x, [x, p](const Var& g) { return p == 0 ? constant_like(x, 0) : mul(g, p * pow(x, p - 1)); }}});
}
Var abs(const Var& x) { return record("abs", kernel::unary<Abs>(x.value()), {piecewise<Sign>(x)}); }
Var relu(const Var& x) { return record("relu", kernel::unary<Relu>(x.value()), {piecewise<Step>(x)}); }
Var leaky_relu(const Var& x, double slope) {
  return record("leaky_relu", kernel::unary<LeakyRelu>(x.value(), slope), {piecewise<LeakyStep>(x, slope)});
}
Var clamp(const Var& x, std::optional<double> min, std::optional<double> max) {
  VAPO_CHECK(!(min && std::isnan(*min)) && !(max && std::isnan(*max)), "[clamp] a bound is NaN");
  auto scalar = [o = x.options()](double bound) { return Tensor::scalar(bound, o); };
  Tensor y = x.value();
  if (min) y = kernel::binary(Binary::maximum, y, scalar(*min));
  if (max) y = kernel::binary(Binary::minimum, y, scalar(*max));
  return record("clamp", y, {{x, [x = x.detach(), min, max, scalar](const Var& g) {
                                Var inside = g;
                                if (min)
                                  inside = masked(inside, kernel::binary(Binary::gt, x.value(), scalar(*min)));
                                if (max)
                                  inside = masked(inside, kernel::binary(Binary::lt, x.value(), scalar(*max)));
                                return inside;
                              }}});
}

// ---- one operand: towers

Var exp(const Var& x) {  // its own derivative, so of any order
  return record("exp", kernel::unary<Exp>(x.value()), {{x, [](const Var& g, const Var& y) { return mul(g, y); }}});
}
Var tanh(const Var& x) {
  static constexpr Tower t = tower_of<Tanh>("tanh", "tanh_vjp");
  return tower(&t, x);
}
Var sigmoid(const Var& x) {
  static constexpr Tower t = tower_of<Sigmoid>("sigmoid", "sigmoid_vjp");
  return tower(&t, x);
}
Var silu(const Var& x) {
  static constexpr Tower t = tower_of<Silu>("silu", "silu_vjp");
  return tower(&t, x);
}
Var gelu(const Var& x) {
  static constexpr Tower t = tower_of<Gelu>("gelu", "gelu_vjp");
  return tower(&t, x);
}
Var softplus(const Var& x) {
  static constexpr Tower t = tower_of<Softplus>("softplus", "softplus_vjp");
  return tower(&t, x);
}

}  // namespace vapo
