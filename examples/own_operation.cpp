// An operation of one's own: its value, its vjp in operations that have derivatives themselves, and the check that
// both are right, to third order.

#include <cstdio>
#include <vector>

#include "autograd/check_grads.h"
#include "autograd/grad.h"
#include "autograd/node.h"
#include "autograd/ops.h"
#include "tensor/random.h"
using namespace vapo;

// y = x/(1 + x²), the derivative of ½ log(1 + x²): elementwise, any shape. `right` breaks the vjp on purpose.
Var bump(const Var& x, bool right = true) {
  Var v = x.detach();  // the value alone: a kernel of one's own could stand here
  return record("bump", (v / (1 + square(v))).value(),
                {{x, [=](const Var& g) {
                    Var d = 1 + square(x);
                    return right ? g * (2 - d) / square(d) : g / square(d);  // dy/dx = (1 − x²)/(1 + x²)²
                  }}});
}

int main() {
  std::vector<Tensor> at = {randn({3, 4}, {.seed = 5}, DType::f64)};
  for (bool right : {true, false}) {
    auto f = [&](std::span<const Var> v) { return std::vector{bump(v[0], right)}; };
    double error = check_grads(f, at, {.order = 3});
    std::printf("the %s vjp: relative error %s\n", right ? "right" : "broken",
                error < 1e-6 ? "below 1e-6" : "above 1e-6");
  }
  Var x = Var::leaf(Tensor::scalar(0.5, DType::f64), "x");
  Var slope = grad(bump(x), x, {.create_graph = true}), curvature = grad(slope, x);
  std::printf("at x = 0.5: %.4f, slope %.4f, curvature %.4f\n", bump(x).item(), slope.item(), curvature.item());
}

// Prints:
// > the right vjp: relative error below 1e-6
// > the broken vjp: relative error above 1e-6
// > at x = 0.5: 0.4000, slope 0.4800, curvature -1.4080
