// Every differentiable operation, as tests/op_cases.h lists them: its derivatives of first, second and third order
// against differences, its adjoint, the order at which they end. What happens at NaN, ±∞ and kinks is in
// limits_test.cpp.

#include "tests/op_cases.h"

#include <doctest/doctest.h>

#include <fstream>
#include <regex>
#include <set>

#include "autograd/check_grads.h"
#include "autograd/grad.h"
#include "tensor/random.h"

using namespace vapo;

TEST_CASE("the table has every operation that autograd/ops.h declares, and no other") {
  std::ifstream header(VAPO_OPS_HEADER);
  REQUIRE(header);
  const std::regex declaration(R"(^(?:inline )?(?:Var|std::vector<Var>) ([a-z]\w*)\(.*)");
  std::set<std::string> declared, listed;
  std::smatch found;
  for (std::string line; std::getline(header, line);)
    if (std::regex_match(line, found, declaration)) declared.insert(found[1]);
  for (const OpCase& c : op_cases()) listed.insert(c.op);
  declared.erase("operator");
  for (const std::string& op : declared) {
    CAPTURE(op);
    CHECK(listed.contains(op));
  }
  for (const std::string& op : listed) {
    CAPTURE(op);
    CHECK(declared.contains(op));
  }
}

TEST_CASE("derivatives to third order against differences, where they exist; what has none is a constant") {
  for (const OpCase& c : op_cases()) {
    if (!c.traits.differences) continue;
    CAPTURE(c.name());
    if (c.traits.order == 0) {
      std::vector<Var> x;
      for (const Tensor& t : c.inputs()) x.push_back(Var::leaf(t));
      CHECK(!c.f(x).requires_grad());
      continue;
    }
    auto f = [&](Vars x) { return std::vector<Var>{c.f(x)}; };
    double worst = check_grads(f, c.inputs(), {.order = std::min(c.traits.order, 3)});
    CHECK(worst < 1e-6);
  }
}

TEST_CASE("a derivative beyond the last one throws with the operation's name") {
  int ends = 0;
  for (const OpCase& c : op_cases()) {
    if (c.traits.order == 0 || c.traits.order == any_order || c.shapes[0] != Shape{}) continue;
    ++ends;
    Var x = Var::leaf(c.inputs()[0]), y = c.f(std::vector<Var>{x});
    for (int i = 0; i < c.traits.order; ++i) y = grad(y, x, {.create_graph = true});
    std::string message =
        fmt::format("[{}] its derivative of order {} is not implemented", c.op, c.traits.order + 1);
    CHECK_THROWS_WITH(grad(y, x), message.c_str());
  }
  CHECK(ends == 5);
}

TEST_CASE("adjoint pairs: the inner product of Ax and y is that of x and its adjoint of y") {
  auto inner = [](const Var& a, const Var& b) { return sum(mul(a, b)).item(); };
  for (const OpCase& c : op_cases()) {
    if (!c.traits.linear) continue;
    CAPTURE(c.name());
    std::vector<Var> x;
    for (const Tensor& t : c.inputs()) x.push_back(t);
    x[0] = Var::leaf(x[0].value());
    Var ax = c.f(x), y = randn(ax.shape(), {.seed = 3}, DType::f64);
    Var adjoint = grad(std::span(&ax, 1), std::span(&x[0], 1), {}, std::span(&y, 1))[0];
    CHECK(inner(ax, y) == doctest::Approx(inner(x[0], adjoint)).epsilon(1e-12));
  }
}
