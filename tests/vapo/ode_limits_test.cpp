// What a solver cannot do: errors below the rounding of state or field, and values that are not finite.

#include <doctest/doctest.h>

#include <cmath>

#include "gaussian_flow.h"
#include "tensor/random.h"
#include "vapo/likelihood.h"
#include "vapo/networks/mlp.h"
#include "vapo/sampling/ode.h"
#include "vapo/sampling/sgld.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

template <class F>
std::string divergence(F&& f) {
  try {
    f();
  } catch (const DivergedError& e) {
    return e.what();
  }
  return "no error";
}
bool contains(const std::string& s, const std::string& part) { return s.find(part) != std::string::npos; }

// Every way to integrate; each gets the field, and the start as rows.
struct Way {
  OdeMethod method;
  bool each;
};
const Way ways[] = {{OdeMethod::rk45, false}, {OdeMethod::rk23, false},  {OdeMethod::rk45, true},
                    {OdeMethod::rk23, true},  {OdeMethod::euler, false}, {OdeMethod::heun, false}};

OdeResult go(const Way& way, const Field& field, const Tensor& x0, OdeOptions options = {}) {
  options.method = way.method;
  if (!way.each) return integrate(field, x0, 0, 1, options);
  TimedField of_rows = [&](const Tensor& x, const Tensor& t) {  // one sample at a time: each has its own time
    std::vector<Tensor> out;
    for (int64_t i = 0; i < x.dim(0); ++i) out.push_back(field(kernel::slice(x, 0, i, i + 1, 1), t.at(i)));
    return kernel::concat(out, 0);
  };
  return integrate_each(of_rows, x0, 0, 1, options);
}

// A potential whose gradient is that of a smooth flow in the dtype of x.
Field network_flow(DType dtype) {
  auto phi = std::make_shared<MlpPotential>(MlpOptions{.hidden = {16, 16}, .time_embedding = 4}, 3, dtype);
  return [phi](const Tensor& x, double t) { return kernel::affine(gradient(*phi, x, t), 5, 0); };
}

}  // namespace

TEST_CASE("tolerances below what rounding allows are raised, and say so") {
  constexpr double eps = 0x1p-23;
  for (double scale : {1e-3, 1.0, 1e4}) {
    Tensor x0 = kernel::affine(randn({64, 2}, {.seed = 1}), scale, 0);
    double rms = std::sqrt(kernel::sum_squares({&x0, 1}).item() / 128);
    Field field = [scale, flow = network_flow(DType::f32)](const Tensor& x, double t) {
      return kernel::affine(flow(kernel::affine(x, 1 / scale, 0), t), scale, 0);
    };
    for (OdeMethod method : {OdeMethod::rk45, OdeMethod::rk23})
      for (bool each : {false, true})
        for (double atol : {0.0, 1e-14 * scale}) {
          CAPTURE(scale);
          OdeResult r = go({method, each}, field, x0, {.rtol = 1e-14, .atol = atol, .max_evaluations = 3000});
          CHECK(r.rtol == 100 * eps);
          if (!each) CHECK(r.atol == doctest::Approx(10 * eps * rms));
          CHECK(r.atol >= 10 * eps * rms * 0.99);
          OdeResult loose = go({method, each}, field, x0, {.rtol = 1e-3, .atol = 1e-3 * scale});
          CHECK(loose.rtol == 1e-3);
          CHECK(loose.atol == 1e-3 * scale);
          CHECK(largest_difference(r.x, loose.x) < 0.05 * scale);
        }
  }
}

