// The times that training draws: their law, the weights that undo it, and that validation does not see either.

#include "vapo/times.h"

#include <doctest/doctest.h>

#include <cmath>

#include "gaussian_flow.h"
#include "vapo/training/trainer.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

constexpr int64_t n = 100'000;
constexpr double low = 0.01, high = 0.9;
using Kind = Times::Kind;

double tau_of(double t) { return (t - low) / (high - low); }
double logit(double tau) { return std::log(tau) - std::log1p(-tau); }

void check_near(const std::vector<double>& draws, double expected, const char* what) {
  Estimate e = estimate(draws);
  CAPTURE(what);
  CAPTURE(e.mean);
  CHECK(std::abs(e.mean - expected) < 4 * e.error);
}

std::vector<double> drawn(const Times& times, DType dtype = DType::f64) {
  return draw_times(times, n, {.seed = 5, .step = 3}, low, high, dtype).t.to(DType::f64).to_vector<double>();
}

// Of points near (2, −1), some of them held out.
class Points : public BatchSource {
 public:
  const std::string& name() const override { return name_; }
  Shape sample_shape() const override { return {2}; }
  Batch batch(int64_t step) override { return draw(32, static_cast<uint64_t>(step)); }
  int64_t held_out_count() const override { return 64; }
  Batch held_out(int64_t, int64_t count) const override { return draw(count, 1 << 20); }

 private:
  Batch draw(int64_t count, uint64_t step) const {
    Tensor mean = Tensor::from(std::vector<float>{2, -1}, {2});
    return {(Var(randn({count, 2}, {.seed = 1, .stream = 1, .step = step})) * 0.3 + Var(mean)).value()};
  }
  std::string name_ = "points";
};

}  // namespace

TEST_CASE("uniform times are rand's to the bit") {
  RandomKey key{.seed = 5, .stream = 2, .step = 3};
  DrawnTimes t = draw_times({}, 33, key, low, high);
  CHECK(t.t.to_vector<float>() == rand({33}, key, low, high).to_vector<float>());
  CHECK(!t.weights.defined());
}

TEST_CASE("logit-normal times have the law of their mean, deviation and uniform share") {
  for (DType dtype : {DType::f64, DType::f32})
    for (auto [mean, deviation] : {std::pair{0., 1.}, {-0.8, 0.5}, {1.2, 1.6}}) {
      std::vector<double> z, squares;
      for (double t : drawn({.kind = Kind::logit_normal, .mean = mean, .deviation = deviation}, dtype)) {
        z.push_back((logit(tau_of(t)) - mean) / deviation);
        squares.push_back(z.back() * z.back());
      }
      check_near(z, 0, "mean");
      check_near(squares, 1, "variance");
    }
  // u times the uniform law: of narrow times, those far from the mean are uniform ones, and evenly so
  std::vector<double> far, where;
  for (double t : drawn({.kind = Kind::logit_normal, .deviation = 0.01, .uniform_share = 0.3})) {
    far.push_back(tau_of(t) < 0.4);
    if (tau_of(t) < 0.4) where.push_back(tau_of(t));
  }
  check_near(far, 0.3 * 0.4, "share");
  check_near(where, 0.2, "place");
}

TEST_CASE("no time is at an end of its interval, and no weight is infinite") {
  for (DType dtype : {DType::f64, DType::f32})
    for (double mean : {-20., 20.}) {
      Times times{.kind = Kind::logit_normal, .mean = mean, .uniform_share = 0.2, .unbiased = true};
      DrawnTimes drawn = draw_times(times, 4096, {.seed = 1}, 0, 1, dtype);
      for (double t : drawn.t.to(DType::f64).to_vector<double>()) CHECK((t > 0 && t < 1));
      for (double w : drawn.weights.to(DType::f64).to_vector<double>()) CHECK((w > 0 && w <= 1 / 0.2 + 1e-5));
      for (double t : draw_times(times, 4096, {.seed = 1}, 0.999999, 1, dtype).t.to(DType::f64).to_vector<double>())
        CHECK((t >= static_cast<double>(0.999999f) && t < 1));
    }
}

TEST_CASE("weighted by 1/p, times of any law have the means of uniform ones") {
  for (auto [mean, deviation, share] : {std::tuple{0., 1., 0.1}, {-0.8, 0.5, 0.3}, {1.2, 1.6, 0.2}}) {
    Times times{.kind = Kind::logit_normal, .mean = mean, .deviation = deviation, .uniform_share = share};
    Times weighted = times;
    weighted.unbiased = true;
    DrawnTimes d = draw_times(weighted, n, {.seed = 5, .step = 3}, low, high, DType::f64);
    CHECK(drawn(times) == d.t.to_vector<double>());  // the weights are no part of the draw
    std::vector<double> one, square, wave, plain;
    for (int64_t i = 0; i < n; ++i) {
      double t = tau_of(d.t.at(i)), w = d.weights.at(i);
      one.push_back(w), square.push_back(w * t * t), wave.push_back(w * std::cos(7 * t)), plain.push_back(t * t);
    }
    check_near(one, 1, "∫ 1");
    check_near(square, 1. / 3, "∫ t²");
    check_near(wave, std::sin(7.) / 7, "∫ cos 7t");
    Estimate control = estimate(plain);
    CHECK(std::abs(control.mean - 1. / 3) > 4 * control.error);
  }
}

TEST_CASE("a training looks at the times of its recipe, and its validation at uniform ones") {
  Points points;
  Recipe recipe;
  recipe.potential.mlp.hidden = {8};
  recipe.train.batch_size = 32;
  auto losses = [&](const Times& times) {
    recipe.times = times;
    Trainer trainer(recipe, points);
    double before = trainer.validation_loss();
    return std::pair{before, trainer.step().loss};
  };
  auto uniform = losses({}), middle = losses({.kind = Kind::logit_normal, .deviation = 0.1}),
       weighted = losses({.kind = Kind::logit_normal, .deviation = 0.1, .uniform_share = 0.5, .unbiased = true}),
       unweighted = losses({.kind = Kind::logit_normal, .deviation = 0.1, .uniform_share = 0.5});
  CHECK(std::isfinite(uniform.first));
  for (const auto& other : {middle, weighted}) {
    CHECK(other.first == uniform.first);
    CHECK(other.second != uniform.second);
  }
  CHECK(weighted.second != unweighted.second);
}
