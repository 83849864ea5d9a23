// Optimizers, clipping, averages and schedules against plain double-precision re-implementations of their formulas.

#include "nn/optimizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "nn/ema.h"
#include "nn/schedule.h"
#include "tensor/random.h"

using namespace vapo;
using nn::ClipOptions, nn::OptimizerOptions;
using Kind = OptimizerOptions::Kind;
using Row = std::vector<double>;

namespace {

// Two parameters of odd sizes, one longer than any vector register.
struct Pair : nn::Module {
  explicit Pair(DType dtype)
      : a(Var::leaf(randn({7, 5}, {1, 1}, dtype))), b(Var::leaf(randn({3}, {1, 2}, dtype))) {}
  void parameters(const nn::ParameterVisitor& visit) override {
    visit("a", a);
    visit("b", b);
  }
  Var a, b;
};

Row row(const Tensor& x) { return x.to(DType::f64).to_vector<double>(); }

std::vector<Var> gradients(int step, DType dtype, double scale) {
  auto draw = [&](const Shape& shape, uint32_t stream) {
    return Var(kernel::affine(randn(shape, {2, stream, static_cast<uint64_t>(step)}, dtype), scale, 0));
  };
  return {draw({7, 5}, 1), draw({3}, 2)};
}

double length(const Row& x) {
  double s = 0;
  for (double v : x) s += v * v;
  return std::sqrt(s);
}

// The textbook update of one tensor: PyTorch's definitions of Adam, AdamW, SGD; You et al. (2020) for LAMB.
struct Reference {
  Row p, m, v, average;
  int64_t t = 0;

  void step(Row g, const OptimizerOptions& o, double lr, const ClipOptions& clip, double norm, double decay) {
    ++t;
    if (clip.kind == ClipOptions::Kind::norm)
      for (double& x : g) x *= std::min(1.0, clip.limit / (norm + 1e-6));
    if (clip.kind == ClipOptions::Kind::value)
      for (double& x : g) x = std::clamp(x, -clip.limit, clip.limit);
    if (clip.kind == ClipOptions::Kind::std && t > 1)  // no second moment before the first step
      for (size_t i = 0; i < g.size(); ++i) {
        double bound = 3 * std::sqrt(v[i] / (1 - std::pow(o.beta2, t - 1))) + 0.1;
        g[i] = std::clamp(g[i], -bound, bound);
      }
    if (o.kind == Kind::sgd)
      sgd(g, o, lr);
    else
      adam(g, o, lr);
    for (size_t i = 0; i < p.size(); ++i) average[i] = decay * average[i] + (1 - decay) * p[i];
  }
  void sgd(const Row& g, const OptimizerOptions& o, double lr) {
    for (size_t i = 0; i < p.size(); ++i) {
      double d = g[i] + o.weight_decay * p[i];
      m[i] = o.momentum * m[i] + d;
      p[i] -= lr * (o.nesterov ? d + o.momentum * m[i] : m[i]);
    }
  }
  void adam(const Row& g, const OptimizerOptions& o, double lr) {
    Row direction(p.size());
    for (size_t i = 0; i < p.size(); ++i) {
      double d = g[i] + (o.kind == Kind::adam ? o.weight_decay * p[i] : 0);
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * d;
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * d * d;
      direction[i] = m[i] / (1 - std::pow(o.beta1, t)) / (std::sqrt(v[i] / (1 - std::pow(o.beta2, t))) + o.eps);
      if (o.kind != Kind::adam) direction[i] += o.weight_decay * p[i];
    }
    double rate = o.kind == Kind::lamb ? lr * length(p) / length(direction) : lr;
    for (size_t i = 0; i < p.size(); ++i) p[i] -= rate * direction[i];
  }
};

// Worst |a − b| over parameters and averages after `steps` steps, relative to the largest parameter.
double distance(DType dtype, const OptimizerOptions& options, const ClipOptions& clip = {}, int steps = 6) {
  Pair module(dtype);
  nn::Optimizer optimizer(nn::named_parameters(module), options);
  nn::Ema ema(nn::named_parameters(module), 0.5);
  std::vector<Reference> references;
  for (const Var* x : {&module.a, &module.b}) {
    Row p = row(x->value()), zero(p.size());
    references.push_back({p, zero, zero, p});
  }
  double worst = 0;
  for (int step = 0; step < steps; ++step) {
    double lr = 0.03 / (1 + step), decay = std::min(0.5, (1.0 + step) / (10.0 + step));
    std::vector<Var> g = gradients(step, dtype, step == 3 ? 4 : 0.4);  // one outlier, so that every clipping bites
    Row ga = row(g[0].value()), gb = row(g[1].value());
    double norm = std::hypot(length(ga), length(gb));
    CHECK(optimizer.step(g, lr, clip, &ema) == doctest::Approx(norm).epsilon(1e-6));
    references[0].step(ga, options, lr, clip, norm, decay);
    references[1].step(gb, options, lr, clip, norm, decay);
    size_t i = 0;
    for (const Var* x : {&module.a, &module.b}) {
      Row p = row(x->value()), e = row(ema.averages()[i]);
      for (size_t j = 0; j < p.size(); ++j)
        worst = std::max({worst, std::abs(p[j] - references[i].p[j]), std::abs(e[j] - references[i].average[j])});
      ++i;
    }
  }
  CHECK(optimizer.steps_done() == steps);
  CHECK(ema.updates() == steps);
  return worst;
}

void check_close(const OptimizerOptions& options, const ClipOptions& clip = {}) {
  CHECK(distance(DType::f64, options, clip) < 1e-13);  // parameters are of order 2
  CHECK(distance(DType::f32, options, clip) < 3e-6);   // six steps of f32 rounding
}

}  // namespace

