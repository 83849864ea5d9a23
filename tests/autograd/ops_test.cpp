// Every differentiable operation: its derivatives of first, second and (where the rules allow) third order against
// differences, its adjoint, its errors. What happens at NaN, ±∞ and kinks is in limits_test.cpp.

#include "autograd/ops.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "autograd/grad.h"
#include "rows.h"
#include "tensor/random.h"

using namespace vapo;

namespace {

std::vector<Row> unary_rows() {
  std::vector<Row> rows;
  auto add = [&](const char* name, Var (*f)(const Var&), double low = 0, double high = 0) {
    for (Shape s : {Shape{}, Shape{1}, Shape{3, 5}, Shape{2, 1, 4}, Shape{0, 3}})
      rows.push_back({name, [f](Vars x) { return f(x[0]); }, {s}, low, high});
  };
  add("neg", neg);
  add("exp", exp);
  add("expm1", expm1);
  add("log", log, 0.5, 2);
  add("log1p", log1p, -0.5, 2);
  add("sqrt", sqrt, 0.5, 2);
  add("rsqrt", rsqrt, 0.5, 2);
  add("square", square);
  add("sin", sin);
  add("cos", cos);
  add("abs", abs, 0.1, 2);
  add("abs", abs, -2, -0.1);
  add("relu", relu, 0.1, 2);
  add("relu", relu, -2, -0.1);
  add(
      "clamp within", +[](const Var& x) { return clamp(x, -2, 2); }, -1.9, 1.9);
  add(
      "clamp without", +[](const Var& x) { return clamp(x, -2, 2); }, 2.1, 3);
  add(
      "clamp from below", +[](const Var& x) { return clamp(x, 0.05); });
  add(
      "clamp from above", +[](const Var& x) { return clamp(x, {}, 0.05); });
  add("tanh", tanh);
  add("sigmoid", sigmoid);
  add("silu", silu);
  add("gelu", gelu);
  add("softplus", softplus);
  add(
      "affine", +[](const Var& x) { return affine(x, -1.5, 0.25); });
  add(
      "pow 3", +[](const Var& x) { return pow(x, 3); });
  add(
      "pow 0", +[](const Var& x) { return pow(x, 0); });
  add(
      "pow -1.5", +[](const Var& x) { return pow(x, -1.5); }, 0.5, 2);
  add(
      "leaky_relu", +[](const Var& x) { return leaky_relu(x, 0.2); }, 0.1, 2);
  add(
      "leaky_relu", +[](const Var& x) { return leaky_relu(x, 0.2); }, -2, -0.1);
  return rows;
}

std::vector<Row> binary_rows() {
  std::vector<Row> rows;
  const std::vector<std::vector<Shape>> pairs = {
      {{3, 4}, {3, 4}}, {{3, 4}, {4}}, {{4}, {3, 4}}, {{3, 1}, {1, 4}}, {{2, 1, 3}, {5, 1}},
      {{}, {2, 2}},     {{2, 2}, {}},  {{}, {}},      {{0, 4}, {4}},    {{1}, {1, 1, 1}}};
  auto add_all = [&](const char* name, Var (*f)(const Var&, const Var&), double low = 0, double high = 0) {
    for (const auto& p : pairs) rows.push_back({name, [f](Vars x) { return f(x[0], x[1]); }, p, low, high});
  };
  add_all("add", add);
  add_all("sub", sub);
  add_all("mul", mul);
  add_all("div", div, 0.5, 2);
  // normal numbers of these seeds stay further apart than the difference reaches
  add_all("maximum", maximum);
  add_all("minimum", minimum);
  add_all(
      "where", +[](const Var& a, const Var& b) {
        return where(lt(Var(randn({2}, {.seed = 9}, DType::f64).reshape({2, 1, 1})), Tensor::scalar(0, DType::f64)),
                     a, b);
      });
  return rows;
}

std::vector<Row> reduction_rows() {
  std::vector<Row> rows;
  const std::vector<std::pair<Shape, Dims>> places = {{{2, 3, 4}, {}},     {{2, 3, 4}, {1}}, {{2, 3, 4}, {0, -1}},
                                                      {{2, 3, 4}, {0, 1}}, {{5}, {0}},       {{}, {}},
                                                      {{3, 1, 2}, {1}},    {{0, 3}, {1}}};
  auto add = [&](const char* name, Var (*f)(const Var&, const Dims&, bool)) {
    for (const auto& [shape, dims] : places)
      for (bool keepdim : {false, true}) {
        if (shape == Shape{0, 3} && name == std::string("mean")) continue;
        rows.push_back({name, [f, dims = dims, keepdim](Vars x) { return f(x[0], dims, keepdim); }, {shape}});
      }
  };
  add("sum", sum);
  add("mean", mean);
  add("amax", amax);
  add("logsumexp", logsumexp);
  add("norm", norm);
  for (const auto& [shape, dims] : places)
    for (double correction : {0.0, 1.0, 0.5})
      if (shape != Shape{} && shape != Shape{3, 1, 2})
        rows.push_back({"var", [=, dims = dims](Vars x) { return var(x[0], dims, correction, true); }, {shape}});
  for (Shape s : {Shape{7}, Shape{2, 3, 4}, Shape{3, 1, 2}, Shape{1, 70, 2}, Shape{0, 3}, Shape{3, 0, 2}})
    for (int dim = -1; dim < s.rank(); ++dim)
      for (bool reverse : {false, true})
        rows.push_back({"cumsum", [=](Vars x) { return cumsum(x[0], dim, reverse); }, {s}});
  for (const auto& [shape, dims] : places)
    rows.push_back({"softmax", [dims = dims](Vars x) { return softmax(x[0], dims); }, {shape}});
  for (auto [from, to] : {std::pair(Shape{}, Shape{2, 3}), std::pair(Shape{3, 1}, Shape{2, 3, 4}),
                          std::pair(Shape{4}, Shape{4}), std::pair(Shape{1}, Shape{0})}) {
    rows.push_back({"broadcast_to", [to = to](Vars x) { return broadcast_to(x[0], to); }, {from}});
    rows.push_back({"sum_to", [from = from](Vars x) { return sum_to(x[0], from); }, {to}});
  }
  return rows;
}

std::vector<Row> matmul_rows() {
  std::vector<Row> rows;
  for (bool ta : {false, true})
    for (bool tb : {false, true})
      for (auto [batch_a, batch_b] :
           {std::pair(Shape{}, Shape{}), std::pair(Shape{2}, Shape{2}), std::pair(Shape{2}, Shape{}),
            std::pair(Shape{}, Shape{3}), std::pair(Shape{2, 1}, Shape{1, 3}), std::pair(Shape{0}, Shape{})}) {
        Shape a = batch_a, b = batch_b;
        for (int64_t d : {ta ? 4 : 3, ta ? 3 : 4}) a.push_back(d);
        for (int64_t d : {tb ? 5 : 4, tb ? 4 : 5}) b.push_back(d);
        rows.push_back({"matmul",
                        [ta, tb](Vars x) { return matmul(x[0], x[1], {.transpose_a = ta, .transpose_b = tb}); },
                        {a, b}});
      }
  rows.push_back({"matmul, inner size 1", [](Vars x) { return matmul(x[0], x[1]); }, {{3, 1}, {1, 2}}});
  auto with_bias = [](Vars x) { return linear(x[0], x[1], x[2]); };
  for (Shape x : {Shape{4}, Shape{3, 4}, Shape{2, 3, 4}, Shape{0, 4}}) {
    rows.push_back({"linear", with_bias, {x, {5, 4}, {5}}});
    rows.push_back({"linear without bias", [](Vars v) { return linear(v[0], v[1]); }, {x, {1, 4}}});
  }
  return rows;
}

std::vector<Row> move_rows() {
  Tensor index = Tensor::from(std::vector<int64_t>{2, 0, 2, 1}, {4}),
         none = Tensor::from(std::vector<int64_t>{}, {0});
  Tensor classes = Tensor::from(std::vector<int64_t>{1, 1, 0, 4, 2, 1}, {2, 3});
  return {
      {"reshape",
       [](Vars x) {
         return reshape(x[0], {4, -1});
       },
       {{2, 6}}},
      {"reshape to rank 0", [](Vars x) { return reshape(x[0], {}); }, {{1, 1}}},
      {"permute",
       [](Vars x) {
         return permute(x[0], {2, 0, 1});
       },
       {{2, 3, 4}}},
      {"permute", [](Vars x) { return permute(x[0], {}); }, {{}}},
      {"concat", [](Vars x) { return concat(x, 1); }, {{2, 3}, {2, 1}, {2, 0}, {2, 4}}},
      {"concat", [](Vars x) { return concat(x, -2); }, {{1, 3}, {4, 3}}},
      {"split", [](Vars x) { return split(x[0], 1, 3)[1]; }, {{2, 6, 2}}},
      {"split, all pieces used",
       [](Vars x) {
         auto y = split(x[0], -1, 2);
         return concat({y[1], y[0]}, 0);
       },
       {{2, 4}}},
      {"concat of one twice",
       [](Vars x) {
         return concat({x[0], x[0]}, 0);
       },
       {{2, 3}}},
      {"slice", [](Vars x) { return slice(x[0], 1, {.start = 1, .stop = 6, .step = 2}); }, {{2, 7}}},
      {"slice from behind", [](Vars x) { return slice(x[0], -1, {.start = -3}); }, {{2, 7}}},
      {"slice of nothing", [](Vars x) { return slice(x[0], 0, {.start = 2, .stop = 2}); }, {{4, 2}}},
      {"index_select", [=](Vars x) { return index_select(x[0], 1, index); }, {{2, 3, 2}}},
      {"index_select of nothing", [=](Vars x) { return index_select(x[0], 0, none); }, {{3, 2}}},
      {"embedding", [=](Vars x) { return embedding(x[0], classes); }, {{5, 3}}},
  };
}

}  // namespace

