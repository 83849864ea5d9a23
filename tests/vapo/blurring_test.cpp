// Paths that blur: the transform, how particles move, and what is known in closed form of Gaussian images.

#include <doctest/doctest.h>

#include "autograd/grad.h"
#include "gaussian_flow.h"
#include "tensor/random.h"
#include "tiny_networks.h"
#include "vapo/energy.h"
#include "vapo/loss.h"
#include "vapo/preconditioned.h"
#include "vapo/recipe.h"
#include "vapo/sampling/inpainting.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

constexpr int64_t kHeight = 3, kWidth = 4, kDims = kHeight * kWidth;
const Path blurring{.kind = Path::Kind::blurring, .blur = 0.8};
using Estimator = LossOptions::Estimator;

double rate(int64_t i, int64_t j) {  // λ of a frequency
  double down = std::numbers::pi * static_cast<double>(i) / kHeight,
         across = std::numbers::pi * static_cast<double>(j) / kWidth;
  return down * down + across * across;
}
double mu_of(double lambda, double t) { return t * std::exp(-0.5 * lambda * std::pow(blurring.blur * (1 - t), 2)); }
double dmu_of(double lambda, double t) { return (mu_of(lambda, t + 1e-6) - mu_of(lambda, t - 1e-6)) / 2e-6; }

// Rows are the frequencies of an image, in its order (D,D).
Tensor frequencies() {
  Tensor down = dct_basis(kHeight), across = dct_basis(kWidth), out = Tensor::empty({kDims, kDims}, DType::f64);
  for (int64_t k = 0; k < kDims; ++k)
    for (int64_t p = 0; p < kDims; ++p)
      out.mutable_data<double>()[k * kDims + p] =
          down.at(k / kWidth * kHeight + p / kWidth) * across.at(k % kWidth * kWidth + p % kWidth);
  return out;
}

// Images whose frequencies are independent, N(m_k, s_k²): each is a problem in one dimension with μ = M_k, and the
// minimiser of the loss is Φ* = Σ_k M'_k m_k a_k + ½c_k(a_k − M_k m_k)², a = Vᵀx.
struct GaussianImages {
  std::vector<double> m, s;
  GaussianImages() {
    for (int64_t k = 0; k < kDims; ++k) {
      m.push_back(std::sin(1.3 * static_cast<double>(k)));
      s.push_back(0.4 + 0.1 * static_cast<double>(k % 5));
    }
  }
  Tensor of_noise(const Tensor& z) const {  // frequencies (N,D) N(0,1) → images
    Var a = Var(z) * Var(Tensor::from(s, {kDims})) + Var(Tensor::from(m, {kDims}));
    return reshape(linear(a, permute(Var(frequencies()), {1, 0})), {z.dim(0), kHeight, kWidth, 1}).value();
  }
};

class Optimal : public Potential {
 public:
  explicit Optimal(double scale = 1) : theta(Var::leaf(Tensor::full({1}, scale, DType::f64), "theta")) {}
  Var operator()(const Var& x, const Var& t, const Tensor&, const std::optional<RandomKey>&) const override {
    int64_t n = x.dim(0);
    Tensor slope = Tensor::empty({n, kDims}, DType::f64), c = Tensor::empty({n, kDims}, DType::f64),
           mean = slope.clone();
    for (int64_t i = 0; i < n; ++i)
      for (int64_t k = 0; k < kDims; ++k) {
        double at = t.value().at(i), lambda = rate(k / kWidth, k % kWidth), mu = mu_of(lambda, at);
        double dmu = dmu_of(lambda, at), s2 = images.s[k] * images.s[k], sigma = 1 - at;
        slope.mutable_data<double>()[i * kDims + k] = dmu * images.m[k];
        mean.mutable_data<double>()[i * kDims + k] = mu * images.m[k];
        c.mutable_data<double>()[i * kDims + k] = (mu * dmu * s2 - sigma) / (mu * mu * s2 + sigma * sigma);
      }
    Var a = linear(reshape(x, {n, kDims}), Var(frequencies()));
    return theta * sum(Var(slope) * a + 0.5 * Var(c) * square(a - Var(mean)), {1});
  }
  void parameters(const nn::ParameterVisitor& visit) override { visit("theta", theta); }
  Var theta;
  GaussianImages images;
};

