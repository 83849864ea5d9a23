// Kernels against plain loops, at sizes around the register width and above the threading grain.

#include "tensor/kernels.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "tests/tensor/kernel_checks.h"

using namespace vapo;

namespace {

double flops(const std::function<void()>& f) {
  double before = kernel::flop_count();
  f();
  return kernel::flop_count() - before;
}

template <class F>
void check_function(double (*reference)(double), bool positive = false) {
  for (DType t : floating)
    for (int64_t n : {0, 1, 7, 16, 33, 70'001}) {
      Tensor x = noise({n}, t);
      if (positive) x = kernel::unary<Square>(x);
      x = kernel::affine(x, 2, positive ? 1e-3 : 0);
      CAPTURE(n);
      CHECK(error(kernel::unary<F>(x), [&](int64_t i) { return reference(x.at(i)); }) < tolerance(t));
    }
}

}  // namespace

TEST_CASE("unary functions follow the standard library") {
  check_function<Exp>([](double x) { return std::exp(x); });
  check_function<Log>([](double x) { return std::log(x); }, true);
  check_function<Sqrt>([](double x) { return std::sqrt(x); }, true);
  check_function<Sin>([](double x) { return std::sin(x); });
  check_function<Cos>([](double x) { return std::cos(x); });
  check_function<Tanh>([](double x) { return std::tanh(x); });
  check_function<Sigmoid>([](double x) { return 1 / (1 + std::exp(-x)); });
  check_function<Softplus>([](double x) { return std::log1p(std::exp(x)); });
  check_function<Silu>([](double x) { return x / (1 + std::exp(-x)); });
  check_function<Gelu>([](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2)); });
  check_function<Abs>([](double x) { return std::abs(x); });
  check_function<Relu>([](double x) { return std::max(0.0, x); });
}

