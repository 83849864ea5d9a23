// Training by the library alone: what is learned, saved, opened and gone on with.

#include "vapo/training/trainer.h"

#include <doctest/doctest.h>

#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "tensor/check.h"
#include "tensor/kernels.h"
#include "tensor/random.h"
#include "vapo/model_density.h"
#include "vapo/sampling/draw_samples.h"
#include "vapo/training/point_batches.h"

using namespace vapo;

namespace {

// A file that is gone after the test.
struct Scratch {
  std::filesystem::path folder = std::filesystem::temp_directory_path() / fmt::format("vapo-trainer-{}", getpid());
  Scratch() { std::filesystem::create_directories(folder); }
  ~Scratch() { std::filesystem::remove_all(folder); }
  std::filesystem::path operator()(const char* name) const { return folder / name; }
};

Recipe small(int64_t steps) {
  Recipe r;
  r.potential.mlp.hidden = {16, 16};
  r.train.steps = steps;
  r.train.batch_size = 64;
  r.train.schedule.base = 1e-2;
  return r;
}

Tensor two_columns() {  // of means 10 and −3, deviations 2 and 0.5
  Tensor x = randn({400, 2}, {.seed = 4}, DType::f64);
  Tensor scale = Tensor::from(std::vector<double>{2, 0.5}, {2}),
         mean = Tensor::from(std::vector<double>{10, -3}, {2});
  return kernel::binary(kernel::Binary::add, kernel::binary(kernel::Binary::mul, x, scale), mean);
}

std::vector<float> parameters_of(const std::filesystem::path& file) {
  Model model = open_model(file, {.last_weights = true});
  std::vector<float> out;
  for (const nn::NamedParameter& p : nn::named_parameters(*model.potential))
    for (float v : p.parameter->value().to_vector<float>()) out.push_back(v);
  return out;
}

}  // namespace

TEST_CASE("a training that was stopped goes on with the bits of one that was not") {
  Scratch file;
  Recipe recipe = small(20);
  PointOptions options{.batch_size = 64, .jitter = 0.1};
  PointBatches whole_points(two_columns(), options), first_points(two_columns(), options);
  Trainer whole(recipe, whole_points), first(recipe, first_points);
  while (whole.steps_done() < 20) whole.step();
  while (first.steps_done() < 7) first.step();
  whole.save(file("whole"));
  first.save(file("first"));

  nn::CheckpointReader checkpoint(file("first"));
  PointBatches again_points(two_columns(), options);
  again_points.restore(checkpoint.info(), "first");
  Trainer again(recipe, again_points);
  again.load(checkpoint);
  CHECK(again.steps_done() == 7);
  while (again.steps_done() < 20) again.step();
  again.save(file("again"));
  CHECK(parameters_of(file("whole")) == parameters_of(file("again")));
  CHECK(parameters_of(file("whole")) != parameters_of(file("first")));
}

TEST_CASE("a model opened from its checkpoint gives samples and densities in the data's units") {
  Scratch file;
  Recipe recipe = small(300);
  PointBatches points(two_columns(), {.batch_size = 64});
  Trainer trainer(recipe, points);
  while (trainer.steps_done() < 300) trainer.step();
  trainer.save(file("model"));
  Model model = open_model(file("model"));
  CHECK(model.averaged);
  CHECK(model.step == 300);
  CHECK(model.recipe.potential.mlp.hidden == std::vector<int64_t>{16, 16});
  Tensor x = draw_samples(model, 400, 1).x;
  CHECK(x.dtype() == DType::f64);
  Tensor mean = kernel::affine(kernel::sum(x, {0}, false), 1.0 / 400, 0);
  CHECK(std::abs(mean.at(0) - 10) < 0.6);  // 6 standard errors
  CHECK(std::abs(mean.at(1) + 3) < 0.15);
  // log p of the law: −log(2π·2·0.5) − 1 on average
  double nats = kernel::sum(log_density(model, two_columns()).log_likelihood, {}, false).item() / 400;
  CHECK(nats == doctest::Approx(-2.84).epsilon(0.05));
  // every evaluation is seen, and whoever sees them may end it
  int64_t seen = 0;
  Likelihoods watched = log_density(model, x, {.observe = [&](double t) { seen += t >= 0 && t <= 1; }});
  CHECK(seen == watched.nfe);
  auto end_it = [&](double) {
    if (--seen == 0) throw DivergedError("enough");
  };
  seen = 3;
  CHECK_THROWS_WITH_AS(log_density(model, x, {.observe = end_it}), "enough", DivergedError);
  // without standardisation the same points are other numbers
  CHECK(points.batch(0).x.at(0) != doctest::Approx(two_columns().at(0)));
}

TEST_CASE("recipe and source that do not fit are named") {
  PointBatches points(two_columns(), {.batch_size = 64});
  Recipe recipe = small(3);
  recipe.train.accumulate = 3;
  CHECK_THROWS_WITH_AS(Trainer(recipe, points), doctest::Contains("train.accumulate = 3"), InputError);
  recipe = small(3);
  recipe.potential.network = PotentialOptions::Network::unet;
  CHECK_THROWS_WITH_AS(Trainer(recipe, points), doctest::Contains("model.kind"), InputError);
  recipe = small(3);
  recipe.loss.estimator = LossOptions::Estimator::published;
  CHECK_THROWS_WITH_AS(Trainer(recipe, points), doctest::Contains("loss.weight"), InputError);
  CHECK_THROWS_AS(PointBatches(Tensor::zeros({2, 2, 2}), {}), Error);
  CHECK_THROWS_WITH_AS(points.held_out(0, 1), doctest::Contains("holds nothing out"), Error);
  CHECK(std::isnan(Trainer(small(3), points).validation_loss()));
}

TEST_CASE("weights of one training begin another") {
  Scratch file;
  PointBatches points(two_columns(), {.batch_size = 64});
  Trainer first(small(10), points);
  while (first.steps_done() < 10) first.step();
  first.save(file("first"));
  Trainer second(small(10), points);
  second.start_from(nn::CheckpointReader(file("first")));
  CHECK(second.steps_done() == 0);
  second.save(file("second"));
  Model averaged = open_model(file("first")), begun = open_model(file("second"), {.last_weights = true});
  Tensor x = Tensor::from(std::vector<float>{0.5f, -0.25f}, {1, 2}), t = Tensor::full({1}, 0.5);
  CHECK((*averaged.potential)(x, t).item() == (*begun.potential)(x, t).item());
  Recipe wider = small(10);
  wider.potential.mlp.hidden = {16, 17};
  Trainer other(wider, points);
  CHECK_THROWS_AS(other.start_from(nn::CheckpointReader(file("first"))), InputError);
}
