// Group normalisation whose results are so large that they are written past the caches.

#include "tensor/kernels.h"

#include <doctest/doctest.h>

#include <cstring>

#include "tensor/random.h"

using namespace vapo;

namespace {

bool same_bits(const Tensor& whole, int64_t n, const Tensor& one) {
  Tensor part = kernel::slice(whole, 0, n, n + 1, 1);
  if (part.shape() != one.shape()) return false;
  bool same = false;
  dispatch_floating(one.dtype(), [&](auto zero) {
    using T = decltype(zero);
    auto bytes = sizeof(T) * static_cast<size_t>(one.numel());
    same = std::memcmp(part.data<T>(), one.data<T>(), bytes) == 0;
  });
  return same;
}

}  // namespace

TEST_CASE("group norm of a large batch equals that of its samples, one by one and bit for bit") {
  struct Case {
    DType type;
    int64_t n, channels;
    bool silu, dropout;
  };
  for (const Case& c : {Case{DType::f32, 45, 96, false, false}, Case{DType::f32, 33, 144, true, true},
                        Case{DType::f64, 33, 72, true, false}, Case{DType::f32, 45, 100, true, false}}) {
    CAPTURE(c.channels);
    CAPTURE(c.silu);
    Shape image{c.n, 32, 32, c.channels}, row{c.n, c.channels};
    auto draw = [&](const Shape& s, uint64_t seed) { return randn(s, {.seed = seed}, c.type); };
    Tensor x = draw(image, 0), g = draw(image, 1), u = draw(image, 2), a = draw(row, 3), s = draw(row, 4);
    kernel::GroupNorm p{.groups = c.channels / 4, .silu = c.silu};
    if (c.dropout) p.mask = kernel::dropout_mask(image, 0.3, {.seed = 5}), p.mask_scale = 1 / 0.7;
    auto y = kernel::group_norm(x, a, s, p);
    auto first = kernel::group_norm_vjp(x, a, s, g, y, p);
    auto second = kernel::group_norm_vjp2(x, a, s, g, u, {}, {}, y, p);
    for (int64_t n : {int64_t(0), c.n / 2, c.n - 1}) {
      auto at = [&](const Tensor& t) { return kernel::slice(t, 0, n, n + 1, 1); };
      kernel::GroupNorm q = p;
      if (c.dropout) q.mask = at(p.mask);
      auto y1 = kernel::group_norm(at(x), at(a), at(s), q);
      auto first1 = kernel::group_norm_vjp(at(x), at(a), at(s), at(g), y1, q);
      auto second1 = kernel::group_norm_vjp2(at(x), at(a), at(s), at(g), at(u), {}, {}, y1, q);
      CHECK(same_bits(y.y, n, y1.y));
      CHECK(same_bits(first.dx, n, first1.dx));
      CHECK(same_bits(first.da, n, first1.da));
      CHECK(same_bits(second.dx, n, second1.dx));
      CHECK(same_bits(second.dg, n, second1.dg));
      CHECK(same_bits(second.da, n, second1.da));
    }
  }
}
