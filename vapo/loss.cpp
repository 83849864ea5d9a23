// E is the mean over the batch, mean_d over batch and dimensions (all but the first: images are rows here, and have
// their shape only inside the network); w(t) is the weight of a particle's time.

#include "vapo/loss.h"

#include <cmath>

#include "autograd/grad.h"

namespace vapo {
namespace {

// −2 E[w ∇Φ·v]
Var inner_product_term(const Var& dphi, const Var& v, const Var& w) {
  Var c = (-2 / static_cast<double>(v.dim(0))) * v;
  return sum(dphi * (w.defined() ? c * w : c));
}

// E[w ‖∇Φ‖²]
Var dirichlet_term(const Var& dphi, const Var& w) {
  double n = static_cast<double>(dphi.dim(0));
  if (!w.defined()) return sum(square(dphi)) / n;
  return sum(square(dphi) * (w / n));
}

// Cov[Φ, γ] = E[w Φ (γ − γ̄)]
Var covariance_term(const Var& phi, const Var& innovation, const Var& w) {
  Var c = innovation / static_cast<double>(phi.dim(0));
  return sum(phi * (w.defined() ? c * reshape(w, phi.shape()) : c));
}

// w = (2σ/g²)² = (μ/(σμ' − μσ'))², which is bounded: σμ' − μσ' > 0 at every t
Var preconditioned_weight(const PathFactors& p) { return square(p.mu / (p.sigma * p.dmu - p.mu * p.dsigma)); }

Var sample_deviation(const Tensor& x) {  // divisor N − 1
  Var all(x);
  return sqrt(sum(square(all - mean(all))) / static_cast<double>(x.numel() - 1));
}

// Γ = −σ mean_d(ε v) − its batch mean, which on the linear path is (1 − t) mean_d(ε² − x̄ε) − batch mean
Tensor published_innovation(const PathFactors& p, const Tensor& eps, const Tensor& v) {
  Var raw = mean(eps * v, {1}) * reshape(p.sigma, {eps.dim(0)});
  return (mean(raw) - raw).value();
}

// mean(Γ Φ) / (std Γ · std Φ), the deviations without gradient
Var correlation_term(const Var& phi, const Tensor& gamma) {
  Var scale = sample_deviation(gamma) * sample_deviation(phi.value()) + 1e-8;
  return mean(phi * gamma) / scale;
}

// mean(Γ Φ)
Var published_covariance_term(const Var& phi, const Tensor& gamma) {
  return sum(phi * (gamma / static_cast<double>(phi.numel())));
}

// mean_d[ −∇Φ v / (‖∇Φ‖‖v‖)^t ]
Var cosine_term(const Var& dphi, const Tensor& v, const Tensor& t) {
  Var log_norms = log(norm(dphi, {1}) * norm(v, {1}) + 1e-8);
  Var products = sum(dphi * (v / -static_cast<double>(v.numel())), {1});
  return sum(products * exp(log_norms * -t));
}

// mean_d[ −∇Φ v ]
Var dot_term(const Var& dphi, const Tensor& v) { return sum(dphi * (v / -static_cast<double>(v.numel()))); }

// ½ mean_d (∇Φ − v)²: dot and ½ dirichlet in one, up to a constant
Var dist_term(const Var& dphi, const Tensor& v) { return 0.5 * mean(square(dphi - v)); }

// mean (∂Φ/∂t)²
Var time_term(const Var& dphi_dt) { return mean(square(dphi_dt)); }

LossBatch with_antithetic_pairs(const LossBatch& b) {
  auto twice = [](const Tensor& x) { return x.defined() ? kernel::concat(std::vector{x, x}, 0) : x; };
  return {twice(b.data), twice(b.t), kernel::concat(std::vector{b.eps, kernel::affine(b.eps, -1, 0)}, 0),
          twice(b.labels), b.dropout};
}

void check_batch(const LossBatch& b, const LossOptions& o) {
  VAPO_CHECK(b.data.rank() >= 2 && b.data.dim(0) > 0,
             "[vapo_loss] data has shape {}, expected (N,D) or (N,H,W,C) with N > 0", b.data.shape().str());
  VAPO_CHECK(b.eps.shape() == b.data.shape(), "[vapo_loss] eps has shape {}, data {}", b.eps.shape().str(),
             b.data.shape().str());
  VAPO_CHECK(b.t.shape() == Shape{b.data.dim(0)}, "[vapo_loss] t has shape {}, expected ({})", b.t.shape().str(),
             b.data.dim(0));
  if (o.estimator != LossOptions::Estimator::published) return;
  if (o.weight != LossOptions::Weight::one)
    throw InputError("loss: the published estimator has its own time weights. Hint: weight = one");
  VAPO_CHECK(b.data.dim(0) > 1,
             "[vapo_loss] the published loss needs a batch of two or more: it divides by a deviation");
}

// The published training loss.
LossTerms published_loss(const Var& phi, const Var& dphi, const Var& dphi_dt, const PathFactors& p, const Tensor& v,
                         const LossBatch& b, const LossOptions& o) {
  Tensor gamma = published_innovation(p, b.eps, v);
  LossTerms out;
  auto term = [&](const char* name, double weight, const Var& value) {
    out.terms.emplace_back(name, weight * value);
  };
  if (o.first == LossOptions::FirstTerm::correlation)
    term("correlation", o.first_weight, correlation_term(phi, gamma));
  else
    term("covariance", o.first_weight, published_covariance_term(phi, gamma));
  switch (o.second) {
    case LossOptions::SecondTerm::cosine:
      term("cosine", o.second_weight, cosine_term(dphi, v, b.t));
      break;
    case LossOptions::SecondTerm::dot:
      term("dot", o.second_weight, dot_term(dphi, v));
      break;
    case LossOptions::SecondTerm::dist:
      term("dist", o.second_weight, dist_term(dphi, v));
      break;
  }
  term("dirichlet", o.dirichlet_weight, mean(square(dphi)));
  term("time", o.time_weight, dphi_dt.defined() ? time_term(dphi_dt) : Var(Tensor::scalar(0, phi.options())));
  return out;
}

}  // namespace

Tensor innovation(const PathFactors& p, const Tensor& images, const Tensor& noise) {
  Tensor data = rows(images), eps = rows(noise);
  // With v = μ'x̄ + σ'ε this is −(2/σ)(ε·v − σ'D).
  double d = static_cast<double>(data.dim(1));
  Var centred = sum(eps * (p.dmu * data + p.dsigma * eps), {1}, true) - p.dsigma * d;
  return reshape(-2 * centred / p.sigma, {data.dim(0)}).value();
}

LossTerms vapo_loss(const Potential& phi, const Path& path, const LossBatch& batch, const LossOptions& o) {
  using Estimator = LossOptions::Estimator;
  check_batch(batch, o);
  LossBatch b = o.antithetic ? with_antithetic_pairs(batch) : batch;
  Shape shape = b.data.shape();
  b.data = rows(b.data), b.eps = rows(b.eps);
  EnableGradGuard on;

  PathFactors p = path_factors(path, b.t);
  Tensor v = (p.dmu * b.data + p.dsigma * b.eps).value();                            // v = μ'x̄ + σ'ε
  Var x = Var::leaf((p.mu * b.data + p.sigma * b.eps).value().reshape(shape), "x");  // x = μx̄ + σε
  bool wants_time = o.estimator == Estimator::published && o.time_weight != 0 && !phi.autonomous();
  Var t = wants_time ? Var::leaf(b.t, "t") : Var(b.t);

  Var value = b.dropout ? phi.with_dropout(x, t, b.labels, *b.dropout) : phi(x, t, b.labels),
      ones(Tensor::ones(value.shape(), value.options()));
  Var inputs[] = {x, t};
  std::vector<Var> derivative = grad({&value, 1}, std::span(inputs, wants_time ? 2 : 1),
                                     {.create_graph = true, .allow_unused = wants_time}, {&ones, 1});
  Var dphi = rows(derivative[0]);

  LossTerms out;
  if (o.estimator == Estimator::published) {
    out = published_loss(value, dphi, wants_time ? derivative[1] : Var(), p, v, b, o);
  } else {
    Var w = o.weight == LossOptions::Weight::preconditioned ? preconditioned_weight(p) : Var();
    if (o.estimator == Estimator::covariance)
      out.terms.emplace_back("covariance", covariance_term(value, innovation(p, b.data, b.eps), w));
    else
      out.terms.emplace_back("inner_product", inner_product_term(dphi, v, w));
    out.terms.emplace_back("dirichlet", dirichlet_term(dphi, w));
  }
  out.total = out.terms[0].second;
  for (size_t i = 1; i < out.terms.size(); ++i) out.total = out.total + out.terms[i].second;
  return out;
}

}  // namespace vapo
