// Group normalisation and norms where f32 is short of digits or of range: constant groups, a small spread far from
// 0, large and small values.

#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/random.h"

using namespace vapo;

namespace {

double difference(const Tensor& a, const Tensor& b) {  // largest |a − b| by the largest |b|
  REQUIRE(a.shape() == b.shape());
  double worst = 0, scale = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
    scale = std::max(scale, std::abs(b.at(i)));
  }
  return std::isfinite(worst) ? worst / std::max(scale, 1e-300) : INFINITY;
}

using Op = Var (*)(const Var&, const Var&, const Var&, const kernel::GroupNormOptions&);

// y and its derivatives in x, a and s to the third order, along fixed directions.
std::vector<Tensor> derivatives(Op op, const Tensor& x, const kernel::GroupNormOptions& p, DType t) {
  Shape nc{x.dim(0), x.dim(-1)};
  auto draw = [&](const Shape& s, uint64_t seed) { return randn(s, {.seed = seed}).to(t); };
  std::vector<Var> in{Var::leaf(x.to(t)), Var::leaf(draw(nc, 2)), Var::leaf(draw(nc, 3))};
  std::vector<Var> y{op(in[0], in[1], in[2], p)};
  std::vector<Tensor> out{y[0].value()};
  for (uint64_t order = 1; order <= 3; ++order) {
    std::vector<Var> cotangents;
    for (const Var& v : y) cotangents.push_back(draw(v.shape(), 10 * order + cotangents.size()));
    y = grad(y, in, {.create_graph = order < 3, .allow_unused = true}, cotangents);
    for (const Var& v : y) out.push_back(v.value());
  }
  return out;
}

Tensor values(const Shape& s, const std::function<double(int64_t)>& f) {
  std::vector<float> out;
  for (int64_t i = 0; i < s.numel(); ++i) out.push_back(static_cast<float>(f(i)));
  return Tensor::from(out, s);
}

}  // namespace

TEST_CASE("of a constant group ŷ is 0 to the last bit, in f32 and f64") {
  for (double v : {0.1, 1e4, 3.3333, -7.7e-5, 123456.789, 0.0, 1e30, 1e-30})
    for (const Shape& s : {Shape{2, 5, 7, 12}, Shape{1, 1, 1, 6}, Shape{3, 33, 3}, Shape{2, 18}})
      for (DType t : {DType::f32, DType::f64}) {
        CAPTURE(v);
        CAPTURE(s.str());
        Shape nc{s[0], s.back()};
        Tensor x = Tensor::full(s, v, t), a = randn(nc, {.seed = 1}, t), zero = Tensor::zeros(nc, t);
        for (const auto& y : {kernel::group_norm(x, a, zero, {.groups = 3}).y,
                              group_norm_composite(x, a, zero, {.groups = 3}).value()})
          for (int64_t i = 0; i < y.numel(); ++i) REQUIRE(y.at(i) == 0);
      }
  // each group a constant of its own
  Tensor x = values({2, 3, 3, 4}, [](int64_t i) { return i % 4 < 2 ? 0.1 : 3.3333; });
  Tensor ones = Tensor::ones({2, 4}), y = kernel::group_norm(x, ones, Tensor::zeros({2, 4}), {.groups = 2}).y;
  for (int64_t i = 0; i < y.numel(); ++i) CHECK(y.at(i) == 0);
}

TEST_CASE("f32 derivatives to third order at constant groups are those of the f64 composite") {
  for (double v : {0.1, 1e4, 3.3333, -250.7})
    for (bool silu : {false, true}) {
      CAPTURE(v);
      CAPTURE(silu);
      kernel::GroupNormOptions p{.groups = 2, .silu = silu};
      Tensor x = Tensor::full({2, 4, 5, 6}, v);
      auto narrow = derivatives(group_norm_fused, x, p, DType::f32);
      auto wide = derivatives(group_norm_composite, x, p, DType::f64);
      REQUIRE(narrow.size() == 10);
      for (size_t i = 0; i < wide.size(); ++i) {
        CAPTURE(i);
        CHECK(difference(narrow[i].to(DType::f64), wide[i]) < 2e-5);
      }
    }
}

TEST_CASE("f32 group normalisation of large values, small spreads and outliers is that of f64, to third order") {
  Shape s{2, 6, 5, 8};
  Tensor noise = randn(s, {.seed = 1});
  auto far = [&](double centre, double spread) {
    return values(s, [&](int64_t i) { return centre + spread * noise.at(i); });
  };
  struct Case {
    const char* name;
    Tensor x;
    double bound;
  };
  for (const Case& c :
       {Case{"1e20", far(0, 1e20), 2e-5},
        {"1e25 around 1e26", far(1e26, 1e25), 1e-4},
        {"1e-3 around 1e4", far(1e4, 1e-3), 1e-4},  // a step of f32 there is 1e-3
        {"1 around 3e6", far(3e6, 1), 1e-4},
        {"an outlier first", values(s, [&](int64_t i) { return i % 240 < 8 ? 3e4 : noise.at(i); }), 1e-4},
        {"1e18 beside 1", values(s, [&](int64_t i) { return (i % 8 < 4 ? 1e18 : 1) * noise.at(i); }), 2e-5}})
    for (bool silu : {false, true}) {
      CAPTURE(c.name);
      CAPTURE(silu);
      kernel::GroupNormOptions p{.groups = 2, .silu = silu};
      auto narrow = derivatives(group_norm_fused, c.x, p, DType::f32);
      auto wide = derivatives(group_norm_composite, c.x, p, DType::f64);
      for (size_t i = 0; i < wide.size(); ++i) {
        CAPTURE(i);
        double scale = 0;
        for (double v : wide[i].to_vector<double>()) scale = std::max(scale, std::abs(v));
        if (scale > 1e-30) CHECK(difference(narrow[i].to(DType::f64), wide[i]) < c.bound);  // below: no f32 number
      }
    }
}

TEST_CASE("norms and sums of squares of f32 neither overflow nor vanish") {
  for (double v : {1e20, 1e-23, 3e37, 1e-38})
    for (const Shape& s : {Shape{3}, Shape{2, 50}, Shape{5, 1000}}) {
      CAPTURE(v);
      double n = static_cast<double>(s.numel()), expected = std::sqrt(n);
      float stored = static_cast<float>(v);
      Var x = Var::leaf(Tensor::full(s, v));
      CHECK(std::sqrt(kernel::sum_squares(std::vector<Tensor>{x.value()}).item()) / static_cast<double>(stored) ==
            doctest::Approx(expected).epsilon(1e-6));
      if (expected * v > 3e38) continue;
      Var y = norm(x);
      CHECK(y.item() / static_cast<double>(stored) == doctest::Approx(expected).epsilon(1e-6));
      CHECK(grad(y, x).value().at(0) == doctest::Approx(1 / expected).epsilon(1e-6));
      CHECK(norm(x, {-1}).value().at(0) / static_cast<double>(stored) ==
            doctest::Approx(std::sqrt(static_cast<double>(s.back()))).epsilon(1e-6));
    }
}
