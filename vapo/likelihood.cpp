#include "vapo/likelihood.h"

#include <cmath>
#include <numbers>

#include "autograd/grad.h"
#include "tensor/operators.h"
#include "vapo/recorded.h"

namespace vapo {
namespace {

struct Derivatives {
  Tensor gradient, laplacian;  // ∇Φ (N,…), ΔΦ (N)
};

// Σ_d e_dᵀ∇²Φ e_d without probes, the mean of vᵀ∇²Φ v over the probes v with them. One graph of ∇Φ serves all.
Derivatives derivatives(const Potential& phi, const Tensor& x, const Tensor& t, std::span<const Tensor> probes,
                        const Tensor& labels) {
  VAPO_CHECK(x.rank() >= 2, "[laplacian] x has shape {}, expected (N,D) or (N,H,W,C)", x.shape().str());
  EnableGradGuard on;
  int64_t n = x.dim(0), d = rows(x).dim(1);
  Var leaf = Var::leaf(x, "x"), ones(Tensor::ones({n}, x.options()));
  Var value = phi(leaf, t, labels);
  Var g = grad({&value, 1}, {&leaf, 1}, {.create_graph = true}, {&ones, 1})[0];

  auto hessian_times = [&](const Tensor& v) {  // rows to rows
    Var cotangent(v.reshape(x.shape()));
    return rows(
        grad({&g, 1}, {&leaf, 1}, {.retain_graph = true, .allow_unused = true}, {&cotangent, 1})[0].value());
  };
  Tensor trace = Tensor::zeros({n}, x.options());
  if (probes.empty()) {
    for (int64_t i = 0; i < d; ++i) {
      Tensor index = Tensor::full({1}, static_cast<double>(i), {DType::i64, x.device()});
      Tensor unit = kernel::index_add(ones.value().reshape({n, 1}), {n, d}, 1, index);
      trace = trace + kernel::slice(hessian_times(unit), 1, i, i + 1, 1).reshape({n});
    }
  } else {
    for (const Tensor& v : probes) trace = trace + kernel::sum(hessian_times(v) * rows(v), {1}, false);
    trace = trace / static_cast<double>(probes.size());
  }
  return {g.value(), trace};
}

// log N(x; 0, s²I) (N), f64
Tensor gaussian_log_density(const Tensor& x, double s) {
  double d = static_cast<double>(x.dim(1));
  Tensor squared = kernel::sum(kernel::unary<Square>(x), {1}, false);
  return kernel::affine(squared, -0.5 / (s * s), -0.5 * d * std::log(2 * std::numbers::pi * s * s));
}

}  // namespace

Tensor laplacian(const Potential& phi, const Tensor& x, double t, const Tensor& labels) {
  return derivatives(phi, x, Tensor::full({x.dim(0)}, t, x.options()), {}, labels).laplacian;
}

Tensor laplacian(const Potential& phi, const Tensor& x, double t, std::span<const Tensor> probes,
                 const Tensor& labels) {
  VAPO_CHECK(!probes.empty(), "[laplacian] no probes");
  return derivatives(phi, x, Tensor::full({x.dim(0)}, t, x.options()), probes, labels).laplacian;
}

// The state is [x, ℓ] (N, D+1) in f64 with dℓ/dt = ΔΦ, so ℓ(t_prior) = −∫ΔΦ and log p(x) = log q(x₀) + ℓ: one error
// control for both. The network is evaluated in the dtype of x.
LikelihoodResult log_likelihood(const Potential& phi, const Path& path, const Tensor& x, const LikelihoodOptions& o,
                                const Tensor& labels) {
  VAPO_CHECK(x.rank() >= 2, "[log_likelihood] x has shape {}, expected (N,D) or (N,H,W,C)", x.shape().str());
  int64_t n = x.dim(0), d = rows(x).dim(1);
  std::vector<Tensor> probes;
  if (o.trace == LikelihoodOptions::Trace::hutchinson) {
    if (o.probes < 1) throw InputError(fmt::format("likelihood: probes = {} must be at least 1", o.probes));
    RandomKey key = o.key;
    for (int64_t i = 0; i < o.probes; ++i, ++key.step) probes.push_back(rademacher(x.shape(), key, x.options()));
  }
  constexpr int64_t most_recorded = 32;  // products with ∇²Φ: of more the recording itself costs
  int64_t products = probes.empty() ? d : static_cast<int64_t>(probes.size());
  Tensor y = labels.defined() ? labels.to(x.device()) : labels;
  auto slopes = [&](std::span<const Tensor> in) {
    Derivatives e = derivatives(phi, in[0], in[1], probes, y);
    return std::vector{e.gradient, e.laplacian};
  };
  Recorded recorded(slopes, o.recorded && products <= most_recorded);
  Field field = [&](const Tensor& state, double t) {
    if (o.observe) o.observe(t);
    const Tensor at[] = {kernel::slice(state, 1, 0, d, 1).to(x.dtype()).reshape(x.shape()),
                         Tensor::full({n}, t, x.options())};
    std::vector<Tensor> e = recorded(at);
    Tensor parts[] = {rows(e[0]).to(DType::f64), e[1].to(DType::f64).reshape({n, 1})};
    return kernel::concat(parts, 1);
  };
  Tensor start[] = {rows(x).to(DType::f64), Tensor::zeros({n, 1}, {DType::f64, x.device()})};
  OdeOptions ode = o.ode;
  ode.field_dtype = x.dtype();
  OdeResult end = integrate(field, kernel::concat(start, 1), o.t_data, o.t_prior, ode);
  Tensor prior = gaussian_log_density(kernel::slice(end.x, 1, 0, d, 1), path.prior_scale());
  Tensor change = kernel::slice(end.x, 1, d, d + 1, 1).reshape({n});
  return {prior + change, end.nfe, end.rtol, end.atol};
}

}  // namespace vapo
