// The engine itself: what is recorded, what is differentiated, what is freed.

#include <doctest/doctest.h>

#include <algorithm>

#include "autograd/check_grads.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/random.h"

using namespace vapo;

namespace {
Var leaf(double v, const char* name = "") { return Var::leaf(Tensor::scalar(v, DType::f64), name); }
Var vector_leaf(int64_t n, uint64_t seed = 0) { return Var::leaf(randn({n}, {.seed = seed}, DType::f64)); }
}  // namespace

TEST_CASE("first, second and third derivative of x³ + 2x") {
  Var x = leaf(3);
  Var y = x * x * x + 2 * x;
  Var d1 = grad(y, x, {.create_graph = true});
  Var d2 = grad(d1, x, {.create_graph = true});
  Var d3 = grad(d2, x);
  CHECK(d1.item() == doctest::Approx(29));
  CHECK(d2.item() == doctest::Approx(18));
  CHECK(d3.item() == doctest::Approx(6));
  CHECK_FALSE(d3.requires_grad());
}

TEST_CASE("a value used twice collects both cotangents") {
  Var x = leaf(2), y = leaf(5);
  Var z = x * y;
  std::vector<Var> inputs{x, y, z};
  auto g = grad(z * z + x, inputs);
  CHECK(g[0].item() == doctest::Approx(2 * 10 * 5 + 1));
  CHECK(g[1].item() == doctest::Approx(2 * 10 * 2));
  CHECK(g[2].item() == doctest::Approx(20));  // an intermediate value is an input like any other
}

TEST_CASE("several outputs with their cotangents") {
  Var x = vector_leaf(4);
  std::vector<Var> outputs{x * x, sin(x)},
      cotangents{Tensor::full({4}, 2, DType::f64), Tensor::full({4}, 3, DType::f64)};
  Var g = grad(outputs, std::span(&x, 1), {}, cotangents)[0];
  for (int i = 0; i < 4; ++i)
    CHECK(g.value().at(i) == doctest::Approx(4 * x.value().at(i) + 3 * std::cos(x.value().at(i))));
}

