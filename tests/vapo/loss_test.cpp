#include <doctest/doctest.h>

#include <cmath>

#include "autograd/grad.h"
#include "gaussian_flow.h"
#include "tensor/random.h"
#include "vapo/loss.h"
#include "vapo/networks/mlp.h"
#include "vapo/preconditioned.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

// Φ = (1 + t²)(b·x + ½a‖x‖²): every derivative by hand.
constexpr double a = 0.7, b[] = {0.4, -0.9};
class TimedQuadratic : public Potential {
 public:
  Var operator()(const Var& x, const Var& t, const Tensor& = {},
                 const std::optional<RandomKey>& = {}) const override {
    Var bt = Tensor::from(std::vector<double>{b[0], b[1]}, {2});
    return (square(t) + 1) * (sum(x * bt, {1}) + (0.5 * a) * sum(square(x), {1}));
  }
  void parameters(const nn::ParameterVisitor&) override {}
};

constexpr int64_t n = 5, dims = 2;
LossBatch small_batch() {
  return {.data = randn({n, dims}, {.seed = 1, .stream = 1}, DType::f64),
          .t = rand({n}, {.seed = 1, .stream = 2}, 0.1, 0.9, DType::f64),
          .eps = randn({n, dims}, {.seed = 1, .stream = 3}, DType::f64)};
}

double value_of(const LossTerms& terms, const std::string& name) {
  for (const auto& [key, value] : terms.terms)
    if (key == name) return value.item();
  FAIL("no term " << name);
  return NAN;
}

double deviation(const std::vector<double>& x) {
  Estimate e = estimate(x);
  return e.error * std::sqrt(static_cast<double>(x.size()));
}

// mathematics of the published loss on the linear path, particle by particle
struct ByHand {
  double correlation = 0, covariance = 0, cosine = 0, dot = 0, dist = 0, dirichlet = 0, time = 0;
};
ByHand published_by_hand(const LossBatch& batch) {
  std::vector<double> gamma, phi;
  ByHand out;
  constexpr double nd = n * dims;
  for (int64_t i = 0; i < n; ++i) {
    double t = batch.t.at(i), raw = 0, potential = 0, g2 = 0, v2 = 0, gv = 0, dist = 0;
    for (int64_t d = 0; d < dims; ++d) {
      double xb = batch.data.at(i * dims + d), e = batch.eps.at(i * dims + d), x = t * xb + (1 - t) * e, v = xb - e;
      double g = (1 + t * t) * (b[d] + a * x);
      raw += (1 - t) * (e * e - xb * e) / dims;
      potential += b[d] * x + 0.5 * a * x * x;
      g2 += g * g, v2 += v * v, gv += g * v, dist += (g - v) * (g - v);
    }
    gamma.push_back(raw);
    phi.push_back((1 + t * t) * potential);
    out.cosine -= gv / std::pow(std::sqrt(g2) * std::sqrt(v2) + 1e-8, t) / nd;
    out.dot -= gv / nd;
    out.dist += 0.5 * dist / nd;
    out.dirichlet += 0.5 * g2 / nd;
    out.time += 0.1 * 4 * t * t * potential * potential / n;
  }
  double mean = estimate(gamma).mean;
  for (int64_t i = 0; i < n; ++i) out.covariance += (gamma[i] - mean) * phi[i] / n;
  out.correlation = out.covariance / (deviation(gamma) * deviation(phi) + 1e-8);
  return out;
}

using O = LossOptions;

}  // namespace

TEST_CASE("the published terms are those of a hand computation") {
  LossBatch batch = small_batch();
  ByHand hand = published_by_hand(batch);
  auto near = [](double x) { return doctest::Approx(x).epsilon(1e-10); };
  auto loss = [&](O options) {
    options.estimator = O::Estimator::published;
    return vapo_loss(TimedQuadratic(), linear_path, batch, options);
  };

  LossTerms terms = loss({});
  CHECK(terms.terms.size() == 4);
  CHECK(value_of(terms, "correlation") == near(hand.correlation));
  CHECK(value_of(terms, "cosine") == near(hand.cosine));
  CHECK(value_of(terms, "dirichlet") == near(hand.dirichlet));
  CHECK(value_of(terms, "time") == near(hand.time));
  CHECK(terms.total.item() == near(hand.correlation + hand.cosine + hand.dirichlet + hand.time));

  CHECK(value_of(loss({.first = O::FirstTerm::covariance}), "covariance") == near(hand.covariance));
  CHECK(value_of(loss({.second = O::SecondTerm::dot}), "dot") == near(hand.dot));
  CHECK(value_of(loss({.second = O::SecondTerm::dist}), "dist") == near(hand.dist));

  LossTerms weighted = loss({.first_weight = 2, .second_weight = 3, .dirichlet_weight = 4, .time_weight = 0});
  CHECK(value_of(weighted, "correlation") == near(2 * hand.correlation));
  CHECK(value_of(weighted, "cosine") == near(3 * hand.cosine));
  CHECK(value_of(weighted, "dirichlet") == near(8 * hand.dirichlet));
  CHECK(value_of(weighted, "time") == 0);
}

