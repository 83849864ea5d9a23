// The estimators, the flow and the likelihood against Gaussian data, of which everything is known. Tolerances are
// multiples of standard errors over independent batches; the seeds are fixed, so a pass today is a pass tomorrow.

#include <doctest/doctest.h>

#include "autograd/grad.h"
#include "gaussian_flow.h"
#include "tensor/random.h"
#include "vapo/likelihood.h"
#include "vapo/loss.h"
#include "vapo/networks/mlp.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

constexpr double t_low = 0.05, t_high = 0.95;
using Estimator = LossOptions::Estimator;

LossBatch draw_batch(const GaussianFlow& flow, int64_t n, uint64_t step) {
  int64_t d = static_cast<int64_t>(flow.m.size());
  Tensor z = randn({n, d}, {.seed = 5, .stream = 1, .step = step}, DType::f64);
  return {.data = (flow.s * Var(z) + flow.mean()).value(),
          .t = rand({n}, {.seed = 5, .stream = 2, .step = step}, t_low, t_high, DType::f64),
          .eps = randn({n, d}, {.seed = 5, .stream = 3, .step = step}, DType::f64)};
}

struct MeanGradient {
  Estimate a, b0, b1, loss;
};

// Over independent batches: the gradient of the total in (a, b), and the total.
MeanGradient mean_gradient(const QuadraticPotential& phi, const LossOptions& options, uint64_t first_step) {
  std::vector<double> a, b0, b1, loss;
  for (uint64_t i = 0; i < 200; ++i) {
    LossTerms terms = vapo_loss(phi, phi.flow.path, draw_batch(phi.flow, 512, first_step + i), options);
    const Var parameters[] = {phi.a, phi.b};
    std::vector<Var> g = grad(terms.total, parameters);
    a.push_back(g[0].item());
    b0.push_back(g[1].value().at(0));
    b1.push_back(g[1].value().at(1));
    loss.push_back(terms.total.item());
  }
  return {estimate(a), estimate(b0), estimate(b1), estimate(loss)};
}

double weight_at(const Path& path, double t, LossOptions::Weight weight) {
  if (weight == LossOptions::Weight::one) return 1;
  double r = 2 * path.at(t).sigma / path.g_squared(t);
  return r * r;
}

// d/d(a, b) of E_t w(t) E‖∇Φ‖² − 2∇Φ·v at Φ = b·x + ½a‖x‖²
std::vector<double> analytic_gradient(const QuadraticPotential& phi, LossOptions::Weight weight) {
  const GaussianFlow& flow = phi.flow;
  double a = phi.a.item(), b[] = {phi.b.value().at(0), phi.b.value().at(1)};
  auto average = [&](auto&& f) {
    return integral([&](double t) { return weight_at(flow.path, t, weight) * f(t); }, t_low, t_high) /
           (t_high - t_low);
  };
  auto da = [&](double t) {
    PathPoint p = flow.path.at(t);
    double bm = b[0] * flow.m[0] + b[1] * flow.m[1], spread = flow.dims() * flow.variance(t);
    return 2 * (p.mu * bm + a * (p.mu * p.mu * flow.m_squared() + spread) -
                (p.mu * p.dmu * flow.m_squared() + flow.c(t) * spread));
  };
  auto db = [&](int i) {
    return average([&](double t) {
      PathPoint p = flow.path.at(t);
      return 2 * (b[i] + (a * p.mu - p.dmu) * flow.m[i]);
    });
  };
  return {average(da), db(0), db(1)};
}

void check_within(const Estimate& e, double expected, double errors, const char* what) {
  CAPTURE(what);
  CAPTURE(e.mean);
  CAPTURE(e.error);
  CAPTURE(expected);
  CHECK(std::abs(e.mean - expected) <= errors * e.error);
}

}  // namespace

TEST_CASE("both estimators have the analytic mean gradient") {
  for (const Path& path : all_paths)
    for (auto weight : {LossOptions::Weight::one, LossOptions::Weight::preconditioned}) {
      CAPTURE(static_cast<int>(path.kind));
      QuadraticPotential phi({.path = path}, 0, 0.6, {0.4, -0.8});
      std::vector<double> exact = analytic_gradient(phi, weight);
      // different batches, so that the two are independent
      MeanGradient inner = mean_gradient(phi, {.estimator = Estimator::inner_product, .weight = weight}, 0);
      MeanGradient covariance = mean_gradient(phi, {.estimator = Estimator::covariance, .weight = weight}, 1000);
      MeanGradient pairs =
          mean_gradient(phi, {.estimator = Estimator::covariance, .weight = weight, .antithetic = true}, 2000);
      for (const MeanGradient* g : {&inner, &covariance, &pairs}) {
        check_within(g->a, exact[0], 4, "a");
        check_within(g->b0, exact[1], 4, "b0");
        check_within(g->b1, exact[2], 4, "b1");
      }
      check_within({inner.a.mean - covariance.a.mean, std::hypot(inner.a.error, covariance.a.error)}, 0, 4,
                   "a − a");
      CHECK(inner.a.error < covariance.a.error);  // the same loss, less noise
      CHECK(pairs.b0.error < covariance.b0.error);
    }
}

