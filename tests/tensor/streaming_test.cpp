// Results so large that they are written past the caches.

#include "tensor/kernels.h"

#include <doctest/doctest.h>

#include <cstring>
#include <functional>

#include "tensor/functions.h"
#include "tensor/random.h"

using namespace vapo;

namespace {

bool same_bits(const Tensor& whole, int64_t n, const Tensor& one) {
  Tensor part = kernel::slice(whole, 0, n, n + 1, 1);
  if (part.shape() != one.shape()) return false;
  bool same = false;
  dispatch_floating(one.dtype(), [&]<class T>() {
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
  for (const Case& c : {Case{DType::f32, 57, 96, false, false}, Case{DType::f32, 38, 144, true, true},
                        Case{DType::f64, 38, 72, true, false}, Case{DType::f32, 57, 100, true, false}}) {
    CAPTURE(c.channels);
    CAPTURE(c.silu);
    Shape image{c.n, 32, 32, c.channels}, row{c.n, c.channels};
    auto draw = [&](const Shape& s, uint64_t seed) { return randn(s, {.seed = seed}, c.type); };
    Tensor x = draw(image, 0), g = draw(image, 1), u = draw(image, 2), a = draw(row, 3), s = draw(row, 4);
    kernel::GroupNormOptions p{.groups = c.channels / 4, .silu = c.silu};
    if (c.dropout) p.mask = kernel::dropout_mask(image, 0.3, {.seed = 5}), p.mask_scale = 1 / 0.7;
    auto y = kernel::group_norm(x, a, s, p);
    auto first = kernel::group_norm_vjp(x, a, s, g, y, p);
    auto second = kernel::group_norm_vjp2(x, a, s, g, u, {}, {}, y, p);
    for (int64_t n : {int64_t(0), c.n / 2, c.n - 1}) {
      auto at = [&](const Tensor& t) { return kernel::slice(t, 0, n, n + 1, 1); };
      kernel::GroupNormOptions q = p;
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

TEST_CASE("elementwise operations on large tensors equal those on their parts, bit for bit") {
  constexpr int silu = Functions::index_of<Silu>();
  for (DType type : {DType::f32, DType::f64})
    for (int64_t channels : {96, 100, 98}) {  // rows of whole vectors, of halves and quarters of one
      CAPTURE(channels);
      int64_t n = type == DType::f32 ? 86 : 43;
      Shape image{n, 32, 32, channels};
      auto draw = [&](const Shape& s, uint64_t seed) { return randn(s, {.seed = seed}, type); };
      Tensor x = draw(image, 0), u = draw(image, 1), v = draw(image, 2), row = draw({channels}, 3);
      Tensor pixels = draw({32, 32, 1}, 4), each = draw({n, 1, 1, channels}, 5);
      auto same = [&](const char* name, const std::function<Tensor(std::function<Tensor(const Tensor&)>)>& f) {
        CAPTURE(name);
        Tensor whole = f([](const Tensor& t) { return t; });
        for (int64_t i : {int64_t(0), n / 2, n - 1})
          CHECK(same_bits(whole, i, f([i](const Tensor& t) { return kernel::slice(t, 0, i, i + 1, 1); })));
      };
      same("silu", [&](auto at) { return kernel::unary<Silu>(at(x)); });
      same("silu beside its slope", [&](auto at) { return kernel::unary_with_slope(silu, at(x)).value; });
      same("slope", [&](auto at) { return kernel::unary_with_slope(silu, at(x)).slope; });
      same("scaled2", [&](auto at) { return kernel::scaled2(silu, at(x), at(u), at(v), 0); });
      same("affine", [&](auto at) { return kernel::affine(at(x), 3, -1); });
      same("add", [&](auto at) { return kernel::binary(kernel::Binary::add, at(x), at(u)); });
      same("a row", [&](auto at) { return kernel::binary(kernel::Binary::mul, at(x), row); });
      same("a row first", [&](auto at) { return kernel::binary(kernel::Binary::sub, row, at(x)); });
      same("a number a pixel", [&](auto at) { return kernel::binary(kernel::Binary::mul, at(x), pixels); });
      same("a number a pixel first", [&](auto at) { return kernel::binary(kernel::Binary::sub, pixels, at(x)); });
      same("a number", [&](auto at) { return kernel::binary(kernel::Binary::mul, at(x), draw({1}, 6)); });
      same("a row a sample", [&](auto at) { return kernel::binary(kernel::Binary::div, at(x), at(each)); });
    }
}
