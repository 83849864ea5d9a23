// E is the mean over the batch, mean_d over batch and dimensions (all but the first: images are rows here, and have
// their shape only inside the network); w(t) is the weight of a particle's time.

#include "vapo/loss.h"

#include <cmath>

#include "autograd/grad.h"
#include "tensor/parallel.h"

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

// w(t) (N,1), or undefined: 1
Var weights_of(const PathFactors& p, const LossBatch& b, const LossOptions& o) {
  Var of_time = o.weight == LossOptions::Weight::preconditioned ? preconditioned_weight(p) : Var();
  if (!b.weights.defined()) return of_time;
  Var given = b.weights.reshape({b.weights.dim(0), 1});
  return of_time.defined() ? of_time * given : given;
}

Var sample_deviation(const Tensor& x) {  // divisor N − 1
  Var all(x);
  return sqrt(sum(square(all - mean(all))) / static_cast<double>(x.numel() - 1));
}

// Γ before its batch mean is taken off: −σ mean_d(ε v), which on the linear path is (1 − t) mean_d(ε² − x̄ε)
Var uncentred_innovation(const PathFactors& p, const Tensor& eps, const Tensor& v) {
  return -(mean(eps * v, {1}) * reshape(p.sigma, {eps.dim(0)}));
}

// Of the whole batch, where what is at hand is a part of it.
struct WholeBatch {
  Tensor gamma_mean, deviations;  // E Γ before centring, std Γ · std Φ; scalars, without gradient
};

// mean(Γ Φ) / (std Γ · std Φ), the deviations without gradient
Var correlation_term(const Var& phi, const Tensor& gamma, const Tensor& deviations) {
  Var product = deviations.defined() ? Var(deviations.to(phi.dtype()))
                                     : sample_deviation(gamma) * sample_deviation(phi.value());
  return mean(phi * gamma) / (product + 1e-8);
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
  return {twice(b.data),   twice(b.t), kernel::concat(std::vector{b.eps, -b.eps}, 0),
          twice(b.labels), b.dropout,  twice(b.weights)};
}

void check_batch(const LossBatch& b, const LossOptions& o) {
  VAPO_CHECK(b.data.rank() >= 2 && b.data.dim(0) > 0,
             "[vapo_loss] data has shape {}, expected (N,D) or (N,H,W,C) with N > 0", b.data.shape().str());
  VAPO_CHECK(b.eps.shape() == b.data.shape(), "[vapo_loss] eps has shape {}, data {}", b.eps.shape().str(),
             b.data.shape().str());
  VAPO_CHECK(b.t.shape() == Shape{b.data.dim(0)}, "[vapo_loss] t has shape {}, expected ({})", b.t.shape().str(),
             b.data.dim(0));
  VAPO_CHECK(!b.weights.defined() || b.weights.shape() == b.t.shape(),
             "[vapo_loss] weights have shape {}, expected ({})", b.weights.shape().str(), b.data.dim(0));
  if (o.estimator != LossOptions::Estimator::published) return;
  if (o.weight != LossOptions::Weight::one)
    throw InputError("loss: the published estimator has its own time weights. Hint: weight = one");
  if (b.weights.defined())
    throw InputError("loss: the published estimator divides by deviations over its batch: no weights of particles");
  VAPO_CHECK(b.data.dim(0) > 1,
             "[vapo_loss] the published loss needs a batch of two or more: it divides by a deviation");
}

Particles particles_of(const Path& path, const LossBatch& batch) {
  return vapo::particles_of(path, batch.data, batch.eps, batch.t);
}

// The published training loss.
LossTerms published_loss(const Var& phi, const Var& dphi, const Var& dphi_dt, const Particles& at,
                         const LossBatch& b, const LossOptions& o, const WholeBatch& whole) {
  const Tensor& v = at.v;
  Var raw = uncentred_innovation(at.path, rows(b.eps), v);
  Tensor gamma = (raw - (whole.gamma_mean.defined() ? Var(whole.gamma_mean.to(raw.dtype())) : mean(raw))).value();
  LossTerms out;
  auto term = [&](const char* name, double weight, const Var& value) {
    out.terms.emplace_back(name, weight * value);
  };
  if (o.first == LossOptions::FirstTerm::correlation)
    term("correlation", o.first_weight, correlation_term(phi, gamma, whole.deviations));
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

LossTerms loss_of(const Potential& phi, const Path& path, const LossBatch& b, const LossOptions& o,
                  const WholeBatch& whole) {
  using Estimator = LossOptions::Estimator;
  EnableGradGuard on;
  if (path.kind == Path::Kind::blurring && o.weight != LossOptions::Weight::one)
    throw InputError(
        "loss: the preconditioned weight is of one g², which path.kind = \"blurring\" has not. Hint: weight = one");
  Particles at = particles_of(path, b);
  Var x = Var::leaf(at.x, "x");
  bool wants_time = o.estimator == Estimator::published && o.time_weight != 0 && !phi.autonomous();
  Var t = wants_time ? Var::leaf(b.t, "t") : Var(b.t);

  Var value = phi(x, t, b.labels, b.dropout), ones(Tensor::ones(value.shape(), value.options()));
  Var inputs[] = {x, t};
  std::vector<Var> derivative = grad({&value, 1}, std::span(inputs, wants_time ? 2 : 1),
                                     {.create_graph = true, .allow_unused = wants_time}, {&ones, 1});
  Var dphi = rows(derivative[0]);

  LossTerms out;
  if (o.estimator == Estimator::published) {
    out = published_loss(value, dphi, wants_time ? derivative[1] : Var(), at, b, o, whole);
  } else {
    Var w = weights_of(at.path, b, o);
    if (o.estimator == Estimator::covariance)
      out.terms.emplace_back("covariance", covariance_term(value, innovation(at, b.eps), w));
    else
      out.terms.emplace_back("inner_product", inner_product_term(dphi, at.v, w));
    out.terms.emplace_back("dirichlet", dirichlet_term(dphi, w));
  }
  return out;
}

void add_up(LossTerms& loss) {
  loss.total = loss.terms[0].second;
  for (size_t i = 1; i < loss.terms.size(); ++i) loss.total = loss.total + loss.terms[i].second;
}

}  // namespace