TEST_CASE("at the minimiser both gradients vanish and the loss is −E‖v̄‖²") {
  for (const Path& path : all_paths) {
    CAPTURE(static_cast<int>(path.kind));
    GaussianFlow flow{.path = path};
    double lowest =
        -integral([&](double t) { return flow.mean_squared_velocity(t); }, t_low, t_high) / (t_high - t_low);
    for (auto estimator : {Estimator::inner_product, Estimator::covariance}) {
      MeanGradient g = mean_gradient(optimal_potential(flow), {.estimator = estimator}, 3000);
      check_within(g.a, 0, 4, "a");
      check_within(g.b0, 0, 4, "b0");
      check_within(g.b1, 0, 4, "b1");
      check_within(g.loss, lowest, 4, "loss");
      // control: elsewhere they do not vanish
      MeanGradient away = mean_gradient({flow, 1, 0.5, {0.5, 0.5}}, {.estimator = estimator}, 3000);
      CHECK(std::abs(away.a.mean) > 4 * away.a.error);
      CHECK(std::abs(away.b0.mean) > 4 * away.b0.error);
      CHECK(away.loss.mean - 4 * away.loss.error > lowest);
    }
  }
}

TEST_CASE("v̄ is the conditional mean of v") {  // the residual v − v̄(x) is uncorrelated with 1 and x
  for (const Path& path : all_paths)
    for (double t : {0.2, 0.8}) {
      GaussianFlow flow{.path = path};
      LossBatch batch = draw_batch(flow, 100000, 0);
      PathPoint p = path.at(t);
      Tensor x = (p.mu * Var(batch.data) + p.sigma * Var(batch.eps)).value();
      Var residual = p.dmu * Var(batch.data) + p.dsigma * Var(batch.eps) - flow.velocity(x, t);
      check_within(estimate(sum(residual, {1}).value().to_vector<double>()), 0, 4, "E r");
      check_within(estimate(sum(residual * x, {1}).value().to_vector<double>()), 0, 4, "E r·x");
      Var wrong = residual + 0.05 * Var(x);  // control
      Estimate e = estimate(sum(wrong * x, {1}).value().to_vector<double>());
      CHECK(std::abs(e.mean) > 4 * e.error);
    }
}

TEST_CASE("γ − γ̄ has mean zero given x̄, and is the definition's") {
  double t = 0.4;
  Tensor data = Tensor::from(std::vector<double>{0.8, -1.5}, {1, 2}),
         eps = Tensor::from(std::vector<double>{-0.3, 1.1}, {1, 2});
  Tensor times = Tensor::full({1}, t, DType::f64);
  // tempered: γ = α'‖x‖²/ω² + β'‖x − x̄‖²/ν² with α' = −1, β' = 1; γ̄ its mean over ε
  double w2 = tempered_path.omega * tempered_path.omega, n2 = tempered_path.nu * tempered_path.nu;
  PathPoint p = tempered_path.at(t);
  double gamma = 0, mean = 0;
  for (int64_t d = 0; d < 2; ++d) {
    double xb = data.at(d), x = p.mu * xb + p.sigma * eps.at(d);
    gamma += -x * x / w2 + (x - xb) * (x - xb) / n2;
    double s2 = p.sigma * p.sigma;
    mean += -(p.mu * p.mu * xb * xb + s2) / w2 + ((p.mu - 1) * (p.mu - 1) * xb * xb + s2) / n2;
  }
  CHECK(innovation(path_factors(tempered_path, times), data, eps).item() ==
        doctest::Approx(gamma - mean).epsilon(1e-12));
  // linear: 2/(1−t)·[(‖ε‖² − D) − ε·x̄]
  double e2 = 0.3 * 0.3 + 1.1 * 1.1, ex = -0.3 * 0.8 - 1.1 * 1.5;
  CHECK(innovation(path_factors(linear_path, times), data, eps).item() ==
        doctest::Approx(2 / (1 - t) * (e2 - 2 - ex)).epsilon(1e-12));
}