TEST_CASE("the plain estimators are those of a hand computation") {
  LossBatch batch = small_batch();
  for (const Path& path : all_paths)
    for (auto weight : {O::Weight::one, O::Weight::preconditioned}) {
      double inner = 0, dirichlet = 0, covariance = 0;
      for (int64_t i = 0; i < n; ++i) {
        double t = batch.t.at(i), k = 1 + t * t, phi = 0, gamma = 0;
        PathPoint p = path.at(t);
        double w = weight == O::Weight::one ? 1 : std::pow(2 * p.sigma / path.g_squared(t), 2);
        for (int64_t d = 0; d < dims; ++d) {
          double xb = batch.data.at(i * dims + d), e = batch.eps.at(i * dims + d);
          double x = p.mu * xb + p.sigma * e, v = p.dmu * xb + p.dsigma * e, g = k * (b[d] + a * x);
          inner -= 2 * w * g * v / n;
          dirichlet += w * g * g / n;
          phi += k * (b[d] * x + 0.5 * a * x * x);
          gamma -= 2 * (p.dsigma / p.sigma * (e * e - 1) + p.dmu / p.sigma * e * xb);
        }
        covariance += w * phi * gamma / n;
      }
      LossTerms first = vapo_loss(TimedQuadratic(), path, batch, {.weight = weight});
      CHECK(value_of(first, "inner_product") == doctest::Approx(inner).epsilon(1e-10));
      CHECK(value_of(first, "dirichlet") == doctest::Approx(dirichlet).epsilon(1e-10));
      CHECK(first.total.item() == doctest::Approx(inner + dirichlet).epsilon(1e-10));
      LossTerms second =
          vapo_loss(TimedQuadratic(), path, batch, {.estimator = O::Estimator::covariance, .weight = weight});
      CHECK(value_of(second, "covariance") == doctest::Approx(covariance).epsilon(1e-10));
      CHECK(value_of(second, "dirichlet") == doctest::Approx(dirichlet).epsilon(1e-10));
    }
}

TEST_CASE("weights of particles are those of the particles' losses") {
  LossBatch batch = small_batch();
  std::vector<double> w = rand({n}, {.seed = 1, .stream = 4}, 0.2, 3, DType::f64).to_vector<double>();
  auto row = [&](int64_t i) {
    auto of = [&](const Tensor& x) { return kernel::slice(x, 0, i, i + 1, 1); };
    return LossBatch{.data = of(batch.data), .t = of(batch.t), .eps = of(batch.eps)};
  };
  for (auto estimator : {O::Estimator::inner_product, O::Estimator::covariance})
    for (auto weight : {O::Weight::one, O::Weight::preconditioned})
      for (bool antithetic : {false, true}) {
        O options{.estimator = estimator, .weight = weight, .antithetic = antithetic};
        double expected = 0;
        for (int64_t i = 0; i < n; ++i)
          expected += w[i] * vapo_loss(TimedQuadratic(), cosine_path, row(i), options).total.item() / n;
        LossBatch weighted = batch;
        weighted.weights = Tensor::from(w, {n});
        CHECK(vapo_loss(TimedQuadratic(), cosine_path, weighted, options).total.item() ==
              doctest::Approx(expected).epsilon(1e-12));
        CHECK(vapo_loss(TimedQuadratic(), cosine_path, batch, options).total.item() !=
              doctest::Approx(expected).epsilon(1e-3));
      }
  batch.weights = Tensor::ones({n + 1}, DType::f64);
  CHECK_THROWS_WITH_AS(vapo_loss(TimedQuadratic(), linear_path, batch, {}),
                       "[vapo_loss] weights have shape (6), expected (5)", Error);
  batch.weights = Tensor::ones({n}, DType::f64);
  CHECK_THROWS_WITH_AS(vapo_loss(TimedQuadratic(), linear_path, batch, {.estimator = O::Estimator::published}),
                       doctest::Contains("published"), InputError);
}

TEST_CASE("antithetic pairs are the mean over ε and −ε") {
  LossBatch batch = small_batch(), mirrored = batch;
  mirrored.eps = kernel::affine(batch.eps, -1, 0);
  for (auto estimator : {O::Estimator::inner_product, O::Estimator::covariance}) {
    auto total = [&](const LossBatch& x, bool pairs) {
      return vapo_loss(TimedQuadratic(), cosine_path, x, {.estimator = estimator, .antithetic = pairs})
          .total.item();
    };
    CHECK(total(batch, true) ==
          doctest::Approx(0.5 * (total(batch, false) + total(mirrored, false))).epsilon(1e-12));
  }
  MlpPotential labelled({.hidden = {4}, .time_embedding = 4, .classes = 3}, 0, DType::f64);
  batch.labels = randint({n}, {.seed = 2}, 4);
  CHECK(std::isfinite(vapo_loss(labelled, cosine_path, batch, {.antithetic = true}).total.item()));
}