TEST_CASE("adam, adamw, lamb and sgd follow their formulas, averages included") {
  check_close({.kind = Kind::adam});
  check_close({.kind = Kind::adam, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1});
  check_close({.kind = Kind::adamw, .weight_decay = 0.2});
  check_close({.kind = Kind::lamb});
  check_close({.kind = Kind::lamb, .beta2 = 0.9, .weight_decay = 0.3});
  check_close({.kind = Kind::sgd});
  check_close({.kind = Kind::sgd, .weight_decay = 0.1, .momentum = 0.9});
  check_close({.kind = Kind::sgd, .weight_decay = 0.1, .momentum = 0.7, .nesterov = true});
}

TEST_CASE("every way of clipping, with every family") {
  using Clip = ClipOptions::Kind;
  for (Kind kind : {Kind::adam, Kind::adamw, Kind::lamb, Kind::sgd}) {
    OptimizerOptions options{.kind = kind, .beta2 = 0.9, .weight_decay = 0.05};
    check_close(options, {.kind = Clip::norm, .limit = 1.5});
    check_close(options, {.kind = Clip::value, .limit = 0.3});
    if (kind != Kind::sgd) check_close(options, {.kind = Clip::std});
  }
}

TEST_CASE("clipping by norm leaves a small gradient as it is") {
  OptimizerOptions sgd{.kind = Kind::sgd};
  Pair clipped(DType::f64), plain(DType::f64);
  nn::Optimizer a(nn::named_parameters(clipped), sgd), b(nn::named_parameters(plain), sgd);
  a.step(gradients(0, DType::f64, 1e-3), 1, {.kind = ClipOptions::Kind::norm, .limit = 1});
  b.step(gradients(0, DType::f64, 1e-3), 1);
  CHECK(row(clipped.a.value()) == row(plain.a.value()));
}

TEST_CASE("an optimizer refuses what it cannot use") {
  Pair module(DType::f32);
  auto make = [&](OptimizerOptions o) { return nn::Optimizer(nn::named_parameters(module), o); };
  CHECK_THROWS_WITH_AS(make({.beta1 = 1}), doctest::Contains("beta1"), InputError);
  CHECK_THROWS_WITH_AS(make({.beta2 = -0.1}), doctest::Contains("beta2"), InputError);
  CHECK_THROWS_WITH_AS(make({.eps = 0}), doctest::Contains("eps"), InputError);
  CHECK_THROWS_WITH_AS(make({.weight_decay = NAN}), doctest::Contains("weight_decay"), InputError);
  CHECK_THROWS_WITH_AS(make({.kind = Kind::sgd, .momentum = 1}), doctest::Contains("momentum"), InputError);
  CHECK_THROWS_WITH_AS(make({.kind = Kind::sgd, .nesterov = true}), doctest::Contains("nesterov"), InputError);

  nn::Optimizer adam = make({}), sgd = make({.kind = Kind::sgd});
  std::vector<Var> g = gradients(0, DType::f32, 1);
  CHECK_THROWS_WITH(adam.step(std::span(g).first(1), 1), doctest::Contains("1 gradients for 2 parameters"));
  std::vector<Var> swapped = {g[1], g[0]}, undefined = {g[0], Var()}, wide = gradients(0, DType::f64, 1);
  CHECK_THROWS_WITH(adam.step(swapped, 1), doctest::Contains("'a' is f32 (7,5), its gradient f32 (3)"));
  CHECK_THROWS_WITH(adam.step(undefined, 1), doctest::Contains("'b' is f32 (3), its gradient undefined"));
  CHECK_THROWS_WITH(adam.step(wide, 1), doctest::Contains("its gradient f64"));
  CHECK_THROWS_WITH_AS(sgd.step(g, 1, {.kind = ClipOptions::Kind::std}), doctest::Contains("second moment"),
                       InputError);
  CHECK_THROWS_WITH(sgd.step(g, 1, {.kind = ClipOptions::Kind::norm, .limit = 0}), doctest::Contains("positive"));
  nn::Ema other({}, 0.9);
  CHECK_THROWS_WITH(adam.step(g, 1, {}, &other), doctest::Contains("0 tensors for 2 parameters"));
  CHECK(adam.steps_done() == 0);

  CHECK(from_name<nn::OptimizerOptions::Kind>("lamb") == Kind::lamb);
  CHECK(from_name<nn::ClipOptions::Kind>("std") == ClipOptions::Kind::std);
  CHECK_THROWS_WITH_AS(from_name<nn::OptimizerOptions::Kind>("adamax"),
                       "unknown optimizer 'adamax': expected one of adam, adamw, sgd, lamb", InputError);
  CHECK_THROWS_WITH_AS(from_name<nn::ClipOptions::Kind>(""),
                       "unknown clipping '': expected one of none, norm, value, std", InputError);
}

