#include "vapo/scores.h"

#include <cmath>
#include <numbers>

#include "tensor/operators.h"

namespace vapo {

EnergyScores energy_scores(const Energy& energy, const Tensor& x) {
  return energy_scores([&](const Tensor& at) { return energy_gradient(energy, at); }, x);
}

EnergyScores energy_scores(const EnergySlope& slope, const Tensor& x) {
  EnergyGradient e = slope(x);
  Tensor squares = kernel::sum(kernel::unary<Square>(rows(e.gradient)), {1}, false);
  Tensor norms = kernel::unary<Sqrt>(squares.to(Device::cpu).to(DType::f64));
  return {e.value.to(Device::cpu).to(DType::f64), -norms};
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
  VAPO_CHECK(u.rank() >= 2 && index.dtype() == DType::i64 && index.shape() == Shape{u.dim(0)},
             "[dequantized] {} with indices {}", u.shape().str(), index.shape().str());
  Shape one = u.shape();
  one[0] = 1;
  std::vector<Tensor> noise;
  for (int64_t i : index.to_vector<int64_t>())
    noise.push_back(rand(one, {key.seed, key.stream, key.step + static_cast<uint64_t>(i)}));
  Tensor grey = u.to(Device::cpu).to(DType::f32);
  return (grey + kernel::concat(noise, 0)) / 128 - 1;
}

double bits_per_dim(double log_likelihood, int64_t dims) {
  return -log_likelihood / (static_cast<double>(dims) * std::numbers::ln2) + 7;
}

double share_outside(const Tensor& x) {
  Tensor outside = kernel::unary<Step>(kernel::unary<Abs>(x) - 1);
  return kernel::sum(outside, {}, false).item() / static_cast<double>(x.numel());
}

}  // namespace vapo
