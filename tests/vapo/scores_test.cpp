// Scores and likelihoods of images against Gaussian data, and against grey levels whose shares are known.

#include <doctest/doctest.h>

#include "gaussian_flow.h"
#include "tensor/random.h"
#include "tiny_networks.h"
#include "vapo/likelihood.h"
#include "vapo/scores.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

constexpr int64_t kSide = 8, kDims = kSide * kSide;

// Φ* of points, of images (N,8,8,1).
class OfImages : public Potential {
 public:
  explicit OfImages(QuadraticPotential points) : points_(std::move(points)) {}
  Var operator()(const Var& x, const Var& t, const Tensor&, const std::optional<RandomKey>&) const override {
    return points_(reshape(x, {x.dim(0), kDims}), t);
  }
  void parameters(const nn::ParameterVisitor& visit) override { points_.parameters(visit); }

 private:
  QuadraticPotential points_;
};

GaussianFlow gaussian_images(const Path& path, double s) {
  GaussianFlow flow{.path = path, .m = {}, .s = s};
  for (int64_t i = 0; i < kDims; ++i) flow.m.push_back(0.3 * std::sin(0.7 * static_cast<double>(i)));
  return flow;
}

Tensor draw_images(const GaussianFlow& flow, int64_t n, uint64_t seed) {
  Var z = randn({n, kDims}, {.seed = seed}, DType::f64);
  return (flow.s * z + flow.mean()).value().reshape({n, kSide, kSide, 1});
}

}  // namespace

TEST_CASE("bits per dimension of Gaussian images are the closed form's, with both traces") {
  for (const Path& path : {linear_path, cosine_path}) {
    GaussianFlow flow = gaussian_images(path, 0.5);
    OfImages phi(optimal_potential(flow));
    Tensor x = draw_images(flow, 3, 3);
    Tensor exact = flow.log_density(rows(x), 1);
    for (auto trace : {LikelihoodOptions::Trace::exact, LikelihoodOptions::Trace::hutchinson}) {
      LikelihoodResult r = log_likelihood(phi, path, x, {.trace = trace, .key = {.seed = 2}});
      for (int64_t i = 0; i < 3; ++i) {
        double closed = -exact.at(i) / (64 * std::log(2)) + 7;
        CHECK(std::abs(bits_per_dim(r.log_likelihood.at(i), kDims) - closed) < 1e-3);
      }
    }
  }
}

TEST_CASE("dequantised, they are the grey levels' own: −log₂ P(u)/D") {
  // P(u) = ∏ of the normal law's share between (u/128 − 1) and ((u + 1)/128 − 1); over a grey level its density is
  // nearly constant (s is 64 levels), so that the mean over the noise is the same to 1e-3.
  GaussianFlow flow = gaussian_images(linear_path, 0.5);
  OfImages phi(optimal_potential(flow));
  Tensor u = randint({1, kSide, kSide, 1}, {.seed = 4}, 256), grey = u.to(DType::u8);
  double log_share = 0;
  auto below = [](double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); };
  for (int64_t i = 0; i < kDims; ++i) {
    auto z = [&](double level) { return (level / 128 - 1 - flow.m[static_cast<size_t>(i)]) / flow.s; };
    double level = static_cast<double>(u.at(i));
    log_share += std::log(below(z(level + 1)) - below(z(level)));
  }
  std::vector<double> bits;
  LikelihoodOptions hutchinson{.trace = LikelihoodOptions::Trace::hutchinson};  // the Hessian is a multiple of 1
  for (uint64_t k = 0; k < 20; ++k) {
    Tensor x = dequantized(grey, {.seed = 1, .step = k << 32}, Tensor::arange(1)).to(DType::f64);
    bits.push_back(bits_per_dim(log_likelihood(phi, linear_path, x, hutchinson).log_likelihood.at(0), kDims));
  }
  Estimate e = estimate(bits);
  CHECK(e.error < 1e-3);
  CHECK(std::abs(e.mean - (-log_share / (kDims * std::log(2)))) < 1e-3 + 3 * e.error);
}

