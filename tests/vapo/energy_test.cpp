#include <doctest/doctest.h>

#include "gaussian_flow.h"
#include "tensor/random.h"
#include "vapo/energy.h"
#include "vapo/networks/mlp.h"
#include "vapo/preconditioned.h"
#include "vapo/sampling/sgld.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

// The largest deviation of a − b from a constant.
double spread_of_difference(const Tensor& a, const Tensor& b) {
  double low = INFINITY, high = -INFINITY;
  for (int64_t i = 0; i < a.numel(); ++i) {
    low = std::min(low, a.at(i) - b.at(i));
    high = std::max(high, a.at(i) - b.at(i));
  }
  return high - low;
}

double variance_of(const Tensor& x) {
  double n = static_cast<double>(x.numel());
  return kernel::sum_squares({&x, 1}).item() / n;
}

const Energy gaussian_energy = [](const Var& x) { return -0.5 * sum(square(x), {1}); };

}  // namespace

TEST_CASE("the marginal energy of Φ* is log ρ̄, its Boltzmann energy the sharpened density") {
  Tensor x = randn({7, 2}, {.seed = 2}, DType::f64);
  for (const Path& path : all_paths)
    for (double t : {0.3, 0.9}) {
      GaussianFlow flow{.path = path};
      QuadraticPotential phi = optimal_potential(flow);
      Tensor log_rho = flow.log_density(x, t);
      EnergyGradient marginal = energy_gradient(marginal_energy(phi, path, t), x);
      CHECK(spread_of_difference(marginal.value, log_rho) < 1e-10);
      Var score = -1 / flow.variance(t) * (x - path.at(t).mu * Var(flow.mean()));
      CHECK(largest_difference(marginal.gradient, score.value()) < 1e-10);

      double f = path.f(t), g2 = path.g_squared(t);
      EnergyGradient boltzmann = energy_gradient(boltzmann_energy(phi, t, f, g2), x);
      Tensor sharpened = (2 * Var(log_rho) - (f / g2) * sum(square(Var(x)), {1})).value();
      CHECK(spread_of_difference(boltzmann.value, sharpened) < 1e-10);
      CHECK(spread_of_difference(boltzmann.value, log_rho) > 1e-3);  // and it is not ρ̄ itself
    }
}

TEST_CASE("samples with times of their own have the marginal energies of those times") {
  Tensor x = randn({3, 2}, {.seed = 2}, DType::f64);
  std::vector<double> times = {0.2, 0.5, 0.9};
  for (const Path& path : all_paths) {
    GaussianFlow flow{.path = path};
    QuadraticPotential raw(flow, 1, 0.2, {0.1, -0.4});
    PreconditionedPotential preconditioned(
        std::make_unique<MlpPotential>(MlpOptions{.hidden = {4}, .time_embedding = 4}, 0, DType::f64), path);
    for (const Potential* phi :
         {static_cast<const Potential*>(&raw), static_cast<const Potential*>(&preconditioned)}) {
      Tensor together = marginal_energy(*phi, path, Tensor::from(times, {3}))(x).value();
      for (int64_t i = 0; i < 3; ++i) {
        Tensor alone =
            marginal_energy(*phi, path, times[static_cast<size_t>(i)])(kernel::slice(x, 0, i, i + 1, 1)).value();
        CHECK(together.at(i) == doctest::Approx(alone.item()).epsilon(1e-9));
      }
    }
    CHECK(largest_difference(potential_energy(raw, 0.3)(x).value(),
                             raw(x, Tensor::full({3}, 0.3, DType::f64)).value()) == 0);
  }
}

TEST_CASE("f and g² are the path's diffusion coefficients") {
  constexpr double half_pi = std::numbers::pi / 2;
  CHECK(linear_path.f(0.3) == doctest::Approx(-1 / 0.3));
  CHECK(linear_path.g_squared(0.3) == doctest::Approx(2 * 0.7 / 0.3));
  CHECK(linear_path.g_squared(1) == 0);
  CHECK(cosine_path.f(0.3) == doctest::Approx(-half_pi / std::tan(half_pi * 0.3)));
  CHECK(cosine_path.g_squared(0.3) == doctest::Approx(std::numbers::pi / std::tan(half_pi * 0.3)));
}

