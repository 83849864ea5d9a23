// Reductions.

#include "autograd/ops.h"

#include <algorithm>
#include <array>

namespace vapo {
namespace {

using kernel::Binary;

// A reduced value with 1 in place of the reduced dimensions, so that it broadcasts against the operand.
Var kept(const Var& g, const Shape& x, const Dims& dims) {
  return reshape(g, reduced_shape(x, dims, true, "reduce"));
}

int64_t count(const char* op, const Shape& x, const Dims& dims) {
  if (dims.empty()) return x.numel();
  int64_t n = 1;
  for (int64_t d : dims) n *= x[x.wrap(d, op)];
  return n;
}

// a/b, and 0 where b = 0 — there its slopes are 0 too.
Var div_or_zero(const Var& a, const Var& b) {
  return record(
      "div_or_zero", kernel::binary(Binary::div_or_zero, a.value(), b.value()),
      {{a, [s = a.shape(), b](const Var& g) { return sum_to(div_or_zero(g, b), s); }},
       {b, [b](const Var& g, const Var& y) { return neg(sum_to(div_or_zero(mul(g, y), b), b.shape())); }}});
}

}  // namespace

Var sum(const Var& x, const Dims& dims, bool keepdim) {
  Tensor y = kernel::sum(x.value(), dims, keepdim);
  Shape with_ones = reduced_shape(x.shape(), dims, true, "sum");
  return record("sum", std::move(y),
                {{x, [with_ones, s = x.shape()](const Var& g) { return broadcast_to(reshape(g, with_ones), s); }}});
}

Var mean(const Var& x, const Dims& dims, bool keepdim) {
  int64_t n = count("mean", x.shape(), dims);
  VAPO_CHECK(n > 0, "[mean] of no elements: shape {}", x.shape().str());
  return affine(sum(x, dims, keepdim), 1 / static_cast<double>(n), 0);
}

Var amax(const Var& x, const Dims& dims, bool keepdim) {
  Tensor top = kernel::amax(x.value(), dims, true);
  return record("amax", top.reshape(reduced_shape(x.shape(), dims, keepdim, "amax")),
                {{x, [dims, top = Var(top), x = x.detach()](const Var& g) {
                    Tensor equal = kernel::binary(Binary::eq, x.value(), top.value());
                    Tensor share = kernel::binary(Binary::div, equal, kernel::sum(equal, dims, true));
                    return masked(kept(g, x.shape(), dims), share);
                  }}});
}

Var logsumexp(const Var& x, const Dims& dims, bool keepdim) {
  double largest = largest_of(x.dtype());  // ∞ − ∞ would be NaN
  Var top = clamp(kernel::amax(x.value(), dims, true), -largest, largest);
  Var y = add(log(sum(exp(sub(x, top)), dims, true)), top);
  return reshape(y, reduced_shape(x.shape(), dims, keepdim, "logsumexp"));
}

namespace {
// scale·y·(g − ⟨y,g⟩), with y and g of the same shape, ⟨·,·⟩ over the last dimension. Its own vjp is a kernel or, where
// that is recorded too, for a third derivative, made of elementwise operations.
Var softmax_vjp(const Var& y, const Var& g, double scale) {
  return record_jointly("softmax_vjp", {kernel::softmax_vjp(y.value(), g.value(), scale)}, std::array{y, g},
                        [=](std::span<const Var> cotangent, const std::vector<bool>& wanted,
                            std::span<Addend> sums) -> std::vector<Var> {
                          const Var& u = cotangent[0];
                          if (!NoGradGuard::grad_enabled()) {
                            Tensor to_y = sums[0].take().value(), to_g = sums[1].take().value();
                            auto r = kernel::softmax_vjp2(y.value(), g.value(), u.value(), scale, to_y, to_g);
                            return {r.dy, r.dg};
                          }
                          auto inner = [](const Var& a, const Var& b) { return sum(mul(a, b), {-1}, true); };
                          std::vector<Var> out(2);
                          if (wanted[0]) out[0] = scale * sub(mul(u, sub(g, inner(y, g))), mul(g, inner(u, y)));
                          if (wanted[1]) out[1] = softmax_vjp(y, u, scale);
                          return out;
                        })[0];
}
}  // namespace

Var softmax(const Var& x, const Dims& dims, double scale) {
  if (dims.rank() == 1 && x.shape().wrap(dims[0], "softmax") == x.rank() - 1)
    return record("softmax", kernel::softmax(x.value(), scale),
                  {{x, [scale](const Var& g, const Var& y) { return softmax_vjp(y, g, scale); }}});
  Var scaled = scale * x;
  Var y = exp(sub(scaled, Var(kernel::amax(scaled.value(), dims, true))));
  return div(y, sum(y, dims, true));
}

Var norm(const Var& x, const Dims& dims, bool keepdim) {
  Tensor y = kernel::norm(x.value(), dims, keepdim);
  return record("norm", std::move(y), {{x, [dims, x](const Var& g, const Var& out) {
                                          return mul(x, kept(div_or_zero(g, out), x.shape(), dims));
                                        }}});
}

Var cumsum(const Var& x, int64_t dim, bool reverse) {
  return record("cumsum", kernel::cumsum(x.value(), dim, reverse),
                {{x, [dim, reverse](const Var& g) { return cumsum(g, dim, !reverse); }}});
}

namespace {
// x − mean(x). Taken off the maximum first, equal elements give 0, and a common offset costs no digits.
Var centred(const Var& x, const Dims& dims) {
  Var y = x.numel() > 0 ? sub(x, Var(kernel::amax(x.value(), dims, true))) : x;
  return sub(y, affine(sum(y, dims, true), 1 / static_cast<double>(count("var", x.shape(), dims)), 0));
}
}  // namespace

Var var(const Var& x, const Dims& dims, double correction, bool keepdim) {
  double one = 1 / std::max(0.0, static_cast<double>(count("var", x.shape(), dims)) - correction);
  Tensor squares = kernel::unary<Square>(centred(x.detach(), dims).value());
  return record("var", kernel::affine(kernel::sum(squares, dims, keepdim), one, 0),
                {{x, [x, dims, one](const Var& g) {
                    return mul(affine(kept(g, x.shape(), dims), 2 * one, 0), centred(x, dims));
                  }}});
}

}  // namespace vapo
