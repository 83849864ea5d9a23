#include "autograd/check_grads.h"

#include <algorithm>
#include <cmath>

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/random.h"

namespace vapo {
namespace {

double inner(std::span<const Var> a, std::span<const Tensor> b) {
  double s = 0;
  for (size_t i = 0; i < a.size(); ++i) s += kernel::sum(a[i].value() * b[i], {}, false).item();
  return s;
}

std::vector<Tensor> random_like(std::span<const Var> xs, RandomKey& key) {
  std::vector<Tensor> out;
  for (const Var& x : xs) {
    out.push_back(randn(x.shape(), key, DType::f64));
    ++key.step;
  }
  return out;
}

std::vector<Var> moved(std::span<const Tensor> x, std::span<const Tensor> d, double h) {
  std::vector<Var> out;
  for (size_t i = 0; i < x.size(); ++i) out.push_back(Var(x[i] + h * d[i]));
  return out;
}

double check(const VarFunction& f, std::span<const Tensor> x, int order, double h, RandomKey& key) {
  std::vector<Var> leaves;
  for (size_t i = 0; i < x.size(); ++i) leaves.push_back(Var::leaf(x[i], fmt::format("input {}", i)));
  std::vector<Var> outputs = f(leaves);
  std::vector<Tensor> u = random_like(outputs, key), d = random_like(leaves, key);
  std::vector<Var> cotangents(u.begin(), u.end());
  double exact = inner(grad(outputs, leaves, {.allow_unused = true}, cotangents), d);

  // the five-point difference: error of order h⁴
  auto along = [&](double s) { return inner(f(moved(x, d, s)), u); };
  double numeric = (8 * (along(h) - along(-h)) - (along(2 * h) - along(-2 * h))) / (12 * h);
  double worst = std::abs(exact - numeric) / std::max({1.0, std::abs(exact), std::abs(numeric)});
  if (std::isnan(worst)) return worst;
  if (order == 1) return worst;

  // the same for (x, u) ↦ vjp
  size_t n = x.size();
  VarFunction vjp = [&f, n](std::span<const Var> in) {
    EnableGradGuard on;
    std::vector<Var> at;
    for (size_t i = 0; i < n; ++i) at.push_back(in[i].requires_grad() ? in[i] : Var::leaf(in[i].value()));
    std::vector<Var> y = f(at);
    return grad(y, at, {.create_graph = true, .allow_unused = true}, in.subspan(n));
  };
  std::vector<Tensor> next(x.begin(), x.end());
  next.insert(next.end(), u.begin(), u.end());
  double deeper = check(vjp, next, order - 1, h, key);
  return std::isnan(deeper) ? deeper : std::max(worst, deeper);
}

}  // namespace

double check_grads(const VarFunction& f, std::span<const Tensor> inputs, const CheckGradsOptions& options) {
  VAPO_CHECK(options.order >= 1 && options.step > 0, "[check_grads] order {} and step {} must be positive",
             options.order, options.step);
  for (const Tensor& x : inputs)
    VAPO_CHECK(x.dtype() == DType::f64, "[check_grads] needs f64 inputs, got {} {}", name_of(x.dtype()),
               x.shape().str());
  RandomKey key{.seed = options.seed, .stream = 0xC6EC};
  return check(f, inputs, options.order, options.step, key);
}

}  // namespace vapo