TEST_CASE("the energies take f, g² and t as given") {
  MlpPotential phi({.hidden = {4}, .time_embedding = 4}, 0, DType::f64);
  Tensor x = randn({3, 2}, {.seed = 2}, DType::f64), t = Tensor::full({3}, 0.7, DType::f64);
  Tensor e = boltzmann_energy(phi, 0.7, -1, 0.5)(x).value();
  Tensor expected = ((4 * phi(x, t) - sum(square(Var(x)), {1})) / 0.5).value();
  CHECK(largest_difference(e, expected) < 1e-12);
  CHECK_THROWS_AS(boltzmann_energy(phi, 1, -1, 0), InputError);
  CHECK_THROWS_AS(marginal_energy(phi, linear_path, 1)(x), InputError);
}

TEST_CASE("a preconditioned potential's marginal energy is U, at t = 1 too") {
  PreconditionedPotential phi(std::make_unique<MlpPotential>(MlpOptions{.hidden = {4}}, 0, DType::f64),
                              linear_path);
  Tensor x = randn({3, 2}, {.seed = 2}, DType::f64), one = Tensor::ones({3}, DType::f64);
  EnergyGradient e = energy_gradient(marginal_energy(phi, linear_path, 1), x);
  CHECK(largest_difference(e.value, phi.log_density(x, one).value()) == 0);
  CHECK(kernel::all_finite(e.gradient));
}

TEST_CASE("SGLD's stationary variance is the discretised one at every temperature") {
  // x ← (1 − η)x + √(2ηλ)ξ has variance λ/(1 − η/2). 4 standard errors of a variance over 8000 independent numbers,
  // √(2/8000) each; after 200 steps of η = 0.1 the start is forgotten to 1e-9.
  for (double temperature : {0.3, 2.0}) {
    Tensor x = sgld(gaussian_energy, Tensor::zeros({4000, 2}, DType::f64),
                    {.step_size = 0.1, .temperature = temperature, .steps = 200, .key = {.seed = 6}});
    double expected = temperature / (1 - 0.05), error = expected * std::sqrt(2.0 / 8000);
    CHECK(std::abs(variance_of(x) - expected) < 4 * error);
    CHECK(std::abs(variance_of(x) - 1.3 * expected) > 4 * error);  // the tolerance is sharp enough to tell
  }
}

TEST_CASE("with averaged noise SGLD's variance is the law's own at any step size, also of a run in two parts") {
  for (double eta : {0.1, 0.5, 1.0}) {
    SgldOptions options{
        .step_size = eta, .temperature = 2, .averaged_noise = true, .steps = 100, .key = {.seed = 6}};
    Tensor x = sgld(gaussian_energy, Tensor::zeros({4000, 2}, DType::f64), options);
    double error = 2 * std::sqrt(2.0 / 8000);
    CHECK(std::abs(variance_of(x) - 2) < 4 * error);
    options.steps = 37;
    Tensor part = sgld(gaussian_energy, Tensor::zeros({4000, 2}, DType::f64), options);
    options.steps = 63, options.key.step = 37;
    CHECK(largest_difference(sgld(gaussian_energy, part, options), x) == 0);
  }
}

TEST_CASE("chains with temperatures of their own have their laws, and clamped ones stay in [-1,1]") {
  std::vector<double> temperatures;
  for (int64_t k = 0; k < 8000; ++k) temperatures.push_back(k % 2 ? 2.0 : 0.3);
  SgldOptions options{
      .step_size = 0.1, .temperatures = Tensor::from(temperatures, {8000}), .steps = 200, .key = {.seed = 6}};
  Tensor x = sgld(gaussian_energy, Tensor::zeros({8000, 2}, DType::f64), options);
  for (int64_t rest : {0, 1}) {
    double expected = temperatures[static_cast<size_t>(rest)] / (1 - 0.05),
           error = expected * std::sqrt(2.0 / 8000);
    CHECK(std::abs(variance_of(kernel::slice(x, 0, rest, 8000, 2)) - expected) < 4 * error);
  }
  options.clamp = true;
  x = sgld(gaussian_energy, Tensor::zeros({8000, 2}, DType::f64), options);
  CHECK(kernel::amax((square(Var(x))).value(), {}, false).item() == 1);
  options.temperatures = Tensor::ones({3});
  CHECK_THROWS_AS(sgld(gaussian_energy, Tensor::zeros({8000, 2}, DType::f64), options), Error);
}

