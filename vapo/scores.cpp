#include "vapo/scores.h"

#include <cmath>
#include <numbers>

#include "tensor/operators.h"

namespace vapo {

namespace {

Tensor in_f64(const Tensor& x) { return x.to(Device::cpu).to(DType::f64); }

// f(row shape, key of the row), one row after the other.
template <class F>
Tensor drawn_by_row(const Tensor& x, RandomKey key, const Tensor& index, const char* what, const F& f) {
  VAPO_CHECK(x.rank() >= 2 && index.dtype() == DType::i64 && index.shape() == Shape{x.dim(0)},
             "[{}] {} with indices {}", what, x.shape().str(), index.shape().str());
  Shape one = x.shape();
  one[0] = 1;
  std::vector<Tensor> drawn;
  for (int64_t i : index.to_vector<int64_t>())
    drawn.push_back(f(one, RandomKey{key.seed, key.stream, key.step + static_cast<uint64_t>(i)}));
  return kernel::concat(drawn, 0);
}

EnergyScores scores_of(const EnergyGradient& e) {
  Tensor squares = in_f64(kernel::sum(kernel::unary<Square>(rows(e.gradient)), {1}, false));
  return {in_f64(e.value), -kernel::unary<Sqrt>(squares), e.curvature.defined() ? in_f64(e.curvature) : Tensor()};
}

}  // namespace

EnergyScores energy_scores(const Energy& energy, const Tensor& x, const Tensor& v) {
  return scores_of(energy_gradient(energy, x, v));
}

EnergyScores energy_scores(const EnergySlope& slope, const Tensor& x) { return scores_of(slope(x)); }

EnergyScores energy_scores(const EnergyCurvature& curvature, const Tensor& x, const Tensor& v) {
  return scores_of(curvature(x, v));
}

Tensor probes(const Tensor& x, RandomKey key, const Tensor& index) {
  return drawn_by_row(x, key, index, "probes", [](const Shape& row, RandomKey of) { return rademacher(row, of); })
      .to(x.dtype())
      .to(x.device());
}

Energy blurred_data_energy(const Potential& phi, const Path& path, double t) {
  double mu = path.at(t).mu;
  return [energy = marginal_energy(phi, path, t), mu](const Var& x) { return energy(mu == 1 ? x : mu * x); };
}

Tensor typicality(const Tensor& scores, double mean) { return -kernel::unary<Abs>(scores.to(DType::f64) - mean); }

Tensor neighbour_means(const Tensor& x) {
  VAPO_CHECK(x.rank() >= 1 && x.dim(0) >= 2, "[neighbour_means] {}: at least 2 are needed", x.shape().str());
  int64_t n = x.dim(0);
  return 0.5 * (kernel::slice(x, 0, 0, n - 1, 1) + kernel::slice(x, 0, 1, n, 1));
}

Tensor dequantized(const Tensor& u, RandomKey key, const Tensor& index) {
  Tensor noise =
      drawn_by_row(u, key, index, "dequantized", [](const Shape& row, RandomKey of) { return rand(row, of); });
  return (u.to(Device::cpu).to(DType::f32) + noise) / 128 - 1;
}

double bits_per_dim(double log_likelihood, int64_t dims) {
  return -log_likelihood / (static_cast<double>(dims) * std::numbers::ln2) + 7;
}

double share_outside(const Tensor& x) {
  Tensor outside = kernel::unary<Step>(kernel::unary<Abs>(x) - 1);
  return kernel::sum(outside, {}, false).item() / static_cast<double>(x.numel());
}

}  // namespace vapo