TEST_CASE("Hutchinson's mean is the exact trace of a network of 16 pixels") {
  UnetOptions small = tiny;
  small.height = small.width = 4;
  auto phi = perturbed<UnetPotential>(small);
  Tensor x = randn({2, 4, 4, 1}, {.seed = 8}, DType::f64);
  Tensor exact = laplacian(*phi, x, 0.4);
  std::vector<std::vector<double>> draws(2);
  for (uint64_t k = 0; k < 400; ++k) {
    Tensor probe = rademacher(x.shape(), {.seed = 7, .step = k}, DType::f64);
    Tensor trace = laplacian(*phi, x, 0.4, {&probe, 1});
    for (size_t i = 0; i < 2; ++i) draws[i].push_back(trace.at(static_cast<int64_t>(i)));
  }
  for (size_t i = 0; i < 2; ++i) {
    Estimate e = estimate(draws[i]);
    double truth = exact.at(static_cast<int64_t>(i));
    CHECK(e.error > 0);  // the Hessian is no multiple of 1
    CHECK(std::abs(e.mean - truth) < 3 * e.error);
    CHECK(std::abs(e.mean - (truth + 8 * e.error)) > 3 * e.error);  // control
  }
}

TEST_CASE("dequantised images: within their grey level, a noise of their own wherever they stand") {
  Tensor u = randint({5, 3, 3, 2}, {.seed = 4}, 256).to(DType::u8);
  RandomKey key{.seed = 1, .stream = 2, .step = 1000};
  Tensor index = Tensor::from(std::vector<int64_t>{0, 3, 5, 6, 9}, {5});
  Tensor x = dequantized(u, key, index);
  double sum = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    double noise = (x.at(i) + 1) * 128 - u.at(i);
    CHECK(noise >= -1e-4);
    CHECK(noise <= 1 + 1e-4);
    sum += noise;
  }
  CHECK(std::abs(sum / 90 - 0.5) < 4 / std::sqrt(12.0 * 90));
  Tensor some = kernel::slice(u, 0, 2, 4, 1), where = Tensor::from(std::vector<int64_t>{5, 6}, {2});
  CHECK(largest_difference(dequantized(some, key, where), kernel::slice(x, 0, 2, 4, 1)) == 0);
  CHECK(largest_difference(dequantized(u, {.seed = 1, .stream = 2, .step = 2000}, index), x) > 0);
  CHECK_THROWS_AS(dequantized(u, key, where), Error);
}

TEST_CASE("scores of an energy: its value, minus the norm of its gradient; typical ones") {
  GaussianFlow flow = gaussian_images(cosine_path, 0.6);
  Tensor x = draw_images(flow, 5, 9);
  Energy energy = [](const Var& v) { return -1.5 * sum(square(rows(v)), {1}); };
  EnergyScores s = energy_scores(energy, x);
  for (int64_t i = 0; i < 5; ++i) {
    double squares = 0;
    for (int64_t k = 0; k < kDims; ++k) squares += x.at(i * kDims + k) * x.at(i * kDims + k);
    CHECK(s.energy.at(i) == doctest::Approx(-1.5 * squares).epsilon(1e-12));
    CHECK(s.mass.at(i) == doctest::Approx(-3 * std::sqrt(squares)).epsilon(1e-12));
  }
  Tensor t = typicality(Tensor::from(std::vector<double>{-2, 1, 5}, {3}), 1.5);
  CHECK(t.to_vector<double>() == std::vector<double>{-3.5, -0.5, -3.5});
}

TEST_CASE("the trace vᵀ∇²E v: of a quadratic, and of a network by differences of its gradient") {
  // E = −½xᵀAx with A = 1 + u uᵀ: T = −‖v‖² − (u·v)²
  Tensor x = randn({4, 3}, {.seed = 1}, DType::f64), u = Tensor::from(std::vector<double>{0.5, -1, 2}, {3});
  Energy energy = [&](const Var& at) { return -0.5 * (sum(square(at), {1}) + square(sum(at * Var(u), {1}))); };
  Tensor v = randn({4, 3}, {.seed = 2}, DType::f64);
  EnergyScores s = energy_scores(energy, x, v), without = energy_scores(energy, x);
  CHECK(!without.trace.defined());
  CHECK(largest_difference(s.mass, without.mass) == 0);
  for (int64_t i = 0; i < 4; ++i) {
    double squares = 0, along = 0;
    for (int64_t k = 0; k < 3; ++k)
      squares += v.at(i * 3 + k) * v.at(i * 3 + k), along += u.at(k) * v.at(i * 3 + k);
    CHECK(s.trace.at(i) == doctest::Approx(-squares - along * along).epsilon(1e-12));
  }
  // of an energy that is linear there is none
  Energy linear = [&](const Var& at) { return sum(at * Var(u), {1}); };
  CHECK(largest_difference(energy_scores(linear, x, v).trace, Tensor::zeros({4}, DType::f64)) == 0);
  CHECK_THROWS_AS(energy_scores(energy, x, Tensor::zeros({4, 2}, DType::f64)), Error);

  auto phi = perturbed<UnetPotential>(tiny);
  Tensor images = randn({3, 4, 6, 1}, {.seed = 3}, DType::f64);
  Tensor signs = probes(images, {.seed = 4}, Tensor::arange(3));
  Energy of = boltzmann_energy(*phi, 0.5, -1, 2);
  constexpr double h = 1e-5;
  auto slope = [&](double step) {
    Tensor g = energy_gradient(of, images + step * signs).gradient;
    return kernel::sum(rows(g * signs), {1}, false);
  };
  Tensor differences = (slope(h) - slope(-h)) / (2 * h);
  Tensor trace = energy_scores(of, images, signs).trace;
  for (int64_t i = 0; i < 3; ++i) CHECK(trace.at(i) == doctest::Approx(differences.at(i)).epsilon(1e-6));
}

