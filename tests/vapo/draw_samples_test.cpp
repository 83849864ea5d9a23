// Samples do not depend on what is drawn beside them, and batches are as large as the device is filled by.

#include "vapo/sampling/draw_samples.h"

#include <doctest/doctest.h>

#include "gaussian_flow.h"
#include "tensor/check.h"
#include "tensor/operators.h"
#include "tensor/random.h"
#include "vapo/networks/mlp.h"
#include "vapo/sampling/composition.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

Model model_of(const Shape& sample, Device device = Device::cpu) {
  Model model;
  model.sample = sample;
  model.device = device;
  model.recipe.potential.mlp.classes = 3;
  if (sample.rank() == 1) model.standardization = Standardization::identity(sample[0]);
  return model;
}

std::shared_ptr<Potential> network() {
  return std::make_shared<MlpPotential>(
      MlpOptions{.in_features = 4, .hidden = {8}, .time_embedding = 4, .classes = 3}, 1);
}

}  // namespace

TEST_CASE("classes and noise are a sample's own, in batches of any size and in parts") {
  Model model = model_of({4});
  model.potential = network();
  for (const char* method : {"heun", "rk45", "sgld"})
    for (double guidance : {0.0, 1.5}) {
      CAPTURE(method);
      CAPTURE(guidance);
      SamplerOptions o;
      o.set_method(method), o.ode.steps = 4, o.sgld.steps = 4, o.energy = EnergyKind::boltzmann;
      SampleRequest request{.n = 11, .seed = 2, .labels = classes_in_turn(11, 3), .guidance = guidance};
      request.own_steps = true;
      Tensor whole = draw_samples(model, o, request).x;
      o.batch_size = 4;
      CHECK(largest_difference(draw_samples(model, o, request).x, whole) == 0);
      SampleRequest part = request;
      part.shared = std::make_shared<SharedFlow>();
      for (int64_t begin : {0, 4, 8}) {
        part.n = std::min<int64_t>(4, 11 - begin), part.first = begin;
        part.labels = kernel::slice(request.labels, 0, begin, begin + part.n, 1);
        Tensor x = draw_samples(model, o, part).x;
        CHECK(largest_difference(x, kernel::slice(whole, 0, begin, begin + part.n, 1)) == 0);
      }
      request.labels = Tensor::from(std::vector<int64_t>{0, 1, 2, 0, 1, 2, 3, 1, 2, 0, 1}, {11});
      CHECK_THROWS_WITH_AS(draw_samples(model, o, request), "composition: class 3: the network has 0 to 2",
                           InputError);
    }
}

TEST_CASE("guidance by the labels of each call is that by fixed ones") {
  std::shared_ptr<Potential> base = network(), of_call = guided(base, 3, 1.5);
  Tensor y = Tensor::from(std::vector<int64_t>{2, 0}, {2}), x = randn({2, 4}, {.seed = 1});
  CHECK(largest_difference(gradient(*of_call, x, 0.4, y), gradient(*guided(base, 3, y, 1.5), x, 0.4)) == 0);
  CHECK_THROWS_WITH_AS(gradient(*of_call, x, 0.4), "[composition] no labels for a potential that takes them",
                       Error);
  CHECK_THROWS_WITH_AS(gradient(*guided(base, 3, y, 1.5), x, 0.4, y),
                       "[composition] labels for a potential whose labels are fixed", Error);
}

TEST_CASE("batches of images are larger on a GPU, where an option does not say how large") {
  struct Row {
    Shape sample;
    int64_t cpu, gpu;
  };
  for (const Row& r : {Row{{28, 28, 1}, 64, 1024}, Row{{32, 32, 3}, 64, 256}, Row{{64, 64, 3}, 64, 64},
                       Row{{256, 256, 3}, 64, 64}, Row{{3, 3, 1}, 64, 1024}, Row{{2}, 4096, 4096}}) {
    CHECK(batch_of(model_of(r.sample), {}) == r.cpu);
    CHECK(batch_of(model_of(r.sample, Device::cuda), {}) == r.gpu);
    CHECK(batch_of(model_of(r.sample, Device::cuda), {.batch_size = 8}) == 8);
  }
}

TEST_CASE(
    "chains at a time are carried on to the data's law, and a flow at a temperature wants Euler and autonomy") {
  GaussianFlow flow{.path = linear_path};
  Model model;
  model.recipe.path = linear_path;
  model.potential = std::make_shared<QuadraticPotential>(optimal_potential(flow));
  model.sample = {2};
  model.standardization = Standardization::identity(2);
  SamplerOptions options{
      .langevin = true, .t_start = 0.01, .sgld = {.step_size = 0.05, .steps = 100}, .energy_t = 0.7};
  SampleRequest request{.n = 8000, .seed = 3, .start = randn({8000, 2}, {.seed = 2}, DType::f64)};
  auto variance = [&](const Tensor& x, double mu) {
    return kernel::sum_squares(std::vector{(x - mu * Var(flow.mean())).value()}).item() / 16000;
  };
  double error = std::sqrt(2.0 / 16000), bias = 1 / (1 - 0.025 / flow.variance(0.7));  // of steps of 0.05
  double there = variance(draw_samples(model, options, request).x, 0.7);
  CHECK(there == doctest::Approx(flow.variance(0.7) * bias).epsilon(4 * error));
  options.denoise = true;
  Samples carried = draw_samples(model, options, request);
  CHECK(variance(carried.x, 1) == doctest::Approx(flow.s * flow.s * bias).epsilon(4 * error));
  CHECK(carried.nfe > 100);
  options.energy_t = 1;
  CHECK_THROWS_WITH_AS(draw_samples(model, options, request), doctest::Contains("denoising"), InputError);
  options = {.heat = 0.1};
  CHECK_THROWS_WITH_AS(draw_samples(model, options, request), doctest::Contains("--method euler"), InputError);
  options.ode.method = OdeMethod::euler;
  CHECK_THROWS_WITH_AS(draw_samples(model, options, request), doctest::Contains("autonomous"), InputError);
  model.potential = std::make_shared<Bowl>(-2, std::vector<double>{0, 0});  // e^{Φ/T} has variance T/2
  options.t_end = 6;
  options.ode.steps = 120;
  Tensor hot = draw_samples(model, options, request).x;
  CHECK(kernel::sum_squares(std::vector{hot}).item() / 16000 == doctest::Approx(0.05 / 0.95).epsilon(4 * error));
}