TEST_CASE("nothing is recorded for constants, under NoGradGuard, or for inputs that need no gradient") {
  Var x = leaf(2), c = Tensor::scalar(3, DType::f64);
  CHECK_FALSE((c * c).requires_grad());
  CHECK((x * c).requires_grad());
  CHECK_FALSE(x.detach().requires_grad());
  {
    NoGradGuard off;
    CHECK_FALSE((x * x).requires_grad());
    EnableGradGuard on;
    CHECK((x * x).requires_grad());
  }
  CHECK((x * x).requires_grad());
  // what a rule captured for the constant side is dropped: the other operand's memory is free again
  int64_t before = memory_stats().current_bytes;
  Var kept;
  {
    Var big = Tensor::ones({100'000}, DType::f64);
    kept = sum(Var::leaf(Tensor::ones({100'000}, DType::f64)) + big);
  }
  CHECK(memory_stats().current_bytes < before + 100'000);
}

TEST_CASE("only the vjps that lead to the inputs run") {
  int runs_x = 0, runs_w = 0;
  Var w = leaf(4), x = leaf(3);
  Var y = record("counted", kernel::binary(kernel::Binary::mul, w.value(), x.value()),
                 {{w,
                   [&](const Var& g) {
                     ++runs_w;
                     return g * x;
                   }},
                  {x, [&](const Var& g) {
                     ++runs_x;
                     return g * w;
                   }}});
  CHECK(grad(y, x, {.retain_graph = true}).item() == 4);
  CHECK(runs_x == 1);
  CHECK(runs_w == 0);
  CHECK(grad(y, w).item() == 3);
  CHECK(runs_w == 1);
}

TEST_CASE("a rule may ask for its own output, to any order, without a cycle") {
  int64_t before = memory_stats().current_bytes;
  {
    Var x = leaf(0.5);
    Var y = record("my_exp", kernel::unary<Exp>(x.value()),
                   {{x, [](const Var& g, const Var& out) { return g * out; }}});
    Var d1 = grad(y, x, {.create_graph = true});
    CHECK(grad(d1, x).item() == doctest::Approx(std::exp(0.5)));
  }
  CHECK(memory_stats().current_bytes == before);
}

TEST_CASE("a gradient is told as soon as it is complete, once, and is the one that is given back") {
  Var a = leaf(2, "a"), b = leaf(3, "b"), c = leaf(5, "c"), unused = leaf(7);
  Var inner = a * a * b;  // older: its gradients come last
  Var z = inner * c + exp(c);
  std::vector<Var> inputs{a, b, c, inner, unused, z};
  std::vector<size_t> order;
  std::vector<double> told(inputs.size());
  auto ready = [&](size_t i, const Var& g) {
    order.push_back(i);
    told[i] = g.item();
  };
  std::vector<Var> g = grad(z, inputs, {.allow_unused = true, .ready = ready});
  auto at = [&](size_t i) { return std::find(order.begin(), order.end(), i) - order.begin(); };
  CHECK(order.size() == 5);
  CHECK(at(4) == 5);  // nothing came to it
  for (size_t i : {0, 1, 2, 3, 5}) CHECK(told[i] == g[i].item());
  CHECK(at(2) < at(0));  // though c is no older than a
  CHECK(at(3) < at(0));
  CHECK(at(5) == 0);
  CHECK(g[0].item() == doctest::Approx(2 * 2 * 3 * 5));
  // A tensor's gradient that two edges of one operation bring
  Var w = vector_leaf(3);
  int told_of_w = 0;
  grad(std::vector{sum(w * w)}, std::vector{w}, {.ready = [&](size_t, const Var& x) {
         ++told_of_w;
         CHECK(x.numel() == 3);
       }});
  CHECK(told_of_w == 1);
}

TEST_CASE("errors name what is wrong") {
  Var x = leaf(2, "x"), y = leaf(3, "the bias");
  CHECK_THROWS_WITH(
      grad(x * x, y),
      "[grad] input 0 'the bias' (): the outputs do not depend on it. Hint: allow_unused = true gives zeros");
  CHECK(grad(x * x, y, {.allow_unused = true}).item() == 0);
  CHECK_THROWS_AS(grad(Var(Tensor::ones({1})), x), Error);
  Var v = vector_leaf(3);
  CHECK_THROWS_AS(grad(v * v, v), Error);  // not one element, no grad_outputs
  Var z = x * x;
  CHECK(grad(z, x).item() == 4);
  CHECK_THROWS_WITH(
      grad(z, x), "[grad] the graph behind 'mul' was freed by an earlier grad(). Hint: retain_graph = true there");
  CHECK(grad(z, z).item() == 1);  // which needs nothing of what was freed
  Var bad = record("bad", Tensor::ones({3}, DType::f64),
                   {{v, [](const Var&) { return Var(Tensor::ones({2}, DType::f64)); }}});
  CHECK_THROWS_WITH(grad(sum(bad), v), "[grad] bad, argument 0: cotangent f64 (2) for leaf (3) f64");
  Var wrong_type =
      record("bad", Tensor::ones({3}, DType::f64), {{v, [](const Var&) { return Var(Tensor::ones({3})); }}});
  CHECK_THROWS_AS(grad(sum(wrong_type), v), Error);
  CHECK_THROWS_AS(Var::leaf(Tensor::arange(3)), Error);
}

TEST_CASE("a graph partly freed: an error only where the freed part is needed, and never a part of a gradient") {
  auto freed = [](const char* op) {
    return fmt::format(
        "[grad] the graph behind '{}' was freed by an earlier grad(). Hint: retain_graph = true there", op);
  };
  Var x = Var::leaf(Tensor::from(std::vector<double>{2, 3}, {2}), "x"), w = leaf(1, "w");
  Var f = x * x;
  grad(sum(f), x);
  CHECK(grad(sum(f * w), w).item() == 13);
  CHECK_THROWS_WITH(grad(sum(f * w), x), freed("mul").c_str());
  std::vector<Var> both{w, x}, through{f, x};
  CHECK_THROWS_WITH(grad(sum(f * w), both), freed("mul").c_str());
  CHECK_THROWS_WITH(grad(sum(f * w), both, {.allow_unused = true}), freed("mul").c_str());
  // x is reached by a path that is whole, too
  CHECK_THROWS_WITH(grad(sum(f * w + sin(x)), x), freed("mul").c_str());
  CHECK(grad(sum(f * w + sin(x)), w).item() == 13);
  // f itself is no more than what comes to it; x behind it is
  CHECK(grad(sum(f * w), f).value().at(0) == 1);
  CHECK_THROWS_WITH(grad(sum(f * w) + sum(sin(x)), through), freed("mul").c_str());
  // the freed part lies between: v → h (freed) → y, and u beside it
  Var v = leaf(2, "v"), u = leaf(5, "u");
  Var h = exp(v), y = h * u;
  grad(h, v);
  CHECK(grad(y, u, {.retain_graph = true}).item() == doctest::Approx(std::exp(2)));
  CHECK_THROWS_WITH(grad(y, v, {.retain_graph = true}), freed("exp").c_str());
  // operations of several results, and a first derivative whose graph was freed
  Var p = Var::leaf(Tensor::from(std::vector<double>{1, 2, 3, 4}, {4}), "p");
  std::vector<Var> halves = split(square(p), 0, 2);
  grad(sum(halves[0]), p);
  CHECK(grad(sum(halves[1] * w), w).item() == 25);
  CHECK_THROWS_AS(grad(sum(halves[1] * w), p), Error);
  Var d = grad(sum(p * p * p), p, {.create_graph = true});
  grad(sum(d), p);
  CHECK(grad(sum(d * w), w).item() == 3 * 30);
  CHECK_THROWS_AS(grad(sum(d * w), p), Error);
}

TEST_CASE("what a freed graph kept is freed, though where it led is known") {
  Var x = Var::leaf(Tensor::ones({100'000}, DType::f64));
  int64_t before = memory_stats().current_bytes;
  Var y = sum(square(sin(x) * exp(x)));
  CHECK(memory_stats().current_bytes > before + 2 * 800'000);
  grad(y, x);
  CHECK(memory_stats().current_bytes < before + 10'000);
}

TEST_CASE("retain_graph lets a graph be used again, create_graph implies it") {
  Var x = leaf(2);
  Var y = x * x * x;
  CHECK(grad(y, x, {.retain_graph = true}).item() == 12);
  CHECK(grad(y, x, {.create_graph = true}).item() == 12);
  CHECK(grad(y, x).item() == 12);
}

TEST_CASE("a chain of 300,000 nodes is walked and destroyed without recursion, also under double backward") {
  int64_t before = memory_stats().current_bytes;
  {
    Var x = leaf(1), y = x;
    for (int i = 0; i < 300'000; ++i) y = y + 1e-6;
    CHECK(y.item() == doctest::Approx(1.3));
    CHECK(grad(y, x, {.create_graph = true}).item() == 1);
    Var z = x;
    for (int i = 0; i < 100'000; ++i) z = sin(z);
    Var d = grad(z, x, {.create_graph = true});
    CHECK(std::isfinite(grad(d, x).item()));
  }
  CHECK(memory_stats().current_bytes == before);
}

TEST_CASE("value_and_grad and hvp") {
  std::vector<Var> inputs{randn({5}, {.seed = 1}, DType::f64), randn({5}, {.seed = 2}, DType::f64)};
  ScalarFunction f = [](std::span<const Var> in) { return sum(in[0] * in[0] * in[0]) + sum(in[1]); };
  auto [y, g] = value_and_grad(f, inputs);
  CHECK(y.item() == doctest::Approx(f(inputs).item()));
  std::vector<Var> v{randn({5}, {.seed = 3}, DType::f64), randn({5}, {.seed = 4}, DType::f64)};
  auto h = hvp(f, inputs, v);
  for (int i = 0; i < 5; ++i) {
    double x = inputs[0].value().at(i);
    CHECK(g[0].value().at(i) == doctest::Approx(3 * x * x));
    CHECK(g[1].value().at(i) == 1);
    CHECK(h[0].value().at(i) == doctest::Approx(6 * x * v[0].value().at(i)));
    CHECK(h[1].value().at(i) == 0);
  }
}

TEST_CASE("memory is flat over 10,000 steps of double backward") {
  Var w = Var::leaf(randn({8, 4}, {.seed = 1}));
  int64_t after_first = 0;
  for (int i = 0; i < 10'000; ++i) {
    Var x = Var::leaf(randn({16, 4}, {.seed = 2, .step = static_cast<uint64_t>(i)}));
    Var g = grad(sum(silu(linear(x, w))), x, {.create_graph = true});
    grad(sum(g * g), w);
    if (i == 10) after_first = memory_stats().reserved_bytes;
  }
  CHECK(memory_stats().reserved_bytes <= after_first);
}