TEST_CASE("of samples of the density itself E‖∇E‖² is −E T; of others it is not") {
  GaussianFlow flow = gaussian_images(cosine_path, 0.6);
  Energy energy = [&](const Var& x) { return -0.5 / 0.36 * sum(square(rows(x) - Var(flow.mean())), {1}); };
  for (double scale : {1.0, 1.1}) {
    Tensor x = scale * draw_images(flow, 400, 9);
    EnergyScores s = energy_scores(energy, x, probes(x, {.seed = 1}, Tensor::arange(400)));
    Estimate e = estimate((s.mass * s.mass + s.trace).to_vector<double>());
    CHECK((std::abs(e.mean) < 4 * e.error) == (scale == 1));
  }
}

TEST_CASE("probes are ±1, and a function of key and index") {
  Tensor x = Tensor::zeros({5, 3, 4, 2});
  RandomKey key{.seed = 1, .stream = 2, .step = 7};
  Tensor index = Tensor::from(std::vector<int64_t>{0, 3, 5, 6, 9}, {5}), all = probes(x, key, index);
  CHECK(all.shape() == x.shape());
  double sum = 0;
  for (double value : all.to(DType::f64).to_vector<double>()) {
    CHECK(std::abs(value) == 1);
    sum += value;
  }
  CHECK(std::abs(sum) < 4 * std::sqrt(120.0));
  Tensor where = Tensor::from(std::vector<int64_t>{5, 6}, {2});
  CHECK(largest_difference(probes(kernel::slice(x, 0, 2, 4, 1), key, where), kernel::slice(all, 0, 2, 4, 1)) == 0);
  for (int64_t i = 1; i < 5; ++i)
    CHECK(largest_difference(kernel::slice(all, 0, 0, 1, 1), kernel::slice(all, 0, i, i + 1, 1)) > 0);
  CHECK(largest_difference(probes(x, {.seed = 2, .stream = 2, .step = 7}, index), all) > 0);
  CHECK_THROWS_AS(probes(x, key, where), Error);
}

TEST_CASE("the blurred data's energy: log N(x; m, s² + (σ/μ)²), in the data's scale") {
  for (const Path& path : all_paths)
    for (double t : {0.5, 0.95}) {
      GaussianFlow flow{.path = path};
      QuadraticPotential phi = optimal_potential(flow);
      Tensor x = randn({7, 2}, {.seed = 2}, DType::f64);
      PathPoint p = path.at(t);
      double variance = flow.s * flow.s + p.sigma * p.sigma / (p.mu * p.mu);
      Tensor closed = (-0.5 / variance * sum(square(x - Var(flow.mean())), {1})).value();
      Tensor value = blurred_data_energy(phi, path, t)(x).value();
      double offset = value.at(0) - closed.at(0);
      for (int64_t i = 1; i < 7; ++i) CHECK(value.at(i) - closed.at(i) == doctest::Approx(offset).epsilon(1e-9));
    }
}

TEST_CASE("means of neighbours, and the share of numbers outside [−1,1]") {
  Tensor x = Tensor::from(std::vector<float>{0, 2, 4, 8, 1, -1}, {3, 2});
  CHECK(neighbour_means(x).to_vector<float>() == std::vector<float>{2, 5, 2.5, 3.5});
  CHECK_THROWS_AS(neighbour_means(Tensor::zeros({1, 2})), Error);
  CHECK(share_outside(Tensor::from(std::vector<float>{1, -1, 1.5f, -2, 0, 0.5f, 3, 0}, {8})) == 3.0 / 8);
}
