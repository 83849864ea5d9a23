// Composed potentials and the samplers on them, on the CPU and on the GPU from the same numbers: the largest
// difference by the largest value; and on the GPU recorded and launched, which must not differ in a bit. Exits with
// 77, which ctest counts as skipped, where there is no GPU.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "autograd/grad.h"
#include "tensor/device.h"
#include "tensor/random.h"
#include "tests/vapo/tiny_networks.h"
#include "vapo/energy.h"
#include "vapo/likelihood.h"
#include "vapo/loss.h"
#include "vapo/networks/mlp.h"
#include "vapo/particles.h"
#include "vapo/preconditioned.h"
#include "vapo/recorded.h"
#include "vapo/sampling/composition.h"
#include "vapo/sampling/draw_samples.h"
#include "vapo/sampling/inpainting.h"
#include "vapo/sampling/interpolation.h"
#include "vapo/sampling/ode.h"
#include "vapo/sampling/sgld.h"

namespace {

using namespace vapo;

const Path path{.kind = Path::Kind::cosine};

struct Result {
  const char* name;
  Tensor x;
};

std::shared_ptr<Potential> network(Device device) {
  auto mlp = std::make_unique<MlpPotential>(
      MlpOptions{.in_features = 4, .hidden = {16}, .time_embedding = 4, .classes = 3}, 1);
  std::shared_ptr<Potential> out = std::make_shared<PreconditionedPotential>(std::move(mlp), path);
  nn::to(*out, device);
  return out;
}

std::vector<Result> results(Device device) {
  std::shared_ptr<Potential> base = network(device);
  auto noise = [&](uint64_t seed) { return randn({3, 4}, {.seed = seed}, {DType::f32, device}); };
  Tensor y = Tensor::from(std::vector<int64_t>{2, 0, 1}, {3}), one = Tensor::from(std::vector<int64_t>{1}, {1}),
         mask = Tensor::from(std::vector<float>{1, 0, 0, 1}, {4});
  KnownPixels known{noise(5), mask};
  std::shared_ptr<Potential> phi = never_alone(inpainting_renoised(
      tempered(composed(base, 3, {{y.to(device), 0.7}, {one, 0.3}}, 1.5), 0.8), known, path, noise(6)));
  Tensor x = noise(2);
  Field field = [&](const Tensor& at, double t) { return gradient(*phi, at, t); };
  TimedField each = [&](const Tensor& at, const Tensor& t) { return gradient(*phi, at, t); };
  Energy energy = marginal_energy(*phi, path, 0.9);
  LikelihoodOptions exact{.ode = {.rtol = 1e-3, .atol = 1e-3, .times = {}}}, probed = exact;
  probed.trace = LikelihoodOptions::Trace::hutchinson, probed.probes = 2;
  TensorOptions on{DType::f32, device};
  Particles blurred =
      particles_of({.kind = Path::Kind::blurring, .blur = 1.5}, randn({3, 4, 6, 2}, {.seed = 7}, on),
                   randn({3, 4, 6, 2}, {.seed = 8}, on), rand({3}, {.seed = 9}, 0, 1, on));
  std::vector<Result> out{
      {"gradient", gradient(*phi, x, 0.4)},
      {"alone", gradient(*conditioned(base, 3, one), kernel::slice(x, 0, 0, 1, 1), 0.4)},
      {"held, published", gradient(*inpainting(guided(base, 3, y, 2), known), x, 0.4)},
      {"completed", completed(x, known)},
      {"heun", integrate(field, x, 0, 1, {.method = OdeMethod::heun, .steps = 5}).x},
      {"rk45", integrate(field, x, 0, 1).x},
      {"rk45, own steps", integrate_each(each, x, 0, 1).x},
      {"energy", energy(x).value()},
      {"blurred", blurred.x},
      {"blurred, velocity", blurred.v},
      {"sgld", sgld(energy, x, {.step_size = 0.01, .steps = 5, .key = {.seed = 4}, .first = 2})},
      {"likelihood", log_likelihood(*base, path, x, exact, y).log_likelihood},
      {"likelihood, probes", log_likelihood(*base, path, x, probed, y).log_likelihood},
      {"slerp", slerp(x, noise(3), 4)},
  };
  for (Result& r : out) {
    VAPO_CHECK(r.x.device() == device, "{} is on {}", r.name, name_of(r.x.device()));
    r.x = r.x.to(Device::cpu);
  }
  return out;
}

// The published loss of a small U-Net and its gradient in every parameter: on a GPU e enters all blocks by one product.
std::vector<Result> unet_results(Device device) {
  std::vector<Result> out;
  for (bool scale_shift : {true, false}) {
    auto net = testing::perturbed<UnetPotential>(UnetOptions{.height = 4,
                                                             .width = 4,
                                                             .in_channels = 1,
                                                             .base_width = 8,
                                                             .multipliers = {1, 2},
                                                             .blocks_per_level = 1,
                                                             .scale_shift = scale_shift,
                                                             .groups = 4,
                                                             .classes = 2},
                                                 DType::f32);
    nn::to(*net, device);
    TensorOptions on{DType::f32, device};
    Shape shape{3, 4, 4, 1};
    LossBatch batch{randn(shape, {.seed = 3}, on), rand({3}, {.seed = 4}, 0, 1, on), randn(shape, {.seed = 5}, on),
                    Tensor::from(std::vector<int64_t>{1, 0, 2}, {3}).to(device), RandomKey{.seed = 6}};
    for (bool again : {false, true}) {
      net->set_recompute(again);
      Var loss = vapo_loss(*net, path, batch, {.estimator = LossOptions::Estimator::published}).total;
      std::vector<Var> parameters, flat;
      net->parameters([&](const std::string&, Var& p) { parameters.push_back(p); });
      for (const Var& g : grad(loss, parameters, {.allow_unused = true})) flat.push_back(reshape(g, {g.numel()}));
      out.push_back({again ? "unet, recomputed" : "unet", concat(flat, 0).value().to(Device::cpu)});
    }
  }
  return out;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  Tensor x = a.to(Device::cpu), y = b.to(Device::cpu);
  return x.shape() == y.shape() && std::memcmp(x.raw(), y.raw(), x.bytes()) == 0;
}

// Whether a recorded ∇Φ has the bits of a launched one, as shapes and operands change and change back.
bool check_recorded(const char* name, const Potential& phi, const Tensor& labels = {}) {
  RecordedGradient recorded(phi, labels);
  bool good = true;
  uint64_t call = 0;
  for (int64_t n : {3, 3, 3, 1, 1, 1, 3, 3})
    for (double t : {0.2, 0.7}) {
      if (labels.defined() && n != 3) continue;
      Tensor x = randn({n, 4}, {.seed = ++call}, {DType::f32, Device::cuda});
      good &= same_bits(recorded(x, t), gradient(phi, x, t, labels));
    }
  good &= recorded.is_recorded() && recorded.refusal().empty();
  fmt::print("recorded: {:<18} {}{}\n", name, recorded.refusal(), good ? "" : "  FAILED");
  return good;
}

int recorded_failures() {
  std::shared_ptr<Potential> base = network(Device::cuda);
  Tensor y = Tensor::from(std::vector<int64_t>{2, 0, 1}, {3}), one = Tensor::from(std::vector<int64_t>{1}, {1}),
         mask = Tensor::from(std::vector<float>{1, 0, 0, 1}, {4});
  KnownPixels known{randn({1, 4}, {.seed = 5}, {DType::f32, Device::cuda}), mask};
  int failures = 0;
  failures += !check_recorded("no class", *base);
  failures += !check_recorded("labels", *base, y);
  failures += !check_recorded("alone", *never_alone(base));
  failures += !check_recorded("guided", *guided(base, 3, one, 2));
  failures += !check_recorded("composed", *composed(base, 3, {{one, 0.7}, {{}, 0.3}}, 1.5));
  failures += !check_recorded("against none", *tempered(composed_against_none(base, 3, {{one, 0.7}}), 0.5));
  failures += !check_recorded("inpainting", *inpainting(base, known));
  failures +=
      !check_recorded("renoised", *inpainting_renoised(conditioned(base, 3, one), known, path, known.values));

  // whole samplers, in batches of which the last is smaller
  Model model;
  model.recipe.path = path;
  model.recipe.potential.mlp.classes = 3;
  model.potential = base;
  model.sample = {4};
  model.standardization = Standardization::identity(4);
  model.device = Device::cuda;
  SampleRequest request{.n = 10, .seed = 3};
  for (const std::string& method : sampler_names())
    for (bool labelled : {false, true})
      for (bool own_steps : {false, true}) {
        SamplerOptions o;
        o.batch_size = 4, o.set_method(method), o.ode.steps = 6, o.sgld.steps = 6, o.energy = EnergyKind::boltzmann;
        request.own_steps = own_steps;
        request.labels = labelled ? classes_in_turn(10, 3) : Tensor();
        request.guidance = labelled ? 1.5 : 0;
        request.recorded = true;
        Samples recorded = draw_samples(model, o, request);
        request.recorded = false;
        Samples launched = draw_samples(model, o, request);
        bool good = same_bits(recorded.x, launched.x) && recorded.nfe == launched.nfe && recorded.refusal.empty();
        failures += !good;
        fmt::print("recorded: {} {}{} {}{}\n", method, labelled ? "guided" : "", own_steps ? ", own steps" : "",
                   recorded.refusal, good ? "" : "  FAILED");
      }
  // likelihoods
  for (auto trace : {LikelihoodOptions::Trace::exact, LikelihoodOptions::Trace::hutchinson}) {
    LikelihoodOptions o{.trace = trace, .probes = 2, .ode = {.rtol = 1e-3, .atol = 1e-3, .times = {}}};
    Tensor x = randn({3, 4}, {.seed = 9}, {DType::f32, Device::cuda});
    Tensor recorded = log_likelihood(*base, path, x, o, y).log_likelihood;
    o.recorded = false;
    bool good = same_bits(recorded, log_likelihood(*base, path, x, o, y).log_likelihood);
    failures += !good;
    fmt::print("recorded: likelihood{}\n", good ? "" : "  FAILED");
  }
  // what cannot be recorded is launched
  int64_t calls = 0;
  Recorded reads([&](std::span<const Tensor> in) {
    return ++calls, std::vector{kernel::affine(in[0], kernel::sum(in[0], {}, false).item(), 0)};
  });
  Tensor twos = Tensor::full({2}, 2, {DType::f32, Device::cuda});
  bool good = true;
  for (int i = 0; i < 3; ++i) good &= reads({&twos, 1})[0].at(1) == 8;
  good &= !reads.is_recorded() && reads.refusal().find("is recorded") != std::string::npos && calls == 4;
  failures += !good;
  fmt::print("launched: {}{}\n", reads.refusal(), good ? "" : "  FAILED");
  return failures;
}

}  // namespace

int main() {
  if (!cuda_available()) {
    fmt::print("skipped: {}\n", cuda_absence());
    return 77;
  }
  int failures = recorded_failures();
  std::vector<Result> here = results(Device::cpu), there = results(Device::cuda);
  for (auto [all, device] : {std::pair(&here, Device::cpu), {&there, Device::cuda}})
    for (Result& r : unet_results(device)) all->push_back(std::move(r));
  for (size_t i = 0; i < here.size(); ++i) {
    double difference = here[i].x.shape() == there[i].x.shape() ? 0 : INFINITY, largest = 0;
    for (int64_t k = 0; k < here[i].x.numel() && difference < INFINITY; ++k) {
      difference = std::max(difference, std::abs(here[i].x.at(k) - there[i].x.at(k)));
      largest = std::max(largest, std::abs(here[i].x.at(k)));
    }
    bool good = difference <= 1e-4 * largest && largest > 0;
    failures += !good;
    fmt::print("{:<18} {:.1e} of {:.2g}{}\n", here[i].name, difference, largest, good ? "" : "  FAILED");
  }
  return failures > 0;
}
