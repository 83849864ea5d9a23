// A batch in parts has the loss and the gradients of the batch in one.

#include <doctest/doctest.h>

#include "autograd/grad.h"
#include "gaussian_flow.h"
#include "tensor/storage.h"
#include "tiny_networks.h"
#include "vapo/loss.h"
#include "vapo/networks/mlp.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

using O = LossOptions;

struct Step {
  std::vector<double> terms;  // the total first
  std::vector<Tensor> gradients;
};

std::vector<Var> parameters_of(Potential& phi) {
  std::vector<Var> out;
  phi.parameters([&](const std::string&, Var& p) { out.push_back(p); });
  return out;
}

void add(Step& sum, Potential& phi, const LossTerms& loss) {
  std::vector<double> terms{loss.total.item()};
  for (const auto& [name, term] : loss.terms) terms.push_back(term.item());
  std::vector<Var> g = grad(loss.total, parameters_of(phi), {.allow_unused = true});
  if (sum.terms.empty()) sum.terms.resize(terms.size()), sum.gradients.resize(g.size());
  for (size_t i = 0; i < terms.size(); ++i) sum.terms[i] += terms[i];
  for (size_t i = 0; i < g.size(); ++i)
    sum.gradients[i] = sum.gradients[i].defined() ? (Var(sum.gradients[i]) + g[i]).value() : g[i].value();
}

Step step_in(int64_t parts, Potential& phi, const Path& path, const LossBatch& batch, const O& options) {
  Step out;
  LossParts loss(phi, path, batch, options, parts);
  for (int64_t part = 0; part < parts; ++part) add(out, phi, loss(part));
  return out;
}

void check_parts(Potential& phi, const Path& path, const LossBatch& batch, const O& options, double tolerance) {
  Step one;
  add(one, phi, vapo_loss(phi, path, batch, options));
  double scale = 0;
  for (const Tensor& g : one.gradients)
    scale = std::max(scale, largest_difference(g, Tensor::zeros(g.shape(), g.dtype())));
  CHECK(scale > 1e-4);
  for (int64_t parts : {1, 2, 3, 6}) {
    CAPTURE(parts);
    Step in_parts = step_in(parts, phi, path, batch, options);
    REQUIRE(in_parts.terms.size() == one.terms.size());
    for (size_t i = 0; i < one.terms.size(); ++i)
      CHECK(std::abs(in_parts.terms[i] - one.terms[i]) <= tolerance * (1 + std::abs(one.terms[i])));
    for (size_t i = 0; i < one.gradients.size(); ++i)
      CHECK(largest_difference(in_parts.gradients[i], one.gradients[i]) <= tolerance * scale);
  }
}

std::vector<O> all_losses() {
  std::vector<O> out;
  for (auto weight : {O::Weight::one, O::Weight::preconditioned})
    for (auto estimator : {O::Estimator::inner_product, O::Estimator::covariance})
      out.push_back({.estimator = estimator, .weight = weight});
  for (auto first : {O::FirstTerm::correlation, O::FirstTerm::covariance})
    for (auto second : {O::SecondTerm::cosine, O::SecondTerm::dot, O::SecondTerm::dist})
      out.push_back({.estimator = O::Estimator::published, .first = first, .second = second});
  return out;
}

// Two sorts of samples, far apart and in order, so that no part is like the whole.
LossBatch uneven_batch(const Shape& shape, DType dtype, int64_t classes = 0) {
  int64_t n = shape[0];
  LossBatch out{randn(shape, {.seed = 3}, dtype), rand({n}, {.seed = 4}, 0.05, 0.95, dtype),
                randn(shape, {.seed = 5}, dtype)};
  std::vector<double> shift;
  for (int64_t i = 0; i < n; ++i) shift.push_back(i < n / 2 ? -1.5 : 2.5);
  Shape column{n};
  for (int d = 1; d < shape.rank(); ++d) column.push_back(1);
  out.data = (Var(out.data) + Var(Tensor::from(shift, column).to(dtype))).value();
  if (classes > 0) out.labels = randint({n}, {.seed = 6}, classes + 1);
  out.dropout = RandomKey{.seed = 7, .stream = 3, .step = 9};
  return out;
}

}  // namespace

