// Composed potentials and the samplers on them, on the CPU and on the GPU from the same numbers: the largest
// difference by the largest value. Exits with 77, which ctest counts as skipped, where there is no GPU.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tensor/device.h"
#include "tensor/random.h"
#include "vapo/energy.h"
#include "vapo/likelihood.h"
#include "vapo/networks/mlp.h"
#include "vapo/preconditioned.h"
#include "vapo/sampling/composition.h"
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

std::vector<Result> results(Device device) {
  auto network = std::make_unique<MlpPotential>(
      MlpOptions{.in_features = 4, .hidden = {16}, .time_embedding = 4, .classes = 3}, 1);
  std::shared_ptr<Potential> base = std::make_shared<PreconditionedPotential>(std::move(network), path);
  nn::to(*base, device);
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
  std::vector<Result> out{
      {"gradient", gradient(*phi, x, 0.4)},
      {"alone", gradient(*conditioned(base, 3, one), kernel::slice(x, 0, 0, 1, 1), 0.4)},
      {"held, published", gradient(*inpainting(guided(base, 3, y, 2), known), x, 0.4)},
      {"completed", completed(x, known)},
      {"heun", integrate(field, x, 0, 1, {.method = OdeMethod::heun, .steps = 5}).x},
      {"rk45", integrate(field, x, 0, 1).x},
      {"rk45, own steps", integrate_each(each, x, 0, 1).x},
      {"energy", energy(x).value()},
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

}  // namespace

int main() {
  if (!cuda_available()) {
    fmt::print("skipped: {}\n", cuda_absence());
    return 77;
  }
  int failures = 0;
  std::vector<Result> here = results(Device::cpu), there = results(Device::cuda);
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