TEST_CASE("a gradient that is not finite changes nothing") {
  Pair module(DType::f32);
  nn::Optimizer adam(nn::named_parameters(module), {});
  nn::Ema ema(nn::named_parameters(module), 0.9);
  Row before = row(module.a.value());
  std::vector<Var> g = gradients(0, DType::f32, 1);
  g[1] = Tensor::from<float>({1, NAN, 0}, {3});
  CHECK(std::isnan(adam.step(g, 0.1, {}, &ema)));
  g[1] = Tensor::from<float>({1, INFINITY, 0}, {3});
  CHECK(std::isinf(adam.step(g, 0.1, {.kind = ClipOptions::Kind::norm}, &ema)));
  CHECK(row(module.a.value()) == before);
  CHECK(adam.steps_done() == 0);
  CHECK(ema.updates() == 0);
}

TEST_CASE("the average's decay ramps up to its limit") {
  Pair module(DType::f32);
  nn::Ema ema(nn::named_parameters(module), 0.9999), flat(nn::named_parameters(module), 0.9999, false);
  CHECK(ema.next_decay() == doctest::Approx(0.1));
  CHECK(flat.next_decay() == 0.9999);
  ema.set_updates(90);
  CHECK(ema.next_decay() == doctest::Approx(0.91));
  ema.set_updates(1'000'000);
  CHECK(ema.next_decay() == 0.9999);
  CHECK(row(ema.averages()[0]) == row(module.a.value()));
  CHECK_FALSE(ema.averages()[0].shares_storage(module.a.value()));
  CHECK_THROWS_AS(nn::Ema({}, 1.0), InputError);
  CHECK_THROWS_AS(nn::Ema({}, NAN), InputError);
}

TEST_CASE("learning rates") {
  nn::Schedule constant{.base = 0.4, .warmup_steps = 4};
  Row warm;
  for (int64_t s = 0; s < 6; ++s) warm.push_back(constant.at(s));
  CHECK(warm == Row{0.1, 0.2, 0.4 * 3 / 4, 0.4, 0.4, 0.4});

  nn::Schedule cosine{.kind = nn::Schedule::Kind::cosine,
                      .base = 2,
                      .warmup_steps = 10,
                      .total_steps = 110,
                      .final_fraction = 0.25};
  CHECK(cosine.at(4) == doctest::Approx(1));
  CHECK(cosine.at(10) == doctest::Approx(2));
  CHECK(cosine.at(60) == doctest::Approx(1.25));
  CHECK(cosine.at(35) == doctest::Approx(0.5 + 0.75 * (1 + std::cos(std::numbers::pi / 4))));
  CHECK(cosine.at(110) == doctest::Approx(0.5));
  CHECK(cosine.at(5000) == doctest::Approx(0.5));
  cosine.total_steps = 5;  // all of it warm-up
  CHECK(cosine.at(4) == doctest::Approx(1));
  cosine.total_steps = 0;
  CHECK_THROWS_WITH_AS(cosine.at(0), doctest::Contains("total number of steps"), InputError);

  nn::Schedule steps{.kind = nn::Schedule::Kind::step, .base = 1, .step_every = 10, .step_factor = 0.5};
  CHECK(steps.at(9) == 1);
  CHECK(steps.at(10) == 0.5);
  CHECK(steps.at(35) == 0.125);
  steps.step_every = 0;
  CHECK_THROWS_WITH_AS(steps.at(0), doctest::Contains("step_every"), InputError);
  CHECK(from_name<nn::Schedule::Kind>("step") == nn::Schedule::Kind::step);
  CHECK_THROWS_WITH_AS(from_name<nn::Schedule::Kind>("linear"), doctest::Contains("constant, cosine, step"),
                       InputError);
}