TEST_CASE("unary operations: derivatives to third order") { check_rows(unary_rows()); }
TEST_CASE("binary operations, broadcast on either side: derivatives to third order") { check_rows(binary_rows()); }
TEST_CASE("reductions: derivatives to third order") { check_rows(reduction_rows()); }
TEST_CASE("matrix products with every flag and batch: derivatives to third order") { check_rows(matmul_rows()); }
TEST_CASE("moving elements: derivatives to third order") { check_rows(move_rows()); }

TEST_CASE("a network's ∇ₓ in its loss: derivatives to third order through one composition") {
  auto f = [](Vars v) {
    Var h = silu(linear(v[0], v[1], v[2]));
    Var phi = sum(linear(tanh(h), v[3]));
    Var dx = grad(phi, v[0], {.create_graph = true});
    return std::vector<Var>{sum(square(dx)) + mean(mul(dx, v[0])), phi};
  };
  std::vector<Tensor> in{randn({4, 3}, {.seed = 1}, DType::f64), randn({6, 3}, {.seed = 2}, DType::f64),
                         randn({6}, {.seed = 3}, DType::f64), randn({1, 6}, {.seed = 4}, DType::f64)};
  // f itself differentiates once; inputs that f takes as constants have no graph of their own
  auto on_leaves = [&f](Vars v) {
    EnableGradGuard on;
    std::vector<Var> at;
    for (const Var& x : v) at.push_back(x.requires_grad() ? x : Var::leaf(x.value()));
    return f(at);
  };
  CHECK(check_grads(on_leaves, in, {.order = 2}) < tolerance);
}

