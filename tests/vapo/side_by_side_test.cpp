// Threads of a CPU take a perceptron's batch in parts side by side.

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>

#include "tensor/operators.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tiny_networks.h"
#include "vapo/networks/mlp.h"
#include "vapo/training/point_batches.h"
#include "vapo/training/trainer.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

class Threads {
 public:
  explicit Threads(int count) : before_(num_threads()) { set_num_threads(count); }
  ~Threads() { set_num_threads(before_); }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  int before_;
};

Recipe recipe_of(LossOptions::Estimator estimator) {
  Recipe r;
  r.potential.mlp.hidden = {24, 24};
  r.potential.mlp.time_embedding = 4;
  r.path.kind = Path::Kind::linear;
  r.loss.estimator = estimator;
  r.train.steps = 5;
  r.train.batch_size = 96;
  r.train.schedule.base = 1e-2;
  r.train.clip = {.kind = nn::ClipOptions::Kind::norm, .limit = 1};
  return r;
}

struct Trained {
  std::vector<double> losses, parameters;
};
Trained trained(const Recipe& recipe, int threads) {
  Threads with(threads);
  PointBatches source(randn({100, 2}, {.seed = 4}, DType::f64), {.batch_size = recipe.train.batch_size});
  Trainer trainer(recipe, source, {});
  Trained out;
  for (int64_t k = 0; k < recipe.steps(); ++k) out.losses.push_back(trainer.step().loss);
  for (const nn::NamedParameter& p : nn::named_parameters(*trainer.averaged().potential))
    for (float v : p.parameter->value().to_vector<float>()) out.parameters.push_back(static_cast<double>(v));
  return out;
}

double farthest(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

}  // namespace

TEST_CASE("parts side by side train what the batch in one trains, and the same bits each time") {
  for (auto estimator : {LossOptions::Estimator::covariance, LossOptions::Estimator::inner_product})
    for (bool antithetic : {false, true}) {
      Recipe recipe = recipe_of(estimator);
      recipe.loss.antithetic = antithetic;
      Trained one = trained(recipe, 1), three = trained(recipe, 3);
      CHECK(one.losses.front() != one.losses.back());
      CHECK(farthest(one.losses, three.losses) < 1e-5 * std::abs(one.losses.front()));
      CHECK(farthest(one.parameters, three.parameters) < 1e-4);
      Trained again = trained(recipe, 3);
      CHECK(again.losses == three.losses);
      CHECK(again.parameters == three.parameters);
    }
}

TEST_CASE("as many parts as keep all threads at work, with what a cache holds; and one where that does not pay") {
  MlpPotential phi({}, 0);
  auto parts = [&](int threads, int64_t n, const LossOptions& options = {}) {
    Threads with(threads);
    return parts_side_by_side(phi, n, options);
  };
  CHECK(parts(1, 512) == 1);
  CHECK(parts(1, 4096) == 8);
  CHECK(parts(2, 64) == 2);
  CHECK(parts(2, 512) == 2);
  CHECK(parts(2, 4096) == 8);
  CHECK(parts(2, 333) == 9);
  CHECK(parts(2, 331) == 1);  // a prime
  CHECK(parts(2, 20) == 1);
  CHECK(parts(16, 512) == 16);
  CHECK(parts(2, 4096, {.estimator = LossOptions::Estimator::published}) == 1);
  Threads two(2);
  CHECK(parts_side_by_side(UnetPotential(tiny, 0), 64, {}) == 1);
}

TEST_CASE("of several parts that a thread takes, loss and gradient are those of one after the other") {
  Tensor x = randn({96, 2}, {.seed = 1}), eps = randn({96, 2}, {.seed = 2}), t = Tensor::full({96}, 0.5);
  auto report = [&](int threads, bool side_by_side) {
    Threads with(threads);
    MlpPotential phi({.hidden = {8}}, 0);
    TrainingStep training(phi, {});
    Path path;
    LossParts loss(phi, path, {x, t, eps}, {}, 8);
    return training(0, 1e-3, [&](const TrainingStep::Add& add) {
      if (side_by_side) return add.side_by_side(8, loss);
      for (int64_t part = 0; part < 8; ++part) add(loss(part));
    });
  };
  StepReport expected = report(1, false);
  for (int threads : {1, 2, 3, 8, 11}) {
    CAPTURE(threads);
    StepReport got = report(threads, true);
    CHECK(got.loss == doctest::Approx(expected.loss).epsilon(1e-5));
    CHECK(got.gradient_norm == doctest::Approx(expected.gradient_norm).epsilon(1e-5));
    for (size_t i = 0; i < expected.terms.size(); ++i)
      CHECK(got.terms[i].second == doctest::Approx(expected.terms[i].second).epsilon(1e-5));
  }
}

TEST_CASE("a part's loss runs on one thread, and what it throws arrives") {
  Threads three(3);
  MlpPotential phi({.hidden = {8}}, 0);
  TrainingStep training(phi, {});
  Tensor x = randn({96, 2}, {.seed = 1}), eps = randn({96, 2}, {.seed = 2}), t = Tensor::full({96}, 0.5);
  Path path;
  LossParts loss(phi, path, {x, t, eps}, {}, 6);
  std::atomic<int> computed = 0, divided = 0;
  training(0, 1e-3, [&](const TrainingStep::Add& add) {
    add.side_by_side(6, [&](int64_t part) {
      ++computed, divided += num_threads() != 1;
      return loss(part);
    });
  });
  CHECK(computed == 6);
  CHECK(divided == 0);
  auto broken = [&](const TrainingStep::Add& add) {
    add.side_by_side(6, [&](int64_t part) -> LossTerms {
      if (part == 4) throw InputError("the fifth part");
      return loss(part);
    });
  };
  CHECK_THROWS_WITH_AS(training(1, 1e-3, broken), "the fifth part", InputError);
  CHECK(training(1, 1e-3, [&](const TrainingStep::Add& add) { add.side_by_side(6, loss); }).is_finite());
}