TEST_CASE("an f64 state has its own floor, and a field in f32 has one in any state") {
  Tensor x0 = randn({8, 2}, {.seed = 1}, DType::f64);
  Field field = network_flow(DType::f64);
  OdeResult asked = integrate(field, x0, 0, 1, {.rtol = 1e-9, .atol = 1e-12});
  CHECK(asked.rtol == 1e-9);
  CHECK(asked.atol == 1e-12);
  OdeResult raised = integrate(field, x0, 0, 1, {.method = OdeMethod::rk45, .rtol = 1e-30, .atol = 1e-30});
  CHECK(raised.rtol == 100 * 0x1p-52);
  CHECK(raised.nfe < 20'000);
  MlpPotential phi({.hidden = {16}, .time_embedding = 4}, 3);
  Tensor x = randn({5, 2}, {.seed = 2});
  LikelihoodResult r =
      log_likelihood(phi, cosine_path, x, {.ode = {.rtol = 1e-12, .atol = 1e-12, .max_evaluations = 5000}});
  CHECK(r.rtol > 1e-7);
  LikelihoodResult usual = log_likelihood(phi, cosine_path, x, {});
  CHECK(usual.rtol == 1e-5);
  CHECK(usual.atol == 1e-5);
  CHECK(largest_difference(r.log_likelihood, usual.log_likelihood) < 1e-3);
}

TEST_CASE("a field that is not finite is called so, with its time and the sample") {
  Tensor x0 = Tensor::from(std::vector<double>{1, 2, 3}, {3, 1});
  auto with = [](double bad, double from, double second) {  // of rows whose start is 2
    return [=](const Tensor& x, double t) {
      Tensor v = kernel::affine(x, -0.1, 0);
      for (int64_t i = 0; i < x.dim(0); ++i)
        if (t >= from && std::abs(x.at(i) - second) < 0.5) v.mutable_data<double>()[i] = bad;
      return v;
    };
  };
  for (const Way& way : ways) {
    CAPTURE(static_cast<int>(way.method));
    CAPTURE(way.each);
    std::string m = divergence([&] { go(way, with(NAN, 0, 2), x0); });
    CHECK_MESSAGE(contains(m, "the field is NaN at t = 0 in 1 of 3 samples, the first is sample 1"), m);
    m = divergence([&] { go(way, with(INFINITY, 0, 2), x0); });
    CHECK_MESSAGE(contains(m, "the field is infinite at t = 0"), m);
    m = divergence([&] { go(way, with(NAN, 0.5, 2), x0); });  // a wall that no step is short enough for
    CHECK_MESSAGE(contains(m, "the field is NaN at t = 0.5"), m);
    if (way.each) CHECK_MESSAGE(contains(m, "sample 1 of 3"), m);
    m = divergence([&] { go(way, with(0, 2, 9), Tensor::from(std::vector<double>{1, NAN}, {2, 1})); });
    CHECK_MESSAGE(contains(m, "the state at the start, t = 0, is NaN in 1 of 2 samples, the first is sample 1"), m);
  }
  Field blow_up = [](const Tensor& x, double) { return kernel::binary(kernel::Binary::mul, x, x); };
  Tensor two = Tensor::full({1, 1}, 2, DType::f64);
  for (const Way& way : ways) {
    if (way.method == OdeMethod::euler || way.method == OdeMethod::heun) continue;
    std::string m = divergence([&] { go(way, blow_up, two); });
    CHECK_MESSAGE(contains(m, "grows without bound"), m);
  }
}

TEST_CASE("Langevin dynamics tells a gradient that is not finite from steps that are too long") {
  Tensor x0 = randn({4, 1}, {.seed = 1}, DType::f64);
  Energy nan = [](const Var& x) { return sum(NAN * x, {1}); };
  std::string m = divergence([&] { sgld(nan, x0, {.steps = 3}); });
  CHECK_MESSAGE(contains(m, "the energy's gradient is NaN at step 1 of 3 in 4 of 4 samples"), m);
  Energy steep = [](const Var& x) { return sum(square(square(x)), {1}); };
  m = divergence([&] { sgld(steep, x0, {.step_size = 10, .steps = 100}); });
  CHECK_MESSAGE(contains(m, "a smaller step_size"), m);
  m = divergence([&] { sgld(steep, kernel::affine(x0, INFINITY, 0), {.steps = 3}); });
  CHECK_MESSAGE(contains(m, "SGLD: the start is infinite"), m);
}