TEST_CASE("running sums along any dimension, either way, in f64") {
  for (DType t : floating)
    for (const Shape& s : {Shape{5}, Shape{1}, Shape{3, 4}, Shape{2, 3, 70}, Shape{2, 130, 65}, Shape{40'000}})
      for (int dim = 0; dim < s.rank(); ++dim)
        for (bool reverse : {false, true}) {
          Tensor x = noise(s, t), y = kernel::cumsum(x, dim, reverse);
          int64_t inner = 1;
          for (int i = dim + 1; i < s.rank(); ++i) inner *= s[i];
          std::vector<double> want(static_cast<size_t>(x.numel()));
          for (int64_t k = 0; k < x.numel(); ++k) {
            int64_t i = reverse ? x.numel() - 1 - k : k, position = i / inner % s[dim];
            bool first = position == (reverse ? s[dim] - 1 : 0);
            want[static_cast<size_t>(i)] =
                x.at(i) + (first ? 0 : want[static_cast<size_t>(i + (reverse ? inner : -inner))]);
          }
          CAPTURE(s.str());
          CAPTURE(dim);
          CHECK(error(y, [&](int64_t i) { return want[static_cast<size_t>(i)]; }) <
                (t == DType::f32 ? 1e-7 : 1e-13));
        }
  CHECK(kernel::cumsum(Tensor::ones({3, 0, 2}), 1).shape() == Shape{3, 0, 2});
  CHECK_THROWS_AS(kernel::cumsum(Tensor::arange(3), 0), Error);
}

TEST_CASE("ends of the range: infinity, NaN, overflow, huge angles") {
  double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  for (DType t : floating) {
    Tensor x =
        Tensor::from(std::vector<double>{0, -0.0, inf, -inf, nan, 1000, -1000, 1e5, -1, 88.0, 700}, {11}).to(t);
    auto check = [&](const Tensor& y, double (*f)(double)) {
      for (int64_t i = 0; i < x.numel(); ++i) {
        double want = f(x.at(i));
        if (t == DType::f32) want = static_cast<float>(want);
        CAPTURE(x.at(i));
        if (std::isnan(want))
          CHECK(std::isnan(y.at(i)));
        else if (std::isinf(want))
          CHECK(y.at(i) == want);
        else
          CHECK(std::abs(y.at(i) - want) <= 2e-6 * std::max(1.0, std::abs(want)));
      }
    };
    check(kernel::unary<Exp>(x), [](double v) { return std::exp(v); });
    check(kernel::unary<Log>(x), [](double v) { return std::log(v); });
    check(kernel::unary<Tanh>(x), [](double v) { return std::tanh(v); });
    check(kernel::unary<Sigmoid>(x), [](double v) { return 1 / (1 + std::exp(-v)); });
    check(kernel::unary<Softplus>(x),
          [](double v) { return std::isnan(v) ? v : std::max(v, 0.0) + std::log1p(std::exp(-std::abs(v))); });
    Tensor angle = Tensor::from(std::vector<double>{1e5, -123456, 0.5, nan}, {4}).to(t);
    CHECK(error(kernel::unary<Sin>(angle), [&](int64_t i) { return std::sin(angle.at(i)); }) < 1e-6);
    CHECK(std::isnan(kernel::binary(kernel::Binary::maximum, Tensor::scalar(nan, t), Tensor::scalar(1, t)).item()));
    CHECK(std::isnan(kernel::binary(kernel::Binary::maximum, Tensor::scalar(1, t), Tensor::scalar(nan, t)).item()));
    CHECK_FALSE(kernel::all_finite(x));
    CHECK(kernel::all_finite(Tensor::ones({5}, t)));
  }
}

// Of the element of a tensor of shape `from` that stands at element i of the shape it is broadcast to.
int64_t broadcast_index(const Shape& from, const Shape& to, int64_t i) {
  int64_t index = 0, stride = 1;
  for (int d = 1; d <= to.rank(); ++d) {
    int64_t at = i % to[to.rank() - d];
    i /= to[to.rank() - d];
    if (d > from.rank()) continue;
    if (from[from.rank() - d] > 1) index += at * stride;
    stride *= from[from.rank() - d];
  }
  return index;
}

TEST_CASE("binary operations broadcast on either side") {
  struct Case {
    Shape a, b;
  };
  for (DType t : floating)
    for (const Case& c : {Case{{5, 7}, {5, 7}}, Case{{5, 7}, {7}}, Case{{5, 1}, {5, 7}}, Case{{}, {3}},
                          Case{{3}, {}}, Case{{1, 1}, {4, 33}}, Case{{2, 1, 3, 1}, {4, 1, 35}},
                          Case{{300, 300}, {300, 1}}, Case{{300, 300}, {300, 300}}, Case{{2, 3}, {0, 2, 3}},
                          Case{{4096, 1}, {4096, 2}}, Case{{1, 3, 1}, {2, 1, 2}}, Case{{6, 50, 64}, {6, 1, 64}},
                          Case{{4, 1, 30, 128}, {1, 5, 30, 1}}, Case{{20000}, {}}}) {
      Tensor a = noise(c.a, t), b = kernel::affine(noise(c.b, t, 1), 1, 3);
      Tensor aa = kernel::broadcast_to(a, broadcast_shapes(c.a, c.b, "t")),
             bb = kernel::broadcast_to(b, aa.shape());
      CAPTURE(c.a.str());
      CAPTURE(c.b.str());
      CHECK(error(aa, [&](int64_t i) { return a.at(broadcast_index(a.shape(), aa.shape(), i)); }) == 0);
      CHECK(error(bb, [&](int64_t i) { return b.at(broadcast_index(b.shape(), bb.shape(), i)); }) == 0);
      using enum kernel::Binary;
      double tol = tolerance(t);
      CHECK(error(kernel::binary(add, a, b), [&](int64_t i) { return aa.at(i) + bb.at(i); }) < tol);
      CHECK(error(kernel::binary(sub, a, b), [&](int64_t i) { return aa.at(i) - bb.at(i); }) < tol);
      CHECK(error(kernel::binary(mul, a, b), [&](int64_t i) { return aa.at(i) * bb.at(i); }) < tol);
      CHECK(error(kernel::binary(div, a, b), [&](int64_t i) { return aa.at(i) / bb.at(i); }) < tol);
      CHECK(error(kernel::binary(maximum, a, b), [&](int64_t i) { return std::max(aa.at(i), bb.at(i)); }) == 0);
      CHECK(error(kernel::binary(minimum, a, b), [&](int64_t i) { return std::min(aa.at(i), bb.at(i)); }) == 0);
      CHECK(error(kernel::binary(lt, a, b), [&](int64_t i) { return aa.at(i) < bb.at(i); }) == 0);
      CHECK(error(kernel::binary(ge, a, b), [&](int64_t i) { return aa.at(i) >= bb.at(i); }) == 0);
      CHECK(error(kernel::where(kernel::binary(gt, a, b), a, b),
                  [&](int64_t i) { return std::max(aa.at(i), bb.at(i)); }) == 0);
      CHECK(kernel::binary(sub, a, b).shape() == aa.shape());
    }
  Tensor z = Tensor::from(std::vector<float>{1, 0, -1}, {3}), zero = Tensor::zeros({3});
  CHECK(kernel::binary(kernel::Binary::share, z, zero).to_vector<float>() == std::vector<float>{1, 0.5, 0});
  CHECK(kernel::binary(kernel::Binary::div_or_zero, zero, z).to_vector<float>() == std::vector<float>{0, 0, 0});
  Tensor ends = Tensor::from(std::vector<float>{INFINITY, NAN, -INFINITY}, {3});
  CHECK(kernel::binary(kernel::Binary::mul_or_zero, ends, zero).to_vector<float>() == std::vector<float>{0, 0, 0});
  CHECK(std::isnan(kernel::binary(kernel::Binary::mul_or_zero, zero, ends).at(0)));
  CHECK(kernel::binary(kernel::Binary::eq, z, zero).to_vector<float>() == std::vector<float>{0, 1, 0});
  CHECK_THROWS_AS(kernel::binary(kernel::Binary::add, Tensor::ones({3}), Tensor::ones({2})), Error);
  CHECK_THROWS_AS(kernel::binary(kernel::Binary::add, Tensor::ones({3}), Tensor::ones({3}, DType::f64)), Error);
  CHECK_THROWS_AS(kernel::binary(kernel::Binary::add, Tensor::arange(3), Tensor::arange(3)), Error);
}

TEST_CASE("reductions over any dimensions") {
  for (DType t : floating)
    for (const Shape& s : {Shape{7}, Shape{5, 3}, Shape{2, 3, 4, 5}, Shape{1, 200, 190}, Shape{700, 19},
                           Shape{90'000}, Shape{900, 2}}) {
      Tensor x = noise(s, t);
      for (int mask = 0; mask < 1 << s.rank(); ++mask) {
        Dims dims;
        for (int i = 0; i < s.rank(); ++i)
          if (mask >> i & 1) dims.push_back(i);
        Shape kept = reduced_shape(s, dims, true, "t");
        Tensor total = Tensor::zeros(kept, DType::f64), top = Tensor::full(kept, -1e300, DType::f64);
        for (int64_t i = 0; i < x.numel(); ++i) {
          int64_t rest = i, at = 0, stride = 1;
          for (int d = s.rank() - 1; d >= 0; --d) {
            int64_t position = rest % s[d];
            rest /= s[d];
            if (kept[d] != 1) at += position * stride;
            stride *= kept[d];
          }
          total.mutable_data<double>()[at] += x.at(i);
          top.mutable_data<double>()[at] = std::max(top.at(at), x.at(i));
        }
        CAPTURE(s.str());
        CAPTURE(dims.str());
        Tensor y = kernel::sum(x, dims, true);
        CHECK(y.shape() == kept);
        CHECK(error(y, [&](int64_t i) { return total.at(i); }) < (t == DType::f32 ? 2e-5 : 1e-11));
        CHECK(error(kernel::amax(x, dims, true), [&](int64_t i) { return top.at(i); }) == 0);
        CHECK(kernel::sum(x, dims, false).shape() == reduced_shape(s, dims, false, "t"));
        CHECK(error(kernel::sum_to(x, kept), [&](int64_t i) { return total.at(i); }) <
              (t == DType::f32 ? 2e-5 : 1e-11));
      }
    }
  CHECK(kernel::sum(Tensor::ones({0, 3}), {0}, false).to_vector<float>() == std::vector<float>{0, 0, 0});
  CHECK_THROWS_AS(kernel::amax(Tensor::ones({0, 3}), {0}, false), Error);
  Tensor a = Tensor::full({3}, 2), b = Tensor::full({2}, 1);
  CHECK(kernel::sum_squares(std::vector<Tensor>{a, b}).item() == 14);
}

TEST_CASE("matmul in every orientation and shape, thin ones too") {
  for (DType t : floating)
    for (auto [m, n, k] : {std::array<int64_t, 3>{3, 4, 5},
                           {1, 9, 300},
                           {300, 1, 70},
                           {5, 6, 1},
                           {64, 192, 18},
                           {192, 18, 64},
                           {77, 3, 40},
                           {1, 1, 1},
                           {2, 3, 0},
                           {0, 3, 2},
                           {192, 1, 512},
                           {33, 65, 129}})
      for (int flags = 0; flags < 4; ++flags) {
        bool ta = flags & 1, tb = flags & 2;
        Tensor a = noise(ta ? Shape{k, m} : Shape{m, k}, t), b = noise(tb ? Shape{n, k} : Shape{k, n}, t, 1);
        Tensor y = kernel::matmul(a, b, {ta, tb});
        CHECK(y.shape() == Shape{m, n});
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        CAPTURE(flags);
        CHECK(error(y, [&, n = n, k = k, m = m](int64_t i) {
                double s = 0;
                for (int64_t p = 0; p < k; ++p)
                  s += a.at(ta ? p * m + i / n : i / n * k + p) * b.at(tb ? i % n * k + p : p * n + i % n);
                return s;
              }) < (t == DType::f32 ? 2e-5 : 1e-12));
      }
  // onto what is there, in its place where nothing else has it
  for (DType t : floating)
    for (auto [m, n, k] : {std::array<int64_t, 3>{33, 65, 20}, {192, 18, 64}, {300, 1, 70}, {5, 6, 1}, {4, 3, 0}})
      for (bool ta : {false, true})
        for (bool shared : {false, true}) {
          Tensor a = noise(ta ? Shape{k, m} : Shape{m, k}, t), b = noise({k, n}, t, 1), c = noise({m, n}, t, 2),
                 handle = shared ? c : Tensor(), there = noise({m, n}, t, 2);
          const void* place = c.raw();
          Tensor product = kernel::matmul(a, b, {.transpose_a = ta});
          Tensor y = kernel::matmul(a, b, {.transpose_a = ta}, std::move(c));
          CAPTURE(m);
          CAPTURE(n);
          CHECK(error(y, [&](int64_t i) { return there.at(i) + product.at(i); }) <
                (t == DType::f32 ? 1e-5 : 1e-13));
          CHECK((y.raw() == place) == !shared);
          if (shared) CHECK(error(handle, [&](int64_t i) { return there.at(i); }) == 0);
        }
  // batches broadcast
  Tensor a = noise({2, 1, 3, 4}, DType::f64), b = noise({5, 4, 2}, DType::f64, 1);
  Tensor y = kernel::matmul(a, b);
  CHECK(y.shape() == Shape{2, 5, 3, 2});
  for (int64_t i = 0; i < 2; ++i)
    for (int64_t j = 0; j < 5; ++j) {
      Tensor one = kernel::matmul(kernel::slice(a, 0, i, i + 1, 1).reshape({3, 4}),
                                  kernel::slice(b, 0, j, j + 1, 1).reshape({4, 2}));
      for (int64_t e = 0; e < 6; ++e) CHECK(y.at((i * 5 + j) * 6 + e) == doctest::Approx(one.at(e)).epsilon(1e-12));
    }
  CHECK_THROWS_AS(kernel::matmul(noise({2, 3}, DType::f32), noise({2, 3}, DType::f32)), Error);
  CHECK_THROWS_AS(kernel::matmul(noise({3}, DType::f32), noise({3, 2}, DType::f32)), Error);
  CHECK_THROWS_AS(kernel::linear(noise({2, 3}, DType::f32), noise({4, 3}, DType::f32), noise({3}, DType::f32)),
                  Error);
}

TEST_CASE("moving elements") {
  Tensor x = Tensor::arange(24, DType::f64).reshape({2, 3, 4});
  Tensor p = kernel::permute(x, {2, 0, 1});
  CHECK(p.shape() == Shape{4, 2, 3});
  CHECK(error(p, [](int64_t i) { return i / 6 + i / 3 % 2 * 12 + i % 3 * 4; }) == 0);
  Tensor s = kernel::slice(x, 2, 1, 4, 2);
  CHECK(s.to_vector<double>() == std::vector<double>{1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23});
  Tensor back = kernel::unslice(s, {2, 3, 4}, 2, 1, 2);
  CHECK(error(back, [](int64_t i) { return i % 2 ? i : 0; }) == 0);
  std::vector<Tensor> parts{kernel::slice(x, 1, 0, 1, 1), kernel::slice(x, 1, 1, 3, 1)};
  CHECK(kernel::concat(parts, 1).to_vector<double>() == x.to_vector<double>());
  Tensor index = Tensor::from(std::vector<int64_t>{2, 0, 2}, {3});
  Tensor rows = kernel::index_select(x, 1, index);
  CHECK(rows.at(0) == 8);
  CHECK(rows.at(4) == 0);
  Tensor added = kernel::index_add(rows, {2, 3, 4}, 1, index);
  CHECK(error(added, [](int64_t i) {
          return i / 4 % 3 == 2 ? 2.0 * double(i) : i / 4 % 3 == 0 ? double(i) : 0.0;
        }) == 0);
  CHECK_THROWS_AS(kernel::index_select(x, 1, Tensor::from(std::vector<int64_t>{3}, {1})), Error);
  CHECK_THROWS_AS(kernel::concat(std::vector<Tensor>{x, kernel::permute(x, {0, 2, 1})}, 0), Error);
  CHECK_THROWS_AS(kernel::slice(x, 0, 1, 3, 1), Error);
  CHECK_THROWS_AS(kernel::permute(x, {0, 0, 1}), Error);
}

TEST_CASE("pools of windows that overlap: padding counts for nothing") {
  using kernel::Pool, kernel::Window;
  for (DType t : floating)
    for (const Window& k : {Window{.size = 3, .stride = 2}, Window{.size = 3, .padding = 1}, Window{.size = 1},
                            Window{.size = {2, 3}, .stride = {1, 2}, .padding = {1, 2}},
                            Window{.size = {4, 1}, .stride = {3, 2}, .padding = {3, 0}}})
      for (Shape shape : {Shape{2, 7, 6, 5}, {1, 4, 3, 70}, {0, 4, 3, 2}}) {
        Tensor x = kernel::affine(noise(shape, t), 1, -1);  // mostly below 0, which padding must not be
        int64_t h = shape[1], w = shape[2], c = shape[3], oh = (h + 2 * k.padding.h - k.size.h) / k.stride.h + 1,
                ow = (w + 2 * k.padding.w - k.size.w) / k.stride.w + 1;
        auto pooled = [&](Pool pool, int64_t i) {
          int64_t j = i % c, top = i / c / ow % oh * k.stride.h - k.padding.h,
                  left = i / c % ow * k.stride.w - k.padding.w, n = i / c / ow / oh;
          double sum = 0, most = -INFINITY, count = 0;
          for (int64_t a = std::max<int64_t>(top, 0); a < std::min(h, top + k.size.h); ++a)
            for (int64_t b = std::max<int64_t>(left, 0); b < std::min(w, left + k.size.w); ++b, ++count) {
              double v = x.at(((n * h + a) * w + b) * c + j);
              sum += v, most = std::max(most, v);
            }
          return pool == Pool::mean ? sum / count : most;
        };
        for (Pool pool : {Pool::maximum, Pool::mean}) {
          Tensor y = kernel::pool2d(pool, x, k);
          CHECK(y.shape() == Shape{shape[0], oh, ow, c});
          CHECK(error(y, [&](int64_t i) { return pooled(pool, i); }) < tolerance(t));
        }
      }
  Tensor x = noise({1, 2, 4, 3}, DType::f32);
  CHECK_THROWS_WITH(kernel::pool2d(Pool::mean, x, {.size = 3}), doctest::Contains("3×3 window"));
  CHECK_THROWS_WITH(kernel::pool2d(Pool::mean, x, {.size = 2, .padding = 2}), doctest::Contains("padding (2,2)"));
  CHECK_THROWS_WITH(kernel::pool2d(Pool::mean, noise({0, 0, 4, 3}, DType::f32), {.size = 2, .padding = 1}),
                    doctest::Contains("is no image"));
}

TEST_CASE("group norm's derivatives add to dx and dg what they are given, as a sum afterwards would") {
  for (DType t : floating)
    for (bool silu : {false, true}) {
      Shape image{2, 5, 7, 12}, row{2, 12};
      Tensor x = noise(image, t), g = noise(image, t, 1), u = noise(image, t, 2), a = noise(row, t, 3),
             s = noise(row, t, 4), add_dx = noise(image, t, 5), add_dg = noise(image, t, 6);
      kernel::GroupNormOptions p{.groups = 3, .silu = silu};
      auto y = kernel::group_norm(x, a, s, p);
      auto same = [&](const Tensor& with, const Tensor& without, const Tensor& add) {
        Tensor sum = add.defined() ? kernel::binary(kernel::Binary::add, without, add) : without;
        for (int64_t i = 0; i < sum.numel(); ++i) REQUIRE(with.at(i) == sum.at(i));
      };
      auto first = kernel::group_norm_vjp(x, a, s, g, y, p),
           with = kernel::group_norm_vjp(x, a, s, g, y, p, true, {add_dx, {}, a});
      same(with.dx, first.dx, add_dx), same(with.da, first.da, {}), same(with.ds, first.ds, a);
      auto second = kernel::group_norm_vjp2(x, a, s, g, u, {}, {}, y, p);
      for (const Tensor& to_dx : {Tensor(), add_dx})
        for (const Tensor& to_dg : {Tensor(), add_dg}) {
          auto sums = kernel::group_norm_vjp2(x, a, s, g, u, {}, {}, y, p, {to_dx, s, {}, to_dg});
          same(sums.dx, second.dx, to_dx), same(sums.dg, second.dg, to_dg);
          same(sums.da, second.da, s), same(sums.ds, second.ds, {});
        }
      CHECK_THROWS_AS(kernel::group_norm_vjp(x, a, s, g, y, p, false, {add_dx}), Error);
      CHECK_THROWS_AS(kernel::group_norm_vjp(x, a, s, g, y, p, true, {a}), Error);
      CHECK_THROWS_AS(kernel::group_norm_vjp(x, a, s, g, y, p, true, {{}, add_dx}), Error);
      kernel::NormGrads2 wrong{.dg = Tensor::ones(image, DType::u8)};
      CHECK_THROWS_AS(kernel::group_norm_vjp2(x, a, s, g, u, {}, {}, y, p, wrong), Error);
    }
}

TEST_CASE("FLOPs of products and convolutions, by the definition") {
  DType t = DType::f32;
  Tensor a = noise({5, 1, 3, 4}, t), b = noise({2, 7, 4}, t);
  CHECK(flops([&] { kernel::matmul(a, b, {.transpose_b = true}); }) == 2 * 5 * 2 * 3 * 4 * 7);
  CHECK(flops([&] { kernel::linear(b, noise({6, 4}, t), {}); }) == 2 * 2 * 7 * 4 * 6);
  Tensor x = noise({2, 7, 6, 4}, t), w = noise({6, 3, 3, 2}, t), dense = noise({6, 1, 1, 4}, t);
  kernel::Conv2dOptions p{.stride = 2, .padding = 1, .groups = 2};
  Tensor y = kernel::conv2d(x, w, {}, p);
  double pass = 2 * static_cast<double>(y.numel()) * 3 * 3 * 2;
  CHECK(flops([&] { kernel::conv2d(x, w, {}, p); }) == pass);
  CHECK(flops([&] { kernel::conv2d_input_grad(y, w, x.shape(), p); }) == pass);
  CHECK(flops([&] { kernel::conv2d_weight_grad(x, y, w.shape(), p); }) == pass);
  CHECK(flops([&] { kernel::conv2d(x, dense, {}, {}); }) == 2 * 2 * 7 * 6 * 4 * 6);  // 1×1: as a product, once
  CHECK(flops([&] { kernel::unary<Exp>(x); }) == 0);
}