TEST_CASE("a heated flow is Euler's up to t = 0.9, and far beyond t = 1 has the law of its potential") {
  CHECK(heat_at(0.3) == 0);
  CHECK(heat_at(0.95) == doctest::Approx(0.5));
  CHECK(heat_at(7) == 1);
  Field fall = [](const Tensor& x, double) { return kernel::affine(x, -2, 0); };  // Φ = −‖x‖²
  Tensor x0 = randn({8000, 2}, {.seed = 2}, DType::f64);
  Tensor cold = integrate(fall, x0, 0, 0.9, {.method = OdeMethod::euler, .steps = 9}).x;
  CHECK(largest_difference(heated_flow(fall, x0, 0, 0.9, 9, 5, {.seed = 1}), cold) < 1e-12);
  // e^{−‖x‖²/T} has variance T/2, and steps of h make it T/2 / (1 − h)
  Tensor hot = heated_flow(fall, x0, 0, 6, 120, 0.4, {.seed = 1});
  double expected = 0.2 / (1 - 0.05), error = expected * std::sqrt(2.0 / 16000);
  CHECK(std::abs(variance_of(rows(hot)) * 0.5 - 0.5 * expected) < 4 * error);
  CHECK(std::abs(variance_of(hot) - 1.2 * expected) > 4 * error);
  // chain k has its noise whatever runs beside it
  Tensor some = heated_flow(fall, kernel::slice(x0, 0, 4, 8, 1), 0, 6, 120, 0.4, {.seed = 1}, 4);
  CHECK(largest_difference(some, kernel::slice(hot, 0, 4, 8, 1)) == 0);
  CHECK_THROWS_AS(heated_flow(fall, x0, 0, 1, 0, 0.4, {}), InputError);
}

TEST_CASE("SGLD at temperature 0 is gradient ascent") {
  Tensor x0 = randn({3, 2}, {.seed = 2}, DType::f64);
  Tensor x = sgld(gaussian_energy, x0, {.step_size = 0.5, .temperature = 0, .steps = 3});
  CHECK(largest_difference(x, kernel::affine(x0, 0.125, 0)) < 1e-15);
}

TEST_CASE("SGLD goes on from key.step, reports before each move, and repeats its bits") {
  Tensor x0 = randn({5, 2}, {.seed = 2});
  SgldOptions options{.step_size = 0.1, .steps = 10, .key = {.seed = 1}};
  std::vector<int64_t> steps;
  double first_energy = 0, first_gradient = 0;
  Tensor whole = sgld(gaussian_energy, x0, options, [&](const SgldReport& r) {
    if (steps.empty()) first_energy = r.mean_energy, first_gradient = r.mean_squared_gradient;
    steps.push_back(r.step);
  });
  CHECK(steps.size() == 10);
  CHECK(steps.back() == 9);
  double squares = kernel::sum_squares({&x0, 1}).item() / 5;
  CHECK(first_energy == doctest::Approx(-0.5 * squares).epsilon(1e-5));
  CHECK(first_gradient == doctest::Approx(squares).epsilon(1e-5));
  options.steps = 4;
  Tensor part = sgld(gaussian_energy, x0, options);
  options.steps = 6;
  options.key.step = 4;
  CHECK(largest_difference(sgld(gaussian_energy, part, options), whole) == 0);
  CHECK(largest_difference(
            sgld(gaussian_energy, part, {.step_size = 0.1, .steps = 6, .key = {.seed = 2, .step = 4}}), whole) > 0);
}

TEST_CASE("a chain of SGLD has its own noise, whatever runs beside it") {
  Tensor x0 = randn({8, 2}, {.seed = 2});
  SgldOptions options{.step_size = 0.1, .steps = 5, .key = {.seed = 1}};
  Tensor whole = sgld(gaussian_energy, x0, options);
  for (int64_t first : {2, 4, 6}) {
    options.first = first;
    Tensor part = sgld(gaussian_energy, kernel::slice(x0, 0, first, 8, 1), options);
    CHECK(largest_difference(part, kernel::slice(whole, 0, first, 8, 1)) == 0);
  }
  options.first = 1;
  CHECK_THROWS_AS(sgld(gaussian_energy, x0, options), Error);
}

TEST_CASE("SGLD that runs away is an error") {
  Energy upwards = [](const Var& x) { return sum(square(square(x)), {1}); };
  Tensor x0 = Tensor::ones({2, 2});
  CHECK_THROWS_AS(sgld(upwards, x0, {.step_size = 1, .steps = 100}), DivergedError);
  CHECK_THROWS_AS(sgld(gaussian_energy, x0, {.step_size = 0}), InputError);
  CHECK_THROWS_AS(sgld(gaussian_energy, x0, {.temperature = -1}), InputError);
}
