// The gradient of a loss that contains a gradient, checked by central differences.

#include <cstdio>
#include <vector>

#include "autograd/check_grads.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/random.h"
using namespace vapo;

// Of a network with one hidden layer, whose output is a potential: the mean squared distance of its gradient to −x.
Var loss_of(const Var& w, const Var& a, const Tensor& points) {
  Var x = Var::leaf(points, "x");
  Var phi = linear(silu(linear(x, w)), a);               // (8,1)
  Var flow = grad(sum(phi), x, {.create_graph = true});  // (8,2): a node of the graph like any other
  return mean(square(flow + points));
}

int main() {
  Tensor points = randn({8, 2}, {.seed = 0}, DType::f64);
  std::vector<Tensor> weights = {randn({16, 2}, {.seed = 1}, DType::f64), randn({1, 16}, {.seed = 2}, DType::f64)};
  Var w = Var::leaf(weights[0], "w"), a = Var::leaf(weights[1], "a");
  Var loss = loss_of(w, a, points);
  std::printf("loss %.6f, |dloss/dw| %.6f\n", loss.item(), norm(grad(loss, w)).item());

  // This loss's own first and second derivatives: the third and fourth of the network's parts.
  auto f = [&](std::span<const Var> v) { return std::vector{loss_of(v[0], v[1], points)}; };
  double error = check_grads(f, weights, {.order = 2});
  std::printf("relative error of its derivatives of first and second order: %s\n",
              error < 1e-6 ? "below 1e-6" : "too large");
}

// Prints:
// > loss 1.872749, |dloss/dw| 3.187740
// > relative error of its derivatives of first and second order: below 1e-6
