// Checks, allocation and dispatch of the steps of Runge–Kutta pairs.

#include <vector>

#include "tensor/backend.h"
#include "tensor/kernels.h"

namespace vapo::kernel {
namespace {

void check(const char* op, const Tensor& y, std::span<const Tensor> ks, std::span<const double> weights,
           const RowSteps& steps) {
  VAPO_CHECK(y.defined() && y.rank() >= 1 && (y.dtype() == DType::f32 || y.dtype() == DType::f64),
             "[{}] the state is {}, expected f32 or f64 (N,…)", op,
             y.defined() ? fmt::format("{} {}", name_of(y.dtype()), y.shape().str()) : "undefined");
  VAPO_CHECK(ks.size() <= most_derivatives && ks.size() == weights.size(), "[{}] {} derivatives and {} weights", op,
             ks.size(), weights.size());
  for (const Tensor& k : ks)
    VAPO_CHECK(k.defined() && k.shape() == y.shape() && k.dtype() == y.dtype() && k.device() == y.device(),
               "[{}] a derivative is not {} {} on {} as the state is", op, name_of(y.dtype()), y.shape().str(),
               name_of(y.device()));
  const Tensor& each = steps.each;
  VAPO_CHECK(!each.defined() ||
                 (each.dtype() == DType::f64 && each.shape() == Shape{y.dim(0), 3} && each.device() == y.device()),
             "[{}] steps of each row: expected f64 ({},3) on {}", op, y.dim(0), name_of(y.device()));
}

}  // namespace

Tensor runge_kutta_step(const Tensor& y, std::span<const Tensor> ks, std::span<const double> weights,
                        const RowSteps& steps) {
  check("runge_kutta_step", y, ks, weights, steps);
  std::vector<Tensor> used;
  std::vector<double> of_used;
  for (size_t j = 0; j < ks.size(); ++j)
    if (weights[j] != 0) used.push_back(ks[j]), of_used.push_back(weights[j]);
  Tensor out = Tensor::empty(y.shape(), y.options());
  if (y.numel() > 0) VAPO_ON(y.device(), runge_kutta_step(y, used, of_used, steps, out));
  return out;
}

Tensor runge_kutta_error(const Tensor& a, const Tensor& b, std::span<const Tensor> ks,
                         std::span<const double> weights, const RowSteps& steps) {
  check("runge_kutta_error", a, ks, weights, steps);
  VAPO_CHECK(b.defined() && b.shape() == a.shape() && b.dtype() == a.dtype() && b.device() == a.device(),
             "[runge_kutta_error] the two states differ in shape, dtype or device");
  Tensor out = Tensor::zeros({steps.each.defined() ? a.dim(0) : 1, 2}, {DType::f64, a.device()});
  if (a.numel() > 0) VAPO_ON(a.device(), runge_kutta_error(a, b, ks, weights, steps, out));
  return out;
}

}  // namespace vapo::kernel
