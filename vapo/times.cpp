#include "vapo/times.h"

#include <cmath>
#include <numbers>

#include "autograd/ops.h"

namespace vapo {
namespace {

constexpr double kEdge = 0x1p-24;  // of τ: 1 − kEdge is the last f32 below 1

// 1/p(τ), p = u + (1 − u)·N(logit τ; m, s²)/(τ(1 − τ))
Var inverse_density(const Times& times, const Var& tau) {
  Var z = (log(tau) - log1p(-tau) - times.mean) / times.deviation;
  Var normal = exp(-0.5 * square(z)) / (tau * (1 - tau));
  double scale = (1 - times.uniform_share) / (times.deviation * std::sqrt(2 * std::numbers::pi));
  return Var(Tensor::ones(tau.shape(), tau.options())) / affine(normal, scale, times.uniform_share);
}

}  // namespace

DrawnTimes draw_times(const Times& times, int64_t n, RandomKey key, double t_min, double t_max, TensorOptions o) {
  if (times.kind == Times::Kind::uniform) return {rand({n}, key, t_min, t_max, o)};
  NoGradGuard off;
  int64_t beyond = (n + 3) / 4 * 4;  // the blocks of the n uniform numbers
  Var tau = sigmoid(affine(randn({n}, key, o, beyond), times.deviation, times.mean));
  if (double u = times.uniform_share; u > 0) {  // what is below u is uniform in [0, u)
    Var below(rand({n}, key, 0, 1, o));
    tau = where(lt(below, Var(Tensor::full({n}, u, o))), below / u, tau);
  }
  tau = clamp(tau, kEdge, 1 - kEdge);
  double last = std::nextafter(static_cast<float>(t_max), 0.f);  // where rounding would reach t_max
  DrawnTimes out{clamp(affine(tau, t_max - t_min, t_min), {}, last).value()};
  if (times.unbiased) out.weights = inverse_density(times, tau).value();
  return out;
}

}  // namespace vapo
