#pragma once
// A table of operations, each at inputs of some shapes: what every differentiable operation is held to.

#include <doctest/doctest.h>

#include <span>
#include <string>
#include <vector>

#include "autograd/check_grads.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/random.h"

namespace vapo {

inline constexpr double tolerance = 1e-6;
using Vars = std::span<const Var>;

// An operation at inputs of these shapes. `low` and `high` bound the inputs where the op has a domain or a kink;
// they are standard normal otherwise.
struct Row {
  std::string name;
  std::function<Var(Vars)> f;
  std::vector<Shape> shapes;
  double low = 0, high = 0;
  int order = 3;
};

inline std::vector<Tensor> inputs_of(const Row& row) {
  std::vector<Tensor> out;
  for (size_t i = 0; i < row.shapes.size(); ++i) {
    RandomKey key{.seed = 77, .step = i};
    out.push_back(row.low < row.high ? rand(row.shapes[i], key, row.low, row.high, DType::f64)
                                     : randn(row.shapes[i], key, DType::f64));
  }
  return out;
}

inline void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    std::string shapes;
    for (const Shape& s : row.shapes) shapes += s.str();
    CAPTURE(row.name);
    CAPTURE(shapes);
    auto f = [&](Vars x) { return std::vector<Var>{row.f(x)}; };
    double worst = check_grads(f, inputs_of(row), {.order = row.order});
    CHECK(worst < tolerance);
  }
}

inline double inner(const Var& a, const Var& b) { return sum(mul(a, b)).item(); }

// Of an operation that is linear in its first input: ⟨Ax, y⟩ = ⟨x, Aᵀy⟩.
inline void check_adjoint(const Row& row) {
  CAPTURE(row.name);
  std::vector<Var> x;
  for (const Tensor& t : inputs_of(row)) x.push_back(t);
  x[0] = Var::leaf(x[0].value());
  Var ax = row.f(x), y = randn(ax.shape(), {.seed = 3}, DType::f64);
  Var adjoint = grad(std::span(&ax, 1), std::span(&x[0], 1), {}, std::span(&y, 1))[0];
  CHECK(inner(ax, y) == doctest::Approx(inner(x[0], adjoint)).epsilon(1e-12));
}

}  // namespace vapo
