#include "vapo/sampling/inpainting.h"

#include <doctest/doctest.h>

#include "autograd/check_grads.h"
#include "gaussian_flow.h"
#include "tensor/random.h"
#include "tiny_networks.h"
#include "vapo/energy.h"
#include "vapo/preconditioned.h"
#include "vapo/sampling/composition.h"
#include "vapo/sampling/interpolation.h"
#include "vapo/sampling/sgld.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

Tensor part_of(const Tensor& x, const Tensor& mask) { return (Var(x) * Var(mask)).value(); }
Tensor complement(const Tensor& mask) { return kernel::affine(mask, -1, 1); }
Tensor times(int64_t n, double t) { return Tensor::full({n}, t, DType::f64); }

struct Scene {
  std::shared_ptr<Potential> base =
      std::make_shared<PreconditionedPotential>(perturbed<UnetPotential>(tiny, DType::f64), cosine_path);
  Tensor x = randn({3, 4, 6, 1}, {.seed = 2}, DType::f64), noise = randn({3, 4, 6, 1}, {.seed = 3}, DType::f64);
  KnownPixels known{randn({3, 4, 6, 1}, {.seed = 4}, DType::f64), box_mask(4, 6).to(DType::f64)};
};

double squares(const Tensor& x) { return kernel::sum_squares({&x, 1}).item(); }

}  // namespace

TEST_CASE("known pixels have no drift; the others have that of the completed image") {
  Scene s;
  Tensor each = random_mask(3, 4, 6, {.seed = 1}).to(DType::f64);
  for (const Tensor& mask : {s.known.mask, each}) {
    s.known.mask = mask;
    auto phi = inpainting(s.base, s.known);
    Tensor whole = completed(s.x, s.known), g = gradient(*phi, s.x, 0.4);
    CHECK(squares(part_of(g, mask)) == 0);
    CHECK(squares(g) > 1e-3);
    CHECK(largest_difference(g, part_of(gradient(*s.base, whole, 0.4), complement(mask))) < 1e-14);
    CHECK(largest_difference((*phi)(s.x, times(3, 0.4)).value(), (*s.base)(whole, times(3, 0.4)).value()) == 0);
    CHECK(largest_difference(phi->log_density(s.x, times(3, 1)).value(),
                             s.base->log_density(whole, times(3, 1)).value()) == 0);
  }
}

TEST_CASE("renoised: the network sees known pixels as the path has them at every t") {
  Scene s;
  for (const Path& path : all_paths) {
    auto phi = inpainting_renoised(s.base, s.known, path, s.noise);
    for (double t : {0.0, 0.3, 1.0}) {
      PathPoint p = path.at(t);
      Tensor noisy = (p.mu * Var(s.known.values) + p.sigma * Var(s.noise)).value();
      Tensor seen = completed(s.x, {noisy, s.known.mask});
      CHECK(largest_difference((*phi)(s.x, times(3, t)).value(), (*s.base)(seen, times(3, t)).value()) < 1e-12);
      CHECK(squares(part_of(gradient(*phi, s.x, t), s.known.mask)) == 0);
    }
    // each sample at its own time
    Tensor t = Tensor::from(std::vector<double>{0.1, 0.5, 0.8}, {3}), mixed = (*phi)(s.x, t).value();
    for (int64_t i = 0; i < 3; ++i)
      CHECK(std::abs(mixed.at(i) - (*phi)(s.x, times(3, t.at(i))).value().at(i)) < 1e-12);
  }
}

TEST_CASE("they have derivatives of any order, in x and t") {
  Scene s;
  Tensor inputs[] = {s.x, Tensor::from(std::vector<double>{0.2, 0.5, 0.9}, {3})};
  for (const auto& phi : {inpainting(s.base, s.known), inpainting_renoised(s.base, s.known, cosine_path, s.noise)})
    CHECK(check_grads([&](std::span<const Var> in) { return std::vector<Var>{(*phi)(in[0], in[1])}; }, inputs) <
          1e-6);
}

TEST_CASE("samplers leave known coordinates to the bit, and carry the others as their own law") {
  GaussianFlow flow{.path = cosine_path};
  auto base = std::make_shared<QuadraticPotential>(optimal_potential(flow));
  KnownPixels known{Tensor::full({1, 2}, 0.1, DType::f64), Tensor::from(std::vector<double>{0, 1}, {2})};
  Tensor noise = randn({5, 2}, {.seed = 7}, DType::f64), x0 = completed(noise, known);
  Tensor expected = completed(flow.carried(noise, 0, 1), known);  // its coordinates are independent
  auto clean = inpainting(base, known), renoised = inpainting_renoised(base, known, flow.path, noise);
  for (auto method : {OdeMethod::euler, OdeMethod::heun, OdeMethod::rk23, OdeMethod::rk45}) {
    OdeOptions options{.method = method, .rtol = 1e-6, .atol = 1e-6, .steps = 400};
    for (const auto& phi : {clean, renoised}) {
      Field field = [&](const Tensor& x, double t) { return gradient(*phi, x, t); };
      TimedField each = [&](const Tensor& x, const Tensor& t) { return gradient(*phi, x, t); };
      for (const Tensor& x : {integrate(field, x0, 0, 1, options).x, integrate_each(each, x0, 0, 1, options).x}) {
        CHECK(largest_difference(x, expected) < 1e-2);
        CHECK(largest_difference(part_of(x, known.mask), part_of(x0, known.mask)) == 0);
      }
    }
  }
  Tensor climbed =
      sgld(marginal_energy(*clean, flow.path, 0.9), x0, {.step_size = 0.1, .temperature = 0, .steps = 400});
  Tensor mode = kernel::broadcast_to((cosine_path.at(0.9).mu * Var(flow.mean())).value(), x0.shape());
  CHECK(largest_difference(completed(climbed, known), completed(mode, known)) < 1e-6);
}

