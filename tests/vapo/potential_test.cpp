#include <doctest/doctest.h>

#include "autograd/check_grads.h"
#include "autograd/grad.h"
#include "gaussian_flow.h"
#include "tensor/random.h"
#include "vapo/networks/mlp.h"
#include "vapo/preconditioned.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

std::unique_ptr<MlpPotential> small_network(DType dtype = DType::f64) {
  return std::make_unique<MlpPotential>(MlpOptions{.hidden = {6, 5}, .time_embedding = 4}, 1, dtype);
}

Tensor times(int64_t n, double t, DType dtype = DType::f64) { return Tensor::full({n}, t, dtype); }

}  // namespace

TEST_CASE("a path's derivatives are those of its factors, and the ends are prior and data") {
  for (const Path& path : all_paths) {
    for (double t : {0.1, 0.5, 0.85}) {
      double h = 1e-5;
      PathPoint p = path.at(t), up = path.at(t + h), down = path.at(t - h);
      CHECK(p.dmu == doctest::Approx((up.mu - down.mu) / (2 * h)).epsilon(1e-7));
      CHECK(p.dsigma == doctest::Approx((up.sigma - down.sigma) / (2 * h)).epsilon(1e-7));
      PathFactors f = path_factors(path, times(3, t));
      CHECK(f.mu.shape() == Shape{3, 1});
      CHECK(f.mu.at(2) == doctest::Approx(p.mu).epsilon(1e-14));
      CHECK(f.sigma.at(2) == doctest::Approx(p.sigma).epsilon(1e-14));
      CHECK(f.dmu.at(2) == doctest::Approx(p.dmu).epsilon(1e-14));
      CHECK(f.dsigma.at(2) == doctest::Approx(p.dsigma).epsilon(1e-14));
    }
    CHECK(path.at(0).mu == 0);
    CHECK(path.at(0).sigma == doctest::Approx(path.prior_scale()));
    CHECK(path.at(1).mu == doctest::Approx(1));
  }
  CHECK(tempered_path.at(1).sigma == doctest::Approx(tempered_path.nu));
  // mathematics: μ = sigmoid(log(βω²/(αν²))), σ² = 1/(α/ω² + β/ν²)
  double w2 = 1.2 * 1.2, n2 = 0.3 * 0.3, t = 0.2;
  CHECK(tempered_path.at(t).mu == doctest::Approx(1 / (1 + 0.8 * n2 / (t * w2))));
  CHECK(tempered_path.at(t).sigma == doctest::Approx(1 / std::sqrt(0.8 / w2 + t / n2)));
}

TEST_CASE("unknown paths are an error that lists the known") {
  CHECK(path_from_name("linear").kind == Path::Kind::linear);
  CHECK(path_from_name("tempered", 2, 0.5).omega == 2);
  try {
    path_from_name("straight");
    FAIL("no error");
  } catch (const InputError& e) {
    for (const char* name : {"straight", "linear", "cosine", "tempered"})
      CHECK(std::string(e.what()).find(name) != std::string::npos);
  }
  CHECK_THROWS_AS(path_from_name("tempered", 1, 0), InputError);
}

TEST_CASE("an MLP potential depends on t unless it is autonomous") {
  Tensor x = randn({3, 2}, {.seed = 3}, DType::f64);
  MlpPotential timed({.hidden = {8}, .time_embedding = 4}, 0, DType::f64),
      still({.hidden = {8}, .time_embedding = 0}, 0, DType::f64);
  CHECK_FALSE(timed.autonomous());
  CHECK(still.autonomous());
  CHECK(largest_difference(timed(x, times(3, 0.1)).value(), timed(x, times(3, 0.9)).value()) > 1e-3);
  CHECK(largest_difference(still(x, times(3, 0.1)).value(), still(x, times(3, 0.9)).value()) == 0);
  CHECK(timed(x, times(3, 0)).shape() == Shape{3});
  MlpPotential other({.hidden = {8}, .time_embedding = 4}, 1, DType::f64);
  CHECK(largest_difference(timed(x, times(3, 0.1)).value(), other(x, times(3, 0.1)).value()) >
        1e-3);  // the seed counts
}

