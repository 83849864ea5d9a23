// Image networks with and without recomputation of their blocks.

#include <doctest/doctest.h>

#include <chrono>
#include <cstring>

#include "autograd/grad.h"
#include "gaussian_flow.h"
#include "tiny_networks.h"
#include "vapo/loss.h"
#include "vapo/preconditioned.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

// Φ, ∇Φ, the terms of the published loss, and its gradient in every parameter.
std::vector<Tensor> step(Potential& phi, bool again, const Shape& image, DType dtype, bool labels = false) {
  phi.set_recompute(again);
  Shape shape{3, image[0], image[1], image[2]};
  LossBatch batch{randn(shape, {.seed = 3}, dtype), rand({3}, {.seed = 4}, 0, 1, dtype),
                  randn(shape, {.seed = 5}, dtype), labels ? Tensor::full({3}, 1, DType::i64) : Tensor(),
                  RandomKey{.seed = 6}};
  std::vector<Tensor> out{phi(batch.data, batch.t, batch.labels, batch.dropout).value(),
                          gradient(phi, batch.data, 0.4, batch.labels)};
  LossTerms loss = vapo_loss(phi, linear_path, batch, {.estimator = LossOptions::Estimator::published});
  for (const auto& [name, term] : loss.terms) out.push_back(term.value());
  std::vector<Var> parameters;
  phi.parameters([&](const std::string&, Var& p) { parameters.push_back(p); });
  for (const Var& g : grad(loss.total, parameters, {.allow_unused = true})) out.push_back(g.value());
  return out;
}

void check_same_bits(Potential& phi, const Shape& image, DType dtype, bool labels = false) {
  int64_t before = kernel::convolution_count();
  std::vector<Tensor> kept = step(phi, false, image, dtype, labels);
  int64_t between = kernel::convolution_count();
  std::vector<Tensor> again = step(phi, true, image, dtype, labels);
  CHECK(kernel::convolution_count() - between > 3 * (between - before) / 2);
  REQUIRE(kept.size() == again.size());
  size_t zero = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    CAPTURE(i);
    CHECK(std::memcmp(kept[i].raw(), again[i].raw(), kept[i].bytes()) == 0);
    zero += kernel::sum_squares({&again[i], 1}).item() == 0;
  }
  CHECK(zero <= 2);  // Φ's constant is the last bias of some networks
}

}  // namespace

TEST_CASE("a step with recomputation has the bits of one without: U-Nets") {
  UnetOptions other = tiny, plain = tiny, wide = tiny;
  other.resblock_updown = true, other.scale_shift = false, other.new_attention_order = true, other.classes = 3;
  plain.time = false, plain.conv_resample = true;
  wide.multipliers = {1, 2}, wide.blocks_per_level = 2;
  for (DType dtype : {DType::f32, DType::f64}) {
    for (const UnetOptions& o : {other, plain, wide})
      check_same_bits(*perturbed<UnetPotential>(o, dtype), {4, 6, 1}, dtype, o.classes > 0);
    PreconditionedPotential both(perturbed<UnetPotential>(tiny, dtype), linear_path);
    check_same_bits(both, {4, 6, 1}, dtype);
  }
}

TEST_CASE("a step with recomputation has the bits of one without: WideResNets") {
  WideResnetOptions grouped = tiny_resnet, timed = tiny_resnet;
  grouped.norm = WideResnetOptions::Norm::group, grouped.groups = 2;
  grouped.activation = nn::Activation::leaky_relu;
  timed.time = true, timed.head = WideResnetOptions::Head::residual, timed.classes = 2;
  for (DType dtype : {DType::f32, DType::f64})
    for (const WideResnetOptions& o : {tiny_resnet, grouped, timed})
      check_same_bits(*perturbed<WideResnetPotential>(o, dtype), {4, 8, 1}, dtype, o.classes > 0);
}

TEST_CASE("a recomputed step takes a fraction of the memory, and no weight gradient in its inner pass") {
  auto phi = perturbed<UnetPotential>(
      UnetOptions{.base_width = 32, .multipliers = {1, 1, 1}, .blocks_per_level = 2, .groups = 8}, DType::f32);
  struct Cost {
    double bytes, seconds;
    int64_t inner, outer;  // convolutions
  };
  auto measure = [&](bool again) {
    phi->set_recompute(again);
    int64_t before = memory_stats().current_bytes, inner = kernel::convolution_count();
    reset_peak_memory();
    auto start = std::chrono::steady_clock::now();
    Shape shape{8, 32, 32, 3};
    LossBatch batch{randn(shape, {.seed = 3}), rand({8}, {.seed = 4}), randn(shape, {.seed = 5}), {}, RandomKey{}};
    Var loss = vapo_loss(*phi, linear_path, batch, {.estimator = LossOptions::Estimator::published}).total;
    int64_t outer = kernel::convolution_count();
    std::vector<Var> parameters;
    phi->parameters([&](const std::string&, Var& p) { parameters.push_back(p); });
    grad(loss, parameters);
    std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    return Cost{static_cast<double>(memory_stats().peak_bytes - before), seconds.count(), outer - inner,
                kernel::convolution_count() - outer};
  };
  measure(false);
  Cost kept = measure(false), again = measure(true);
  MESSAGE("peak " << again.bytes / (1 << 20) << " MiB for " << kept.bytes / (1 << 20) << " MiB: "
                  << again.bytes / kept.bytes << "; time ×" << again.seconds / kept.seconds << "; convolutions "
                  << again.inner << " + " << again.outer << " for " << kept.inner << " + " << kept.outer);
  CHECK(again.bytes < 0.6 * kept.bytes);
  // once more forward, without any weight gradient, for all convolutions but the first and the last of the network
  CHECK(again.inner == kept.inner + kept.inner / 2 - 2);
  CHECK(again.outer < 2.1 * static_cast<double>(kept.outer));
}