TEST_CASE("points in parts: every loss has the terms and gradients of the batch in one") {
  for (DType dtype : {DType::f64, DType::f32}) {
    MlpPotential phi({.hidden = {8, 8}, .time_embedding = 4}, 1, dtype);
    perturb(phi);
    for (O options : all_losses())
      for (bool antithetic : {false, true}) {
        options.antithetic = antithetic;
        CAPTURE(static_cast<int>(options.estimator));
        LossBatch batch = uneven_batch({12, 2}, dtype);
        if (options.estimator != O::Estimator::published) batch.weights = rand({12}, {.seed = 8}, 0.2, 3, dtype);
        check_parts(phi, cosine_path, batch, options, dtype == DType::f64 ? 1e-11 : 2e-5);
      }
  }
}

TEST_CASE("images in parts: with dropout, classes and recomputed blocks") {
  UnetOptions with_classes = tiny;
  with_classes.classes = 3;
  WideResnetOptions timed = tiny_resnet;
  timed.classes = 3, timed.time = true;
  for (bool again : {false, true})
    for (bool antithetic : {false, true}) {
      O options{.estimator = O::Estimator::published, .antithetic = antithetic};
      auto unet = perturbed<UnetPotential>(with_classes);
      unet->set_recompute(again);
      check_parts(*unet, linear_path, uneven_batch({6, 4, 6, 1}, DType::f64, 3), options, 1e-10);
      auto resnet = perturbed<WideResnetPotential>(timed);
      resnet->set_recompute(again);
      check_parts(*resnet, linear_path, uneven_batch({6, 4, 8, 1}, DType::f64, 3), options, 1e-10);
    }
}

TEST_CASE("a dropout mask of some rows is those rows of the whole mask") {
  for (int64_t width : {1, 3, 8, 35}) {
    std::vector<uint8_t> whole =
        kernel::dropout_mask({20, width}, 0.4, {.seed = 1, .stream = 2}).to_vector<uint8_t>();
    for (int64_t first : {1, 2, 7, 19}) {
      auto some = kernel::dropout_mask({20 - first, width}, 0.4, {.seed = 1, .stream = 2, .first = first});
      CHECK(some.to_vector<uint8_t>() == std::vector<uint8_t>(whole.begin() + first * width, whole.end()));
    }
  }
  CHECK_THROWS_AS(rand({4}, {.first = 1}), Error);
}

TEST_CASE("parts take the memory of a part") {
  UnetOptions o = tiny;
  o.height = o.width = 16, o.base_width = 8;
  auto phi = perturbed<UnetPotential>(o, DType::f32);
  O options{.estimator = O::Estimator::published};
  auto peak = [&](int64_t n, int64_t parts) {
    LossBatch batch = uneven_batch({n, 16, 16, 1}, DType::f32);
    int64_t before = memory_stats().current_bytes;
    reset_peak_memory();
    step_in(parts, *phi, linear_path, batch, options);
    return static_cast<double>(memory_stats().peak_bytes - before);
  };
  double one = peak(4, 1), in_parts = peak(32, 8), whole = peak(32, 1);
  MESSAGE("a batch of 32 in 8 parts: " << in_parts / one << " × that of 4; in one: " << whole / one);
  CHECK(in_parts < 1.3 * one);
  CHECK(whole > 3 * one);
}

TEST_CASE("parts that do not fit are refused") {
  MlpPotential phi({.hidden = {8}, .time_embedding = 4}, 1);
  LossBatch batch = uneven_batch({12, 2}, DType::f32);
  CHECK_THROWS_AS(LossParts(phi, linear_path, batch, {}, 5), Error);
  CHECK_THROWS_AS(LossParts(phi, linear_path, batch, {}, 0), Error);
}