LossBatch draw(int64_t n, uint64_t step) {
  return {.data = GaussianImages().of_noise(randn({n, kDims}, {.seed = 5, .stream = 1, .step = step}, DType::f64)),
          .t = rand({n}, {.seed = 5, .stream = 2, .step = step}, 0.05, 0.9, DType::f64),
          .eps = randn({n, kHeight, kWidth, 1}, {.seed = 5, .stream = 3, .step = step}, DType::f64)};
}

Estimate slope_in_theta(double theta, Estimator estimator, uint64_t first) {
  Optimal phi(theta);
  std::vector<double> draws;
  for (uint64_t i = 0; i < 60; ++i) {
    LossTerms loss = vapo_loss(phi, blurring, draw(64, first + i), {.estimator = estimator});
    draws.push_back(grad(loss.total, phi.theta).item());
  }
  return estimate(draws);
}

}  // namespace

TEST_CASE("the transform is orthonormal, and the blur takes each of its waves down by e^{−λτ}") {
  for (int64_t n : {1, 2, 5, 8}) {
    Tensor v = dct_basis(n), product = kernel::matmul(v, v, {.transpose_b = true});
    for (int64_t i = 0; i < n * n; ++i) CHECK(product.at(i) == doctest::Approx(i / n == i % n).epsilon(1e-13));
    for (int64_t i = 0; i < n; ++i) CHECK(v.at(i) == doctest::Approx(1 / std::sqrt(static_cast<double>(n))));
  }
  Tensor waves = frequencies().reshape({kDims, kHeight, kWidth, 1}), eps = Tensor::zeros(waves.shape(), DType::f64);
  for (double t : {0., 0.3, 0.8, 1.}) {
    Particles at = particles_of(blurring, waves, eps, Tensor::full({kDims}, t, DType::f64));
    for (int64_t k = 0; k < kDims; ++k)
      for (int64_t p = 0; p < kDims; ++p)
        CHECK(at.x.at(k * kDims + p) ==
              doctest::Approx(mu_of(rate(k / kWidth, k % kWidth), t) * waves.at(k * kDims + p)).epsilon(1e-12));
  }
}

TEST_CASE("v is how a particle moves, channels keep to themselves, and at the ends are noise and data") {
  Shape shape{3, 4, 6, 2};
  for (DType dtype : {DType::f64, DType::f32}) {
    Tensor data = randn(shape, {.seed = 1}, dtype), eps = randn(shape, {.seed = 2}, dtype);
    auto at = [&](double t) { return particles_of(blurring, data, eps, Tensor::full({3}, t, dtype)); };
    double rounding = dtype == DType::f64 ? 1e-12 : 1e-6;
    CHECK(largest_difference(at(0).x, eps) < rounding);
    CHECK(largest_difference(at(1).x, data) < rounding);
    CHECK(largest_difference(at(1).v, rows(data - eps)) < rounding);  // heat at rest: τ' = 0
    Tensor zero_channel = data.clone();
    if (dtype != DType::f64) continue;
    constexpr double h = 1e-5;
    for (double t : {0.2, 0.7})
      CHECK(largest_difference(at(t).v, rows((at(t + h).x - at(t - h).x) / (2 * h))) < 1e-8);
    for (int64_t i = 0; i < data.numel(); i += 2) zero_channel.mutable_data<double>()[i] = 0;
    Particles other = particles_of(blurring, zero_channel, eps, Tensor::full({3}, 0.5, dtype)), all = at(0.5);
    for (int64_t i = 1; i < data.numel(); i += 2) CHECK(std::abs(other.x.at(i) - all.x.at(i)) < 1e-14);
    CHECK(largest_difference(other.x, all.x) > 0.1);
  }
  CHECK_THROWS_WITH_AS(particles_of(blurring, Tensor::zeros({2, 3}), Tensor::zeros({2, 3}), Tensor::zeros({2})),
                       doctest::Contains("path.kind = \"blurring\" is of images"), InputError);
}