TEST_CASE("the preconditioned weight makes the loss E‖σ∇U + ε‖², up to what does not depend on U") {
  // (2σ/g²)²(‖∇Φ‖² − 2∇Φ·v) with Φ = −½f‖x‖² + ½g²U, v = −fx − ½g²ε/σ: the difference to ‖σ∇U + ε‖² is −(2σ/g²)²‖v‖²
  LossBatch batch = small_batch();
  auto network = std::make_unique<MlpPotential>(MlpOptions{.hidden = {8}, .time_embedding = 4}, 1, DType::f64);
  PreconditionedPotential phi(std::move(network), cosine_path);
  double loss = vapo_loss(phi, cosine_path, batch, {.weight = O::Weight::preconditioned}).total.item();
  PathFactors p = path_factors(cosine_path, batch.t);
  Var x = Var::leaf(p.mu * batch.data + p.sigma * batch.eps);
  Var du = grad(sum(phi.log_density(x, batch.t)), x);
  double expected = sum(square(p.sigma * du + batch.eps)).item() / n;
  for (int64_t i = 0; i < n; ++i) {
    double t = batch.t.at(i), r = 2 * cosine_path.at(t).sigma / cosine_path.g_squared(t);
    PathPoint q = cosine_path.at(t);
    for (int64_t d = 0; d < dims; ++d) {
      double v = q.dmu * batch.data.at(i * dims + d) + q.dsigma * batch.eps.at(i * dims + d);
      expected -= r * r * v * v / n;
    }
  }
  CHECK(loss == doctest::Approx(expected).epsilon(1e-9));
}

TEST_CASE("no term is infinite at the ends of time") {
  for (DType dtype : {DType::f32, DType::f64})
    for (const Path& path : all_paths) {
      LossBatch batch{.data = randn({4, 2}, {.seed = 1, .stream = 1}, dtype),
                      .t = Tensor::from(std::vector<double>{1e-5, 1e-3, 1 - 1e-5, 1}, {4}).to(dtype),
                      .eps = randn({4, 2}, {.seed = 1, .stream = 3}, dtype)};
      auto network = std::make_unique<MlpPotential>(MlpOptions{.hidden = {8}, .time_embedding = 4}, 1, dtype);
      PreconditionedPotential phi(std::move(network), path);
      LossTerms terms = vapo_loss(phi, path, batch, {.weight = O::Weight::preconditioned});
      CHECK(std::isfinite(terms.total.item()));
      std::vector<Var> parameters;
      for (const auto& q : nn::named_parameters(phi)) parameters.push_back(*q.parameter);
      for (const Var& g : grad(terms.total, parameters, {.allow_unused = true}))
        CHECK(kernel::all_finite(g.value()));
    }
}

TEST_CASE("every term of the total can be differentiated by itself") {
  MlpPotential phi({.hidden = {6}, .time_embedding = 4}, 1, DType::f64);
  std::vector<Var> parameters;
  for (const auto& q : nn::named_parameters(phi)) parameters.push_back(*q.parameter);
  for (auto estimator : {O::Estimator::inner_product, O::Estimator::covariance, O::Estimator::published}) {
    LossTerms terms = vapo_loss(phi, linear_path, small_batch(), {.estimator = estimator});
    std::vector<Var> whole = grad(terms.total, parameters, {.retain_graph = true, .allow_unused = true});
    for (size_t i = 0; i < parameters.size(); ++i) {
      Var total = Tensor::zeros(parameters[i].shape(), DType::f64);
      for (const auto& [name, term] : terms.terms)
        total = total + grad({&term, 1}, {&parameters[i], 1}, {.retain_graph = true, .allow_unused = true})[0];
      CHECK(largest_difference(total.value(), whole[i].value()) < 1e-12);
    }
  }
}

TEST_CASE("bad batches are named") {
  LossBatch batch = small_batch();
  batch.t = Tensor::zeros({n + 1}, DType::f64);
  CHECK_THROWS_WITH_AS(vapo_loss(TimedQuadratic(), linear_path, batch, {}),
                       "[vapo_loss] t has shape (6), expected (5)", Error);
  batch = small_batch();
  batch.eps = Tensor::zeros({n, 3}, DType::f64);
  CHECK_THROWS_AS(vapo_loss(TimedQuadratic(), linear_path, batch, {}), Error);
  O weighted{.estimator = O::Estimator::published, .weight = O::Weight::preconditioned};
  CHECK_THROWS_AS(vapo_loss(TimedQuadratic(), linear_path, small_batch(), weighted), InputError);
}