Tensor innovation(const Particles& at, const Tensor& noise) {
  Tensor eps = rows(noise);
  double d = static_cast<double>(eps.dim(1));
  Var centred = sum(eps * at.v, {1}, true) - at.path.dsigma * d;
  return reshape(-2 * centred / at.path.sigma, {eps.dim(0)}).value();
}

Tensor innovation(const PathFactors& p, const Tensor& data, const Tensor& eps) {
  return innovation(Particles{.path = p, .x = {}, .v = p.dmu * rows(data) + p.dsigma * rows(eps)}, eps);
}

LossTerms vapo_loss(const Potential& phi, const Path& path, const LossBatch& batch, const LossOptions& o) {
  check_batch(batch, o);
  LossTerms out = loss_of(phi, path, o.antithetic ? with_antithetic_pairs(batch) : batch, o, {});
  add_up(out);
  return out;
}

int64_t parts_side_by_side(const Potential& phi, int64_t n, const LossOptions& options) {
  constexpr int64_t least = 16;  // rows that a product makes something of
  constexpr double divided = 1.25,
                   missing = 1.125;  // the price of layers that threads divide, and of a slower cache
  int64_t threads = num_threads(), most = phi.rows_in_cache();
  if (most == 0 || takes_whole_batch(options)) return 1;
  auto price = [&](int64_t parts) {  // in rows that a thread takes
    double rows = static_cast<double>(n) / static_cast<double>(parts);
    double each = parts == 1 ? rows / static_cast<double>(threads) * (threads == 1 ? 1 : divided)
                             : rows * static_cast<double>((parts + threads - 1) / threads);
    return each * (rows > static_cast<double>(most) ? missing : 1);
  };
  int64_t best = 1;
  for (int64_t parts = 2; parts <= n / least; ++parts)
    if (n % parts == 0 && price(parts) < price(best)) best = parts;
  return best;
}

bool takes_whole_batch(const LossOptions& o) {
  return o.estimator == LossOptions::Estimator::published && o.first == LossOptions::FirstTerm::correlation;
}

// Γ and Φ of all particles, a number each, without derivatives; from them the mean and the deviations, in f64.
LossParts::LossParts(const Potential& phi, const Path& path, const LossBatch& batch, const LossOptions& options,
                     int64_t parts, const LossShare& share)
    : phi_(phi), path_(path), options_(options), parts_(parts) {
  check_batch(batch, options);
  batch_ = options.antithetic ? with_antithetic_pairs(batch) : batch;
  int64_t n = batch_.data.dim(0);
  VAPO_CHECK(parts >= 1 && n % parts == 0, "[vapo_loss] {} particles cannot be divided into {} equal parts", n,
             parts);
  if (parts == 1 || options.estimator != LossOptions::Estimator::published) return;
  NoGradGuard off;
  int64_t first = share.first, last = share.count > 0 ? first + share.count : parts;
  std::vector<Tensor> gammas, phis;
  for (int64_t part = 0; part < parts; ++part) {
    LossBatch b = part_of(part);
    Particles at = particles_of(path, b);
    gammas.push_back(uncentred_innovation(at.path, rows(b.eps), at.v).value());
    if (!takes_whole_batch(options)) continue;
    bool own = first <= part && part < last;  // zeros in the place of the others', to be summed
    phis.push_back(own ? phi(at.x, b.t, b.labels, b.dropout).value() : Tensor::zeros(b.t.shape(), b.t.options()));
  }
  Tensor gamma = kernel::concat(gammas, 0).to(DType::f64);
  gamma_mean_ = mean(Var(gamma)).value();
  if (phis.empty()) return;
  Tensor all = kernel::concat(phis, 0).to(DType::f64);
  if (share.sum) share.sum(all);
  deviations_ = (sample_deviation(gamma) * sample_deviation(all)).value();
}

LossBatch LossParts::part_of(int64_t part) const {
  if (parts_ == 1) return batch_;
  int64_t n = batch_.data.dim(0) / parts_;
  auto rows_of = [&](const Tensor& x) {
    return x.defined() ? kernel::slice(x, 0, part * n, (part + 1) * n, 1) : x;
  };
  LossBatch out{rows_of(batch_.data),   rows_of(batch_.t), rows_of(batch_.eps),
                rows_of(batch_.labels), batch_.dropout,    rows_of(batch_.weights)};
  if (out.dropout) out.dropout->first += part * n;
  return out;
}

LossTerms LossParts::operator()(int64_t part) const {
  LossTerms out = loss_of(phi_, path_, part_of(part), options_, {gamma_mean_, deviations_});
  if (parts_ > 1)
    for (auto& [name, term] : out.terms) term = term / static_cast<double>(parts_);
  add_up(out);
  return out;
}

}  // namespace vapo