TEST_CASE("without blur the path is the linear one, for all three losses") {
  Path still = blurring;
  still.blur = 1e-8;
  auto phi = perturbed<UnetPotential>(tiny);
  Shape shape{3, 4, 6, 1};
  LossBatch batch{randn(shape, {.seed = 1}, DType::f64), rand({3}, {.seed = 2}, 0.1, 0.9, DType::f64),
                  randn(shape, {.seed = 3}, DType::f64)};
  for (auto estimator : {Estimator::inner_product, Estimator::covariance, Estimator::published}) {
    auto total = [&](const Path& path) {
      return vapo_loss(*phi, path, batch, {.estimator = estimator}).total.item();
    };
    CHECK(total(still) == doctest::Approx(total(linear_path)).epsilon(1e-10));
    CHECK(std::abs(total(blurring) - total(linear_path)) > 1e-3);
    double parts = 0;
    LossOptions options{.estimator = estimator};
    LossParts in_parts(*phi, blurring, batch, options, 3);
    for (int64_t part = 0; part < 3; ++part) parts += in_parts(part).total.item();
    CHECK(parts == doctest::Approx(total(blurring)).epsilon(1e-10));
  }
}

TEST_CASE("at the closed form's minimiser both estimators' gradients vanish, and elsewhere they agree") {
  for (auto estimator : {Estimator::inner_product, Estimator::covariance}) {
    Estimate best = slope_in_theta(1, estimator, 0);
    CAPTURE(best.mean);
    CHECK(std::abs(best.mean) < 4 * best.error);
  }
  Estimate inner = slope_in_theta(1.4, Estimator::inner_product, 1000),
           covariance = slope_in_theta(1.4, Estimator::covariance, 2000);
  CHECK(inner.mean > 4 * inner.error);
  CHECK(std::abs(inner.mean - covariance.mean) < 4 * std::hypot(inner.error, covariance.error));
}

TEST_CASE("the flow of ∇Φ* carries noise to the images") {
  Optimal phi;
  Tensor z = randn({5, kDims}, {.seed = 6}, DType::f64);
  Tensor noise = linear(Var(z), permute(Var(frequencies()), {1, 0})).value().reshape({5, kHeight, kWidth, 1});
  Field field = [&](const Tensor& x, double t) { return gradient(phi, x, t); };
  Tensor end = integrate(field, noise, 1e-5, 1 - 1e-5, {.rtol = 1e-8, .atol = 1e-9, .times = {}}).x;
  CHECK(largest_difference(end, phi.images.of_noise(z)) < 2e-4);
}

TEST_CASE("what needs the density of one μ(t) is refused, with the reason") {
  auto phi = perturbed<UnetPotential>(tiny);
  CHECK_THROWS_WITH_AS(marginal_energy(*phi, blurring, 0.5), doctest::Contains("path.kind = \"blurring\""),
                       InputError);
  CHECK_THROWS_WITH_AS(PreconditionedPotential(perturbed<UnetPotential>(tiny), blurring),
                       doctest::Contains("path.kind = \"blurring\""), InputError);
  Shape shape{2, 4, 6, 1};
  LossBatch batch{Tensor::zeros(shape), Tensor::full({2}, 0.5), Tensor::zeros(shape)};
  CHECK_THROWS_WITH_AS(vapo_loss(*phi, blurring, batch, {.weight = LossOptions::Weight::preconditioned}),
                       doctest::Contains("path.kind = \"blurring\""), InputError);
  std::shared_ptr<Potential> shared = perturbed<UnetPotential>(tiny);
  KnownPixels known{Tensor::zeros(shape), Tensor::ones({4, 6, 1})};
  CHECK_NOTHROW(inpainting(shared, known));
  CHECK_THROWS_WITH_AS(inpainting_renoised(shared, known, blurring, Tensor::zeros(shape)),
                       doctest::Contains("path.kind = \"blurring\""), InputError);

  Recipe good;
  good.path = blurring;
  good.potential = {.network = PotentialOptions::Network::unet, .form = PotentialOptions::Form::raw};
  good.loss = {};
  CHECK_NOTHROW(check(good));
  auto refused = [&](const char* key, auto change) {
    Recipe recipe = good;
    change(recipe);
    CHECK_THROWS_WITH_AS(check(recipe), doctest::Contains(key), InputError);
  };
  refused("model.kind = \"mlp\"", [](Recipe& r) { r.potential.network = PotentialOptions::Network::mlp; });
  refused("model.potential = \"preconditioned\"",
          [](Recipe& r) { r.potential.form = PotentialOptions::Form::preconditioned; });
  refused("loss.weight = \"preconditioned\"",
          [](Recipe& r) { r.loss.weight = LossOptions::Weight::preconditioned; });
  refused("path.kind = \"blurring\" with path.coupling",
          [](Recipe& r) { r.path.coupling = Path::Coupling::optimal; });
  refused("sample.energy = \"marginal\"", [](Recipe& r) { r.sample.langevin = true; });
}