TEST_CASE("an MLP's parameters are named as in the golden cases, labels are rows, none is the last") {
  MlpPotential phi({.in_features = 3, .hidden = {8, 7}, .time_embedding = 4, .classes = 2}, 0, DType::f64);
  std::vector<std::string> names;
  for (const auto& p : nn::named_parameters(phi)) names.push_back(p.name + " " + p.parameter->shape().str());
  CHECK(names == std::vector<std::string>{"layers.0.weight (8,7)", "layers.0.bias (8)", "layers.1.weight (7,8)",
                                          "layers.1.bias (7)", "layers.2.weight (1,7)", "layers.2.bias (1)",
                                          "label_emb.weight (3,4)"});
  Tensor x = randn({2, 3}, {.seed = 3}, DType::f64), t = times(2, 0.5);
  auto with = [&](int64_t label) {
    return phi(x, t, Tensor::full({2}, static_cast<double>(label), DType::i64)).value();
  };
  CHECK(largest_difference(with(0), with(1)) > 1e-3);
  CHECK(largest_difference(with(2), phi(x, t).value()) == 0);
  CHECK_THROWS_AS(with(3), Error);
}

TEST_CASE("impossible networks are refused") {
  CHECK_THROWS_AS(MlpPotential({.time_embedding = 5}, 0), InputError);
  CHECK_THROWS_AS(MlpPotential({.hidden = {0}}, 0), InputError);
  CHECK_THROWS_AS(MlpPotential({.time_embedding = 0, .classes = 3}, 0), InputError);
  MlpPotential phi({.hidden = {4}}, 0);
  CHECK_THROWS_AS(phi(Tensor::zeros({2, 3}), Tensor::zeros({2})), Error);
  CHECK_THROWS_AS(phi(Tensor::zeros({2, 2}), Tensor::zeros({3})), Error);
  CHECK_THROWS_AS(phi(Tensor::zeros({2, 2}), Tensor::zeros({2}), Tensor::zeros({2}, DType::i64)), Error);
}

TEST_CASE("gradient() is ∇Φ, also where nothing is recorded around it") {
  auto phi = small_network();
  Tensor x = randn({3, 2}, {.seed = 3}, DType::f64);
  NoGradGuard off;
  Tensor g = gradient(*phi, x, 0.4);
  double h = 1e-6;
  for (int64_t d = 0; d < 2; ++d) {
    Tensor step = Tensor::from(std::vector<double>{d == 0 ? h : 0, d == 1 ? h : 0}, {2});
    Var difference = (*phi)(Var(x) + step, times(3, 0.4)) - (*phi)(Var(x) - step, times(3, 0.4));
    for (int64_t i = 0; i < 3; ++i)
      CHECK(g.at(i * 2 + d) == doctest::Approx(difference.value().at(i) / (2 * h)).epsilon(1e-7));
  }
}

TEST_CASE("the energy head is ½‖x − F‖² of every sample, to third order") {
  Tensor x = randn({3, 2, 2, 3}, {.seed = 3}, DType::f64), f = randn({3, 2, 2, 3}, {.seed = 4}, DType::f64);
  Tensor phi = energy_head(x, f).value();
  CHECK(phi.shape() == Shape{3});
  for (int64_t n = 0; n < 3; ++n) {
    double squares = 0;
    for (int64_t i = 12 * n; i < 12 * (n + 1); ++i) squares += (x.at(i) - f.at(i)) * (x.at(i) - f.at(i));
    CHECK(phi.at(n) == doctest::Approx(squares / 2).epsilon(1e-14));
  }
  CHECK(check_grads([](std::span<const Var> v) { return std::vector{energy_head(v[0], v[1])}; }, std::vector{x, f},
                    {.order = 3}) < 1e-6);
  CHECK(energy_head(Tensor::zeros({0, 2, 2, 1}), Tensor::zeros({0, 2, 2, 1})).shape() == Shape{0});
  CHECK_THROWS_AS(energy_head(x, Tensor::zeros({3, 12}, DType::f64)), Error);
}