TEST_CASE("guided and held at once, a sample alone as in a batch") {
  UnetOptions options = tiny;
  options.classes = 3;
  std::shared_ptr<Potential> base = perturbed<UnetPotential>(options, DType::f32);
  Tensor x = randn({3, 4, 6, 1}, {.seed = 2}), noise = randn({3, 4, 6, 1}, {.seed = 3}),
         y = Tensor::from(std::vector<int64_t>{2, 0, 1}, {3}), mask = random_mask(3, 4, 6, {.seed = 1});
  auto gradient_of = [&](int64_t begin, int64_t end) {
    auto some = [&](const Tensor& all) { return kernel::slice(all, 0, begin, end, 1); };
    auto phi = never_alone(
        inpainting_renoised(guided(base, 3, some(y), 2), {some(x), some(mask)}, linear_path, some(noise)));
    return gradient(*phi, some(noise), 0.4);
  };
  Tensor whole = gradient_of(0, 3);
  CHECK(squares(whole) > 1e-3);
  for (int64_t i = 0; i < 3; ++i)
    CHECK(largest_difference(gradient_of(i, i + 1), kernel::slice(whole, 0, i, i + 1, 1)) == 0);
}

TEST_CASE("masks, completion, and what is refused") {
  Tensor box = box_mask(8, 6), half = half_mask(8, 6), random = random_mask(50, 8, 6, {.seed = 1});
  CHECK(squares(complement(box)) == 4 * 3);
  CHECK(box.at(2 * 6 + 1) == 0);
  CHECK(box.at(1 * 6 + 1) == 1);
  CHECK(squares(half) == 8 * 3);
  CHECK(half.at(2) == 1);
  CHECK(half.at(3) == 0);
  // 2400 independent pixels: 5 standard errors of ½/√2400 each
  CHECK(std::abs(squares(random) / 2400 - 0.5) < 5 * 0.5 / std::sqrt(2400.0));
  CHECK(largest_difference(random_mask(3, 8, 6, {.seed = 1}), kernel::slice(random, 0, 0, 3, 1)) == 0);

  Tensor u = Tensor::empty({1, 8, 6, 1});  // awkward values survive to the bit
  for (int64_t i = 0; i < 48; ++i) u.mutable_data<float>()[i] = static_cast<float>(i) / 127.5f - 1;
  Tensor x = randn({2, 8, 6, 1}, {.seed = 2}), whole = completed(x, {u, box});
  for (int64_t i = 0; i < 96; ++i)
    CHECK(whole.data<float>()[i] == (box.at(i % 48) == 1 ? u.data<float>()[i % 48] : x.data<float>()[i]));

  Scene s;
  KnownPixels grey{s.known.values, Tensor::full({4, 6, 1}, 0.5)};
  CHECK_THROWS_AS(inpainting(s.base, grey), InputError);
  CHECK_THROWS_AS(inpainting(s.base, {s.known.values, box_mask(8, 6)}), Error);
  CHECK_THROWS_AS(gradient(*inpainting(s.base, s.known), randn({1, 4, 6, 1}, {.seed = 1}, DType::f64), 0.5), Error);
}

TEST_CASE("slerp: equal angles on the sphere of the mean norm, between the very ends") {
  for (DType dtype : {DType::f32, DType::f64}) {
    double eps = dtype == DType::f32 ? 1e-5 : 1e-12;
    Tensor u = randn({2, 5, 3}, {.seed = 1}, dtype), v = randn({2, 5, 3}, {.seed = 2}, dtype);
    Tensor arc = slerp(u, v, 7);
    CHECK(arc.shape() == Shape{14, 5, 3});
    CHECK(arc.dtype() == dtype);
    for (int64_t pair = 0; pair < 2; ++pair) {
      auto of = [](const Tensor& x, int64_t i) { return kernel::slice(x, 0, i, i + 1, 1).to(DType::f64); };
      auto at = [&](int64_t i) { return of(arc, pair * 7 + i); };
      auto dot = [](const Tensor& a, const Tensor& b) { return sum(Var(a) * Var(b)).item(); };
      CHECK(largest_difference(at(0), of(u, pair)) == 0);
      CHECK(largest_difference(at(6), of(v, pair)) == 0);
      double norm = 0.5 * (std::sqrt(squares(at(0))) + std::sqrt(squares(at(6))));
      double angle = std::acos(dot(at(0), at(6)) / std::sqrt(squares(at(0)) * squares(at(6))));
      for (int64_t i = 1; i < 6; ++i) {
        CHECK(std::sqrt(squares(at(i))) == doctest::Approx(norm).epsilon(eps));
        double to_next = std::acos(dot(at(i), at(i + 1)) / std::sqrt(squares(at(i)) * squares(at(i + 1))));
        CHECK(to_next == doctest::Approx(angle / 6).epsilon(10 * eps));
      }
    }
  }
  Tensor u = Tensor::from(std::vector<double>{3, 4}, {1, 2}), twice = kernel::affine(u, 2, 0);
  CHECK(largest_difference(slerp(u, twice, 3), Tensor::from(std::vector<double>{3, 4, 4.5, 6, 6, 8}, {3, 2})) <
        1e-14);
  CHECK_THROWS_AS(slerp(u, kernel::affine(u, -1, 0), 3), InputError);
  CHECK_THROWS_AS(slerp(u, Tensor::zeros({1, 2}, DType::f64), 3), InputError);
  CHECK_THROWS_AS(slerp(u, twice, 1), InputError);
  CHECK_THROWS_AS(slerp(u, Tensor::zeros({2, 2}, DType::f64), 3), Error);
}