TEST_CASE("check_grads sees a wrong rule at the order where it is wrong") {
  auto first = [](Vars v) {
    Var x = v[0];
    return std::vector<Var>{
        record("wrong", sin(x.detach()).value(), {{x, [x](const Var& g) { return 1.001 * g * cos(x); }}})};
  };
  auto second = [](Vars v) {
    Var x = v[0];
    return std::vector<Var>{
        record("wrong", sin(x.detach()).value(), {{x, [x](const Var& g) { return g * cos(x.detach()); }}})};
  };
  std::vector<Tensor> in{randn({4}, {.seed = 5}, DType::f64)};
  CHECK(check_grads(first, in, {.order = 1}) > 1e-5);
  CHECK(check_grads(second, in, {.order = 1}) < tolerance);
  CHECK(check_grads(second, in, {.order = 2}) > 1e-2);
}

TEST_CASE("a derivative that is not implemented throws with the operation's name") {
  using Function = Var (*)(const Var&);
  for (auto [name, f] : {std::pair<std::string, Function>("silu", silu),
                         {"tanh", tanh},
                         {"sigmoid", sigmoid},
                         {"gelu", gelu},
                         {"softplus", softplus}}) {
    Var x = Var::leaf(Tensor::scalar(0.3, DType::f64)), y = f(x);
    for (int i = 0; i < 3; ++i) y = grad(y, x, {.create_graph = true});
    std::string message = "[" + name + "] its derivative of order 4 is not implemented";
    CHECK_THROWS_WITH(grad(y, x), message.c_str());
  }
}