TEST_CASE("heads: x·F and the sum of F, times a scale") {
  Tensor x = randn({3, 2, 2, 1}, {.seed = 1}, DType::f64), f = randn({3, 2, 2, 1}, {.seed = 2}, DType::f64);
  for (int64_t i = 0; i < 3; ++i) {
    double product = 0, total = 0;
    for (int64_t k = 4 * i; k < 4 * i + 4; ++k) product += x.at(k) * f.at(k), total += f.at(k);
    CHECK(head_of(Head::inner_product, x, f).value().at(i) == doctest::Approx(product));
    CHECK(head_of(Head::linear, x, f, 3).value().at(i) == doctest::Approx(3 * total));
    CHECK(head_of(Head::residual, x, f, 3).value().at(i) == doctest::Approx(3 * energy_head(x, f).value().at(i)));
  }
  for (Head head : {Head::residual, Head::inner_product, Head::linear})
    CHECK(check_grads([head](std::span<const Var> v) { return std::vector{head_of(head, v[0], v[1], 0.5)}; },
                      std::vector{x, f}, {.order = 3}) < 1e-6);
  CHECK(head_of(Head::linear, x, Tensor::ones({3, 1}, DType::f64)).shape() == Shape{3});
  CHECK_THROWS_AS(head_of(Head::inner_product, x, Tensor::zeros({3, 4}, DType::f64)), Error);
  CHECK_THROWS_AS(head_of(Head::linear, x, Tensor::zeros({2, 1}, DType::f64)), Error);
}

TEST_CASE("the preconditioned potential is −½f‖x‖² + ½g²U") {
  Tensor x = randn({4, 2}, {.seed = 3}, DType::f64);
  for (const Path& path : all_paths)
    for (auto reference :
         {PreconditionedPotential::Reference::gaussian, PreconditionedPotential::Reference::none}) {
      PreconditionedPotential phi(small_network(), path, reference);
      for (double t : {0.05, 0.4, 0.95}) {
        Var literal = (-0.5 * path.f(t)) * sum(square(Var(x)), {1}) +
                      (0.5 * path.g_squared(t)) * phi.log_density(x, times(4, t));
        CHECK(largest_difference(phi(x, times(4, t)).value(), literal.value()) < 1e-11);
      }
      // U itself: with the reference, −‖x‖²/(2S) + μ·network
      auto network = small_network();
      double t = 0.4;
      PathPoint p = path.at(t);
      Var u = (*network)(x, times(4, t));
      if (reference == PreconditionedPotential::Reference::gaussian)
        u = p.mu * u - sum(square(Var(x)), {1}) / (2 * (p.mu * p.mu + p.sigma * p.sigma));
      CHECK(largest_difference(phi.log_density(x, times(4, t)).value(), u.value()) < 1e-12);
    }
}

TEST_CASE("the preconditioned potential and its gradient are finite from end to end") {
  for (DType dtype : {DType::f32, DType::f64})
    for (const Path& path : all_paths) {
      PreconditionedPotential phi(small_network(dtype), path);
      Tensor x = randn({4, 2}, {.seed = 3}, dtype);
      for (double t : {0.0, 1e-5, 1 - 1e-6, 1.0}) {
        CHECK(kernel::all_finite(phi(x, times(4, t, dtype)).value()));
        CHECK(kernel::all_finite(gradient(phi, x, t)));
        CHECK(largest_difference(gradient(phi, x, t), Tensor::zeros(x.shape(), dtype)) < 100);
      }
    }
}

TEST_CASE("the preconditioned potential is differentiable in x and t, twice") {
  const Tensor inputs[] = {randn({3, 2}, {.seed = 3}, DType::f64), rand({3}, {.seed = 4}, 0.1, 0.9, DType::f64)};
  for (const Path& path : all_paths) {
    PreconditionedPotential phi(small_network(), path);
    CHECK(check_grads([&](std::span<const Var> in) { return std::vector{phi(in[0], in[1])}; }, inputs) < 1e-6);
  }
}

TEST_CASE("the preconditioned potential names its network's parameters") {
  PreconditionedPotential phi(small_network(), cosine_path);
  CHECK(nn::named_parameters(phi)[0].name == "network.layers.0.weight");
  CHECK_FALSE(phi.autonomous());
}
