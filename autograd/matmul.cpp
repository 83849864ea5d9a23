// Matrix products. With flags for transposed operands the derivatives are matrix products again, without copies.

#include <algorithm>

#include "autograd/ops.h"

namespace vapo {

namespace {

// (…, n) → (rows, n)
Shape rows_of(const Shape& s) { return {s.numel() / std::max<int64_t>(1, s[s.rank() - 1]), s[s.rank() - 1]}; }
bool same_batch(const Shape& a, const Shape& b) {
  return a.rank() == b.rank() && std::equal(a.begin(), a.end() - 2, b.begin());
}
// What has come so far, as a matrix of this shape and by no other handle: the product may take its place.
Tensor taken(Addend& sum, const Shape& matrix) {
  Tensor t = sum.take().value();
  return t.defined() && t.shape() != matrix ? t.reshape(matrix) : t;
}

}  // namespace

Var matmul(const Var& a, const Var& b, kernel::MatmulOptions o) {
  // A product with the cotangent g, for an operand of shape s, and onto what has come to that so far where nothing is
  // recorded and the operand was not broadcast.
  auto product = [](const Var& l, const Var& r, kernel::MatmulOptions p, const Var& g, const Shape& s,
                    Addend& sum) {
    if (NoGradGuard::grad_enabled() || !same_batch(g.shape(), s)) return sum_to(matmul(l, r, p), s);
    return Var(kernel::matmul(l.value(), r.value(), p, taken(sum, s)));
  };
  bool ta = o.transpose_a, tb = o.transpose_b;
  return record("matmul", kernel::matmul(a.value(), b.value(), o),
                {// y = op(a) op(b): d op(a) = g op(b)ᵀ
                 {a,
                  [=, s = a.shape()](const Var& g, Addend& sum) {
                    return ta ? product(b, g, {tb, true}, g, s, sum) : product(g, b, {false, !tb}, g, s, sum);
                  }},
                 {b, [=, s = b.shape()](const Var& g, Addend& sum) {
                    return tb ? product(g, a, {true, ta}, g, s, sum) : product(a, g, {!ta, false}, g, s, sum);
                  }}});
}

Var linear(const Var& x, const Var& w, const Var& b, const Var& add) {
  auto rows = [](const Var& v) { return reshape(v, rows_of(v.shape())); };
  auto dx = [w, rows, s = x.shape()](const Var& g, Addend& sum) {
    if (NoGradGuard::grad_enabled()) return reshape(matmul(rows(g), w), s);
    Tensor m = rows(g).value();
    return Var(kernel::matmul(m, w.value(), {}, taken(sum, {m.dim(0), w.dim(1)})).reshape(s));
  };
  auto dw = [x, rows, s = w.shape()](const Var& g, Addend& sum) {
    if (NoGradGuard::grad_enabled()) return matmul(rows(g), rows(x), {.transpose_a = true});
    return Var(kernel::matmul(rows(g).value(), rows(x).value(), {.transpose_a = true}, taken(sum, s)));
  };
  auto db = [](const Var& g) { return sum_to(g, {g.dim(-1)}); };
  return record("linear", kernel::linear(x.value(), w.value(), b.value(), add.value()),
                {{x, dx}, {w, dw}, {b, db}, {add, [](const Var& g) { return g; }}});
}

}  // namespace vapo