TEST_CASE("adjoint pairs: the inner product of Ax and y is that of x and its adjoint of y") {
  for (const std::vector<Row>& rows : {move_rows(), reduction_rows()})
    for (const Row& row : rows) {
      bool is_linear = row.name != "amax" && row.name != "logsumexp" && row.name != "norm" &&
                       row.name != "softmax" && row.name != "var";
      if (!is_linear || row.shapes.size() != 1) continue;
      check_adjoint(row);
    }
}

TEST_CASE("errors name the operation and the shapes") {
  Var a = Tensor::ones({2, 3}), b = Tensor::ones({4}), d = Tensor::ones({3}, DType::f64);
  auto contains = [](auto&&... parts) { return doctest::Contains(parts...); };
  CHECK_THROWS_WITH_AS(add(a, b), contains("[add]"), Error);
  CHECK_THROWS_WITH_AS(mul(a, b), contains("(2,3)"), Error);
  CHECK_THROWS_WITH_AS(add(a, d), contains("Hint: convert one with to()"), Error);
  CHECK_THROWS_WITH_AS(matmul(a, a), contains("inner sizes 3 and 2 differ"), Error);
  CHECK_THROWS_WITH_AS(linear(a, Tensor::ones({5, 4})), contains("[linear] input (2,3)"), Error);
  CHECK_THROWS_WITH_AS(sum(a, {2}), contains("dimension 2 does not exist in shape (2,3)"), Error);
  CHECK_THROWS_WITH_AS(sum(a, {0, -2}), contains("[sum]"), Error);
  CHECK_THROWS_WITH_AS(amax(Tensor::ones({0})), contains("of no elements"), Error);
  CHECK_THROWS_WITH_AS(cumsum(a, 2), contains("[cumsum] dimension 2 does not exist in shape (2,3)"), Error);
  CHECK_THROWS_WITH_AS(reshape(a, {4, 2}), contains("(4,2)"), Error);
  CHECK_THROWS_WITH_AS(permute(a, {0, 0}), contains("given twice"), Error);
  CHECK_THROWS_WITH_AS(concat({a, b}, 0), contains("[concat]"), Error);
  CHECK_THROWS_WITH_AS(slice(a, 0, {.step = -1}), contains("[slice]"), Error);
  CHECK_THROWS_WITH_AS(pad2d(b, {.left = 1}), contains("[pad2d]"), Error);
  CHECK_THROWS_WITH_AS(embedding(a, Tensor::from(std::vector<int64_t>{2}, {1})),
                       contains("index 2 is outside [0, 2)"), Error);
  CHECK_THROWS_AS(broadcast_to(a, {2, 4}), Error);
  CHECK_THROWS_AS(exp(Tensor::arange(3)), Error);
}
