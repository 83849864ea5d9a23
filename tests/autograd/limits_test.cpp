// What operations and their derivatives are where arithmetic has no ordinary answer: at NaN, at ±∞, at kinks and ties.

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "autograd/grad.h"
#include "autograd/ops.h"

using namespace vapo;

namespace {

using V = std::vector<double>;
struct Function : std::function<Var(const Var&)> {
  using std::function<Var(const Var&)>::function;
  Function(Var (*f)(const Var&)) : std::function<Var(const Var&)>(f) {}  // where a name has overloads
};
constexpr double inf = std::numeric_limits<double>::infinity();
const DType floating[] = {DType::f32, DType::f64};

Tensor row(const V& values, DType t = DType::f64) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}).to(t);
}
V numbers(const Var& x) { return x.value().to(DType::f64).to_vector<double>(); }
V slopes(const V& at, const Function& f, DType t = DType::f64) {
  Var x = Var::leaf(row(at, t));
  return numbers(grad(sum(f(x)), x));
}
V second_slopes(const V& at, const Function& f) {
  Var x = Var::leaf(row(at));
  return numbers(grad(sum(grad(sum(f(x)), x, {.create_graph = true})), x));
}
// Equal in every element, NaN to NaN, up to rounding.
bool same(const V& a, const V& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (a[i] != b[i] && !(std::abs(a[i] - b[i]) <= 1e-6 * std::max(1.0, std::abs(b[i])))) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("logsumexp of infinities: −∞ of −∞ alone, +∞ beside a +∞, over any dimensions; slopes as PyTorch's") {
  for (DType t : floating) {
    struct Case {
      V x;
      double value;
      V slope;
    };
    for (const Case& c : {Case{{-inf, -inf}, -inf, {NAN, NAN}}, Case{{-inf}, -inf, {NAN}}, Case{{inf}, inf, {NAN}},
                          Case{{inf, 1}, inf, {NAN, 0}}, Case{{1000, inf, -inf}, inf, {0, NAN, 0}},
                          Case{{inf, inf}, inf, {NAN, NAN}}, Case{{-inf, 1, -inf}, 1, {0, 1, 0}},
                          Case{{NAN, 1}, NAN, {NAN, NAN}}, Case{{-inf, NAN}, NAN, {NAN, NAN}},
                          Case{{-1e30, -1e30}, -1e30, {0.5, 0.5}}, Case{{3e38, 3e38}, 3e38, {0.5, 0.5}}}) {
      CAPTURE(c.value);
      CHECK(same(numbers(logsumexp(row(c.x, t))), {c.value}));
      CHECK(same(slopes(
                     c.x, [](const Var& x) { return logsumexp(x); }, t),
                 c.slope));
      // the same numbers in the middle of three dimensions, beside ordinary ones
      V mixed;
      for (double v : c.x) mixed.insert(mixed.end(), {v, 0.0, v, 0.0});
      Tensor x = row(mixed, t).reshape({static_cast<int64_t>(c.x.size()), 2, 2});
      double ordinary = std::log(static_cast<double>(c.x.size()));
      CHECK(same(numbers(logsumexp(x, {0})), {c.value, ordinary, c.value, ordinary}));
    }
  }
  CHECK(same(second_slopes({-inf, 1, 1}, [](const Var& x) { return logsumexp(x); }), {0, 0, 0}));
}

TEST_CASE("softmax of infinities is the same over the last dimension and over another") {
  for (DType t : floating)
    for (const auto& [x, want] : {std::pair<V, V>{{-inf, -inf}, {NAN, NAN}},
                                  {{inf, 1}, {NAN, NAN}},
                                  {{-inf, 2}, {0, 1}},
                                  {{NAN, 1}, {NAN, NAN}}}) {
      CHECK(same(numbers(softmax(row(x, t), {0})), want));
      CHECK(same(numbers(softmax(row(x, t).reshape({2, 1}), {0})), want));
      CHECK(same(numbers(softmax(row(x, t).reshape({1, 2}), {0, 1})), want));
      V opposite;
      for (double v : x) opposite.push_back(-2 * v);
      CHECK(same(numbers(softmax(row(opposite, t), {0}, -0.5)), want));
      CHECK(same(numbers(softmax(row(opposite, t).reshape({2, 1}), {0}, -0.5)), want));
    }
  for (const V& x :
       {V{-inf, -inf}, {inf, 1}, {-inf, 2}, {NAN, 1}}) {  // by the kernel, and by elementwise operations
    auto first = [](const Var& v) { return slice(softmax(v, {0}, 2), 0, {0, 1}); };
    auto first_of_column = [](const Var& v) { return slice(softmax(reshape(v, {2, 1}), {0}, 2), 0, {0, 1}); };
    CHECK(same(slopes(x, first), slopes(x, first_of_column)));
    CHECK(same(second_slopes(x, first), second_slopes(x, first_of_column)));
  }
}

TEST_CASE("values and slopes at NaN: as PyTorch's, but for abs, whose slope is NaN as JAX's") {
  for (DType t : floating) {
    auto check = [&](const char* name, const Function& f, const V& x, const V& value, const V& slope) {
      CAPTURE(name);
      CHECK(same(numbers(f(row(x, t))), value));
      CHECK(same(slopes(x, f, t), slope));
    };
    Var one = row({1}, t), other = row({1, NAN, NAN, 2}, t);
    check("relu", relu, {NAN, -1, 2}, {NAN, 0, 2}, {1, 0, 1});
    check("leaky_relu", [](const Var& x) { return leaky_relu(x, 0.25); }, {NAN, -1}, {NAN, -0.25}, {0.25, 0.25});
    check("abs", abs, {NAN, -1}, {NAN, 1}, {NAN, -1});
    check("maximum", [&](const Var& x) { return maximum(x, other); }, {NAN, 1, NAN, 1}, {NAN, NAN, NAN, 2},
          {1, 1, 1, 0});
    check("maximum", [&](const Var& x) { return maximum(other, x); }, {NAN, 1, NAN, 1}, {NAN, NAN, NAN, 2},
          {1, 1, 1, 0});
    check("minimum", [&](const Var& x) { return minimum(x, other); }, {NAN, 1, NAN, 1}, {NAN, NAN, NAN, 1},
          {1, 1, 1, 1});
    check("minimum", [&](const Var& x) { return minimum(other, x); }, {NAN, 1, NAN, 3}, {NAN, NAN, NAN, 2},
          {1, 1, 1, 0});
    check("clamp", [](const Var& x) { return clamp(x, -1, 1); }, {NAN, 0.5}, {NAN, 0.5}, {0, 1});
    check("amax", [](const Var& x) { return amax(x); }, {1, NAN, 2}, {NAN}, {NAN, NAN, NAN});
    check("norm", [](const Var& x) { return norm(x); }, {1, NAN}, {NAN}, {NAN, NAN});
    for (const auto& [name, f] : {std::pair<const char*, Function>{"softplus", softplus},
                                  {"silu", silu},
                                  {"gelu", gelu},
                                  {"tanh", tanh},
                                  {"sigmoid", sigmoid},
                                  {"log1p", log1p},
                                  {"expm1", expm1},
                                  {"sqrt", sqrt},
                                  {"square", square}}) {
      V value = numbers(f(row({NAN, 1}, t))), slope = slopes({NAN, 1}, f, t);
      CAPTURE(name);
      CHECK((std::isnan(value[0]) && std::isfinite(value[1])));
      CHECK((std::isnan(slope[0]) && std::isfinite(slope[1])));
    }
  }
}

TEST_CASE("activations and their derivatives have their limits at ±∞ and where squares overflow") {
  struct Case {
    const char* name;
    Var (*f)(const Var&);
    double value_below, value_above, slope_below, slope_above;
  };
  for (DType t : floating)
    for (const Case& c : {Case{"relu", relu, 0, inf, 0, 1},
                          {"abs", abs, inf, inf, -1, 1},
                          {"silu", silu, 0, inf, 0, 1},
                          {"gelu", gelu, 0, inf, 0, 1},
                          {"softplus", softplus, 0, inf, 0, 1},
                          {"tanh", tanh, -1, 1, 0, 0},
                          {"sigmoid", sigmoid, 0, 1, 0, 0}}) {
      CAPTURE(c.name);
      Var x = Var::leaf(row({-inf, inf}, t)), y = c.f(x);
      CHECK(same(numbers(y), {c.value_below, c.value_above}));
      Var d = grad(sum(y), x, {.create_graph = true});
      CHECK(same(numbers(d), {c.slope_below, c.slope_above}));
      // the second and the third are 0, at large numbers as well
      for (double large : {inf, t == DType::f32 ? 3e38 : 1e308, 1e30, 1e4}) {
        Var at = Var::leaf(row({-large, large}, t)), slope = grad(sum(c.f(at)), at, {.create_graph = true});
        CAPTURE(large);
        CHECK(same(numbers(slope), {c.slope_below, c.slope_above}));
        if (!slope.requires_grad()) continue;
        Var second = grad(sum(slope), at, {.create_graph = true, .allow_unused = true});
        if (!second.defined()) continue;
        CHECK(same(numbers(second), {0, 0}));
        if (second.requires_grad()) CHECK(same(numbers(grad(sum(second), at)), {0, 0}));
      }
    }
}

TEST_CASE("a vjp selects: an infinite cotangent does not get past a slope of 0, in the second derivative neither") {
  auto check = [](const char* name, const Function& f, const V& x, const V& first, const V& second) {
    CAPTURE(name);
    CHECK(same(slopes(x, f), first));
    CHECK(same(slopes(x, f, DType::f32), first));
    CHECK(same(second_slopes(x, f), second));
  };
  V x{-1, 4}, first{0, 0.25}, second{0, -1.0 / 32};
  check(
      "relu", [](const Var& v) { return sqrt(relu(v)); }, x, first, second);
  check("rsqrt", [](const Var& v) { return rsqrt(relu(v)); }, x, {0, -1.0 / 16}, {0, 3.0 / 128});
  check("log", [](const Var& v) { return log(relu(v)); }, x, {0, 0.25}, {0, -1.0 / 16});
  check(
      "leaky_relu", [](const Var& v) { return sqrt(leaky_relu(v, 0)); }, x, first, second);
  check(
      "maximum", [&](const Var& v) { return sqrt(maximum(v, row({0}, v.dtype()))); }, x, first, second);
  check(
      "minimum", [&](const Var& v) { return sqrt(neg(minimum(row({0}, v.dtype()), neg(v)))); }, x, first, second);
  check(
      "clamp", [](const Var& v) { return sqrt(clamp(v, 0, 9)); }, x, first, second);
  check(
      "where",
      [](const Var& v) {
        Var none = row({0}, v.dtype());
        return sqrt(where(gt(v, none), v, none));
      },
      x, first, second);
  check("amax", [](const Var& v) { return sqrt(amax(v)); }, {0, -1}, {inf, 0}, {-inf, 0});
  check("abs at 0", [](const Var& v) { return sqrt(abs(v)); }, {0, -4}, {0, -0.25}, {0, -1.0 / 32});
  CHECK(same(slopes({0, 0, 0}, [](const Var& v) { return sqrt(norm(v)); }), {0, 0, 0}));
  CHECK(same(slopes({0, 0, 3, 4},
                    [](const Var& v) {
                      return rsqrt(norm(reshape(v, {2, 2}), {1}));
                    }),
             {0, 0, -0.5 * std::pow(5, -1.5) * 0.6, -0.5 * std::pow(5, -1.5) * 0.8}));
  CHECK(same(second_slopes({0, 0}, [](const Var& v) { return norm(v); }), {0, 0}));
}

TEST_CASE("slopes at kinks and ties") {
  CHECK(slopes({-1, 0, 2}, relu) == V{0, 0, 1});
  CHECK(slopes({-1, 0, 2}, abs) == V{-1, 0, 1});
  CHECK(slopes({-1, 0, 2}, [](const Var& x) { return leaky_relu(x, 0.25); }) == V{0.25, 0.25, 1});
  CHECK(slopes({-2, -1, 0, 1, 2}, [](const Var& x) { return clamp(x, -1, 1); }) == V{0, 0, 1, 0, 0});
  CHECK(slopes({-2, -1, 0}, [](const Var& x) { return clamp(x, -1); }) == V{0, 0, 1});
  CHECK(slopes({0, 1, 2}, [](const Var& x) { return clamp(x, {}, 1); }) == V{1, 0, 0});
  Var one = row({1, 1, 1});
  CHECK(slopes({0, 1, 2}, [&](const Var& x) { return maximum(x, one); }) == V{0, 0.5, 1});
  CHECK(slopes({0, 1, 2}, [&](const Var& x) { return minimum(one, x); }) == V{1, 0.5, 0});
  CHECK(slopes({3, 1, 3, 3}, [](const Var& x) { return 3 * amax(x); }) == V{1, 0, 1, 1});
  CHECK(slopes({-inf, -inf}, [](const Var& x) { return amax(x); }) == V{0.5, 0.5});
  CHECK(slopes({0, 0}, [](const Var& x) { return norm(x); }) == V{0, 0});
}

TEST_CASE("large values: no overflow where the mathematics has none") {
  Var x = Var::leaf(Tensor::from(std::vector<double>{800, -800, 799}, {3}));
  Var l = logsumexp(x);
  CHECK(l.item() == doctest::Approx(800 + std::log1p(std::exp(-1.0))));
  Var g = grad(l, x, {.create_graph = true});
  CHECK(g.value().at(0) == doctest::Approx(1 / (1 + std::exp(-1.0))));
  CHECK(g.value().at(1) == 0);
  for (Var (*f)(const Var&) : std::initializer_list<Var (*)(const Var&)>{silu, sigmoid, tanh, softplus, gelu}) {
    Var d = grad(sum(f(x)), x, {.create_graph = true}), dd = grad(sum(d), x);
    for (int i = 0; i < 3; ++i) {
      CHECK(std::isfinite(d.value().at(i)));
      CHECK(std::abs(dd.value().at(i)) < 1e-300);
    }
  }
}

TEST_CASE("comparisons are IEEE's: 1 or 0 in the operands' dtype, broadcast") {
  for (DType t : floating) {
    Tensor a = row({0, 1, NAN, inf, -0.0, NAN, -inf}, t), b = row({0, 2, NAN, inf, 0, 1, inf}, t);
    CHECK(eq(a, b).dtype() == t);
    CHECK(numbers(eq(a, b)) == V{1, 0, 0, 1, 1, 0, 0});
    CHECK(numbers(ne(a, b)) == V{0, 1, 1, 0, 0, 1, 1});
    CHECK(numbers(lt(a, b)) == V{0, 1, 0, 0, 0, 0, 1});
    CHECK(numbers(le(a, b)) == V{1, 1, 0, 1, 1, 0, 1});
    CHECK(numbers(gt(a, b)) == V{0, 0, 0, 0, 0, 0, 0});
    CHECK(numbers(gt(b, a)) == V{0, 1, 0, 0, 0, 0, 1});
    CHECK(numbers(ge(a, b)) == V{1, 0, 0, 1, 1, 0, 0});
    Var column = row({0, 1, 2}, t).reshape({3, 1}), line = Var::leaf(row({1, 2}, t));
    CHECK(lt(column, line).shape() == Shape{3, 2});
    CHECK(numbers(lt(column, line)) == V{1, 1, 0, 1, 0, 0});
    CHECK_FALSE(lt(column, line).requires_grad());
  }
  CHECK_THROWS_WITH_AS(lt(row({1, 2}), row({1, 2, 3})), doctest::Contains("[lt]"), Error);
}

TEST_CASE("where takes each element from one side untouched, under a condition of any dtype it allows") {
  for (DType t : floating) {
    Var a = row({-0.0, NAN, inf, 4, 5}, t), b = row({NAN, 2, 3, NAN, -0.0}, t);
    for (DType c : {t, DType::u8, DType::i64}) {
      V y = numbers(where(row({2, 0, 1, 3, 0}).to(c), a, b));
      CHECK(same(y, {0, 2, inf, 4, 0}));
      CHECK((std::signbit(y[0]) && std::signbit(y[4])));
    }
    CHECK(same(numbers(where(row({NAN, 0, -0.0, -1, inf}, t), a, b)), {0, 2, 3, 4, 5}));
    Var y = where(row({1, 0}, t).reshape({2, 1}), row({1, 2, 3}, t), Tensor::scalar(7, t));
    CHECK(y.shape() == Shape{2, 3});
    CHECK(numbers(y) == V{1, 2, 3, 7, 7, 7});
  }
  Var x = row({1, 2});
  CHECK_THROWS_WITH_AS(where(row({1, 2, 3}), x, x), doctest::Contains("[where]"), Error);
  CHECK_THROWS_WITH_AS(where(row({1, 2}, DType::f32), x, x), doctest::Contains("condition is f32"), Error);
  CHECK_THROWS_WITH_AS(where(x, x, row({1, 2}, DType::f32)), doctest::Contains("Hint: convert one"), Error);
}

TEST_CASE("clamp: either bound, both, the upper one where they cross, none that is NaN") {
  Var x = row({-2, -1, 0, 1, 2, inf, -inf, NAN});
  CHECK(same(numbers(clamp(x, -1, 1)), {-1, -1, 0, 1, 1, 1, -1, NAN}));
  CHECK(same(numbers(clamp(x, 0)), {0, 0, 0, 1, 2, inf, 0, NAN}));
  CHECK(same(numbers(clamp(x, {}, 0.5)), {-2, -1, 0, 0.5, 0.5, 0.5, -inf, NAN}));
  CHECK(same(numbers(clamp(x, 2, 1)), {1, 1, 1, 1, 1, 1, 1, NAN}));
  CHECK(same(numbers(clamp(x, {})), numbers(x)));
  CHECK_THROWS_WITH_AS(clamp(x, 0, NAN), doctest::Contains("[clamp] a bound is NaN"), Error);
}

TEST_CASE("var: two passes, so that a common offset costs nothing and equal elements have none") {
  for (DType t : floating) {
    for (double c : {0.1, 1e-30, 1e8 / 3, -7.7}) {
      V equal(37, static_cast<float>(c));
      CHECK(numbers(var(row(equal, t))) == V{0});
      CHECK(slopes(
                equal, [](const Var& x) { return var(x); }, t) == V(37, 0));
    }
    V offset;  // 2²⁰ + {0, 1, … 7}/8, which f32 holds
    for (int i = 0; i < 8; ++i) offset.push_back(1048576 + i / 8.0);
    CHECK(var(row(offset, t)).item() == doctest::Approx(6.0 / 64).epsilon(1e-6));
    CHECK(var(row(offset, t), {}, 0).item() == doctest::Approx(5.25 / 64).epsilon(1e-6));
  }
  CHECK(same(numbers(var(row({5}))), {NAN}));
  CHECK(same(numbers(var(row({5}), {}, 0)), {0}));
  CHECK(same(numbers(var(row({1, 2}), {}, 2)), {inf}));
  CHECK(same(numbers(var(row({3, 3}), {}, 3)), {NAN}));
  CHECK(same(numbers(var(row({}))), {NAN}));
  CHECK(var(Tensor::ones({0, 3}), {1}).shape() == Shape{0});
  CHECK(var(Tensor::ones({4, 3}), {1}, 1, true).shape() == Shape{4, 1});
  CHECK(same(numbers(var(row({1, inf}))), {NAN}));
  CHECK(same(slopes({5}, [](const Var& x) { return var(x); }), {NAN}));
  CHECK_THROWS_WITH_AS(var(row({1, 2}), {1}), doctest::Contains("[var]"), Error);
}
