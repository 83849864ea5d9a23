// Operations composed, and their errors; each by itself is in op_cases_test.cpp.

#include "autograd/ops.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "autograd/check_grads.h"
#include "autograd/grad.h"
#include "tensor/random.h"

using namespace vapo;
using Vars = std::span<const Var>;

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
  CHECK(check_grads(on_leaves, in, {.order = 2}) < 1e-6);
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
  CHECK(check_grads(second, in, {.order = 1}) < 1e-6);
  CHECK(check_grads(second, in, {.order = 2}) > 1e-2);
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