TEST_CASE("the flow of ∇Φ* carries the prior to the data exactly") {
  Tensor x0 = randn({5, 2}, {.seed = 9}, DType::f64);
  for (const Path& path : all_paths) {
    GaussianFlow flow{.path = path};
    QuadraticPotential phi = optimal_potential(flow);
    Field field = [&](const Tensor& x, double t) { return gradient(phi, x, t); };
    CHECK(largest_difference(field(x0, 0.3), flow.velocity(x0, 0.3)) < 1e-12);
    OdeOptions tight{.rtol = 1e-9, .atol = 1e-10};
    Tensor end = integrate(field, x0, 0, 1, tight).x;
    CHECK(largest_difference(end, flow.carried(x0, 0, 1)) < 1e-7);
    CHECK(largest_difference(integrate(field, end, 1, 0, tight).x, x0) < 1e-6);
  }
}

TEST_CASE("the exact likelihood is the Gaussian's") {
  for (const Path& path : all_paths)
    for (std::vector<double> m : {std::vector<double>{0.5, -0.3}, std::vector<double>{0.1, 0.9, -0.4}}) {
      GaussianFlow flow{.path = path, .m = m};
      QuadraticPotential phi = optimal_potential(flow);
      Tensor x = randn({6, static_cast<int64_t>(m.size())}, {.seed = 4}, DType::f64);
      LikelihoodResult r = log_likelihood(phi, path, x, {.t_prior = 0});
      CHECK(r.nfe > 0);
      CHECK(largest_difference(r.log_likelihood, flow.log_density(x, 1)) < 1e-4);
    }
}

TEST_CASE("Hutchinson's trace is unbiased, exact where the Hessian is a multiple of 1") {
  MlpPotential phi({.hidden = {8, 8}, .time_embedding = 4}, 3, DType::f64);
  Tensor x = randn({4, 2}, {.seed = 8}, DType::f64);
  // ΔΦ by central differences of ∇Φ
  Tensor exact = laplacian(phi, x, 0.3);
  double h = 1e-5;
  Tensor differences = Tensor::zeros({4}, DType::f64);
  for (int64_t d = 0; d < 2; ++d) {
    Tensor unit =
        d == 0 ? Tensor::from(std::vector<double>{h, 0}, {2}) : Tensor::from(std::vector<double>{0, h}, {2});
    Var g = Var(gradient(phi, (Var(x) + unit).value(), 0.3)) - Var(gradient(phi, (Var(x) - unit).value(), 0.3));
    differences = (differences + reshape(slice(g, 1, {.start = d, .stop = d + 1}), {4}) / (2 * h)).value();
  }
  CHECK(largest_difference(exact, differences) < 1e-8);

  // all four sign patterns of 2-D Rademacher probes: their mean is the trace exactly
  std::vector<Tensor> signs;
  for (double a : {-1.0, 1.0})
    for (double b : {-1.0, 1.0})
      signs.push_back(
          (Tensor::zeros({4, 1}, DType::f64) + Var(Tensor::from(std::vector<double>{a, b}, {1, 2}))).value());
  CHECK(largest_difference(laplacian(phi, x, 0.3, signs), exact) < 1e-12);

  // whole log-likelihoods: the same steps with both traces, so the mean over keys is that of the exact one
  OdeOptions steps{.method = OdeMethod::heun, .steps = 20};
  Tensor reference = log_likelihood(phi, cosine_path, x, {.ode = steps}).log_likelihood;
  std::vector<std::vector<double>> draws(4);
  for (uint64_t k = 0; k < 200; ++k) {
    Tensor l = log_likelihood(phi, cosine_path, x,
                              {.trace = LikelihoodOptions::Trace::hutchinson, .key = {.seed = k}, .ode = steps})
                   .log_likelihood;
    for (int64_t i = 0; i < 4; ++i) draws[i].push_back(l.at(i));
  }
  for (int64_t i = 0; i < 4; ++i) check_within(estimate(draws[i]), reference.at(i), 3, "log p");
}

TEST_CASE("the likelihood of an f32 network is an f64 number close to the f64 network's") {
  MlpPotential phi32({.hidden = {8, 8}, .time_embedding = 4}, 3),
      phi64({.hidden = {8, 8}, .time_embedding = 4}, 3, DType::f64);
  std::vector<nn::NamedParameter> from = nn::named_parameters(phi32), to = nn::named_parameters(phi64);
  for (size_t i = 0; i < from.size(); ++i) *to[i].parameter = Var::leaf(from[i].parameter->value().to(DType::f64));
  Tensor x = randn({5, 2}, {.seed = 8});
  Tensor a = log_likelihood(phi32, cosine_path, x, {}).log_likelihood;
  Tensor b = log_likelihood(phi64, cosine_path, x.to(DType::f64), {}).log_likelihood;
  CHECK(a.dtype() == DType::f64);
  CHECK(largest_difference(a, b) < 1e-4);
}
