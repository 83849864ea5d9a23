// Matrix products. With flags for transposed operands the derivatives are matrix products again, without copies.

#include <algorithm>

#include "autograd/ops.h"

namespace vapo {

Var matmul(const Var& a, const Var& b, kernel::MatmulOptions o) {
  bool ta = o.transpose_a, tb = o.transpose_b;
  return record("matmul", kernel::matmul(a.value(), b.value(), o),
                {// y = op(a) op(b): d op(a) = g op(b)ᵀ
                 {a,
                  [ta, tb, b, s = a.shape()](const Var& g) {
                    Var d = ta ? matmul(b, g, {tb, true}) : matmul(g, b, {false, !tb});
                    return sum_to(d, s);
                  }},
                 {b, [ta, tb, a, s = b.shape()](const Var& g) {
                    Var d = tb ? matmul(g, a, {true, ta}) : matmul(a, g, {!ta, false});
                    return sum_to(d, s);
                  }}});
}

namespace {
// (…, n) → (rows, n)
Var rows_of(const Var& x) {
  return x.rank() == 2 ? x : reshape(x, {x.numel() / std::max<int64_t>(1, x.dim(-1)), x.dim(-1)});
}
}  // namespace

Var linear(const Var& x, const Var& w, const Var& b) {
  Tensor y = kernel::linear(x.value(), w.value(), b.value());
  auto dx = [w](const Var& g) {
    return g.rank() == 2 ? matmul(g, w) : reshape(matmul(rows_of(g), w), [&] {
      Shape s = g.shape();
      s[g.rank() - 1] = w.dim(1);
      return s;
    }());
  };
  auto dw = [x](const Var& g) { return matmul(rows_of(g), rows_of(x), {.transpose_a = true}); };
  if (!b.defined()) return record("linear", std::move(y), {{x, dx}, {w, dw}});
  return record("linear", std::move(y),
                {{x, dx}, {w, dw}, {b, [](const Var& g) { return sum_to(g, {g.dim(-1)}); }}});
}

}  // namespace vapo
