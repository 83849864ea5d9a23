#include <doctest/doctest.h>

#include "gaussian_flow.h"
#include "tensor/random.h"
#include "vapo/sampling/ode.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

// x' = sin(20·x·t) + x: rows that begin elsewhere need other steps
const TimedField waves = [](const Tensor& x, const Tensor& t) {
  Var at(x);
  return (sin(20 * (at * reshape(t, {t.dim(0), 1}))) + at).value();
};
Field shared(const TimedField& field) {
  return [&field](const Tensor& x, double t) { return field(x, Tensor::full({x.dim(0)}, t, x.options())); };
}
Tensor row(const Tensor& x, int64_t i) { return kernel::slice(x, 0, i, i + 1, 1); }

}  // namespace

TEST_CASE("every sample goes as if it were alone, to the bit") {
  for (DType dtype : {DType::f32, DType::f64})
    for (auto method : {OdeMethod::euler, OdeMethod::heun, OdeMethod::rk23, OdeMethod::rk45})
      for (bool back : {false, true}) {
        CAPTURE(static_cast<int>(method));
        CAPTURE(back);
        Tensor x0 = kernel::affine(randn({6, 3}, {.seed = 1}, dtype), 2, 0);
        double t0 = back ? 1 : 0, t1 = back ? 0 : 1;
        OdeOptions options{.method = method, .rtol = 1e-4, .atol = 1e-4, .steps = 20};
        OdeResult each = integrate_each(waves, x0, t0, t1, options);
        CHECK(each.x.dtype() == dtype);
        int64_t most = 0, least = INT64_MAX;
        for (int64_t i = 0; i < 6; ++i) {
          OdeResult alone = integrate(shared(waves), row(x0, i), t0, t1, options);
          CHECK(largest_difference(row(each.x, i), alone.x) == 0);
          most = std::max(most, alone.nfe), least = std::min(least, alone.nfe);
        }
        CHECK(each.nfe == most);
        bool adaptive = method == OdeMethod::rk23 || method == OdeMethod::rk45;
        CHECK((least < most) == adaptive);
        bool equal = largest_difference(integrate(shared(waves), x0, t0, t1, options).x, each.x) == 0;
        CHECK(equal != adaptive);
      }
}

TEST_CASE("a sample's error is not diluted by quiet ones beside it") {
  TimedField field = [](const Tensor& x, const Tensor& t) {  // only the first of 1000 rows moves
    Tensor v = Tensor::zeros(x.shape(), x.dtype());
    v.mutable_data<double>()[0] = 30 * std::cos(30 * t.at(0));
    return v;
  };
  Tensor x0 = Tensor::zeros({1000, 1}, DType::f64);
  OdeResult batch = integrate(shared(field), x0, 0, 1), each = integrate_each(field, x0, 0, 1);
  double exact = std::sin(30.0);
  CHECK(each.nfe > batch.nfe);
  CHECK(std::abs(each.x.at(0) - exact) < 0.01);
  CHECK(std::abs(each.x.at(0) - exact) < std::abs(batch.x.at(0) - exact));
}

TEST_CASE("a sample that arrived waits, and stays what it is") {
  // one row needs many steps, the other one; the field is no number for a row at the end that is asked again
  TimedField field = [](const Tensor& x, const Tensor& t) {
    Tensor v = Tensor::zeros(x.shape(), x.dtype());
    v.mutable_data<double>()[0] = 200 * std::cos(200 * t.at(0));
    v.mutable_data<double>()[1] = t.at(1) == 1 && t.at(0) < 0.5 && t.at(0) > 0.1 ? NAN : 1;
    return v;
  };
  OdeResult r = integrate_each(field, Tensor::zeros({2, 1}, DType::f64), 0, 1);
  CHECK(std::abs(r.x.at(0) - std::sin(200.0)) < 0.05);
  CHECK(std::abs(r.x.at(1) - 1) < 1e-12);
}

TEST_CASE("divergence names the time, bad requests are refused, and nothing to do is nothing done") {
  TimedField blow_up = [](const Tensor& x, const Tensor&) { return kernel::binary(kernel::Binary::mul, x, x); };
  Tensor x0 = Tensor::from(std::vector<double>{0.1, 1}, {2, 1});  // x = 1/(1/x₀ − t)
  try {
    integrate_each(blow_up, x0, 0, 2);
    FAIL("no error");
  } catch (const DivergedError& e) {
    CHECK(std::string(e.what()).find("t = ") != std::string::npos);
  }
  TimedField nan = [](const Tensor& x, const Tensor&) { return kernel::affine(x, NAN, 0); };
  CHECK_THROWS_AS(integrate_each(nan, x0, 0, 1), DivergedError);
  CHECK_THROWS_AS(integrate_each(waves, x0, 0, 1, {.max_evaluations = 5}), DivergedError);
  CHECK_THROWS_AS(integrate_each(waves, x0, 0, 1, {.rtol = -1}), InputError);
  CHECK_THROWS_AS(integrate_each(waves, x0, 0, 1, {.times = {0.5}}), Error);
  TimedField wrong = [](const Tensor&, const Tensor& t) { return t; };
  CHECK_THROWS_AS(integrate_each(wrong, x0, 0, 1), Error);
  CHECK(integrate_each(waves, x0, 0.3, 0.3).nfe == 0);
  CHECK(integrate_each(waves, Tensor::zeros({0, 2}, DType::f64), 0, 1).x.shape() == Shape{0, 2});
}
