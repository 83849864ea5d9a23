#include <doctest/doctest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "gaussian_flow.h"
#include "tensor/random.h"
#include "vapo/sampling/ode.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

Tensor vec(std::vector<double> values) {
  int64_t n = static_cast<int64_t>(values.size());
  return Tensor::from(values, {n, 1});
}

// x' = cos(t)·x, so x = x0 e^{sin t}
const Field growth = [](const Tensor& x, double t) { return kernel::affine(x, std::cos(t), 0); };

double error_at_end(OdeMethod method, int64_t steps) {
  Tensor x = integrate(growth, vec({1}), 0, 2, {.method = method, .steps = steps}).x;
  return std::abs(x.item() - std::exp(std::sin(2.0)));
}

template <class E, class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "no error";
}

bool contains(const std::string& s, const std::string& part) { return s.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("RK23 and RK45 take SciPy's steps") {
  std::ifstream file(VAPO_GOLDEN_DIR "/rk_gaussian_flow.json");
  REQUIRE(file.good());
  nlohmann::json table = nlohmann::json::parse(file);
  auto rows = [](const nlohmann::json& j) {
    std::vector<double> flat;
    for (const auto& row : j)
      for (double v : row) flat.push_back(v);
    return Tensor::from(flat, {static_cast<int64_t>(j.size()), static_cast<int64_t>(j[0].size())});
  };
  Tensor x0 = rows(table["x0"]);
  CHECK(table["runs"].size() == 16);
  for (const auto& run : table["runs"]) {
    GaussianFlow flow{.path = path_from_name(run["path"].get<std::string>()),
                      .m = table["m"].get<std::vector<double>>(),
                      .s = table["s"].get<double>()};
    OdeOptions options{.method = run["method"] == "RK45" ? OdeMethod::rk45 : OdeMethod::rk23,
                       .rtol = run["rtol"].get<double>(),
                       .atol = run["atol"].get<double>()};
    CAPTURE(run.dump());
    int64_t calls = 0;
    Field field = [&](const Tensor& x, double t) {
      ++calls;
      return flow.velocity(x, t);
    };
    OdeResult r = integrate(field, x0, 0, 1, options);
    CHECK(r.nfe == run["nfe"].get<int64_t>());
    CHECK(r.nfe == calls);
    Tensor y = rows(run["y"]);
    for (int64_t i = 0; i < y.numel(); ++i) CHECK(std::abs(r.x.at(i) - y.at(i)) <= 1e-8 * std::abs(y.at(i)));
    if (options.rtol < 1e-8) CHECK(largest_difference(r.x, rows(table["exact"])) < 1e-8);
  }
}

TEST_CASE("fixed steps have their order, and count their evaluations") {
  double euler = std::log2(error_at_end(OdeMethod::euler, 200) / error_at_end(OdeMethod::euler, 400));
  double heun = std::log2(error_at_end(OdeMethod::heun, 200) / error_at_end(OdeMethod::heun, 400));
  CHECK(euler == doctest::Approx(1).epsilon(0.05));
  CHECK(heun == doctest::Approx(2).epsilon(0.05));
  CHECK(integrate(growth, vec({1}), 0, 2, {.method = OdeMethod::euler, .steps = 7}).nfe == 7);
  CHECK(integrate(growth, vec({1}), 0, 2, {.method = OdeMethod::heun, .steps = 7}).nfe == 14);
}

TEST_CASE("times in between cost nothing and are as accurate as the steps") {
  std::vector<double> forward = {0, 0.013, 0.5, 0.5, 1.234, 2}, backward = {2, 1.7, 0.31, 0};
  struct Row {
    OdeMethod method;
    double tolerance;
  };
  for (Row row : {Row{OdeMethod::euler, 2e-2}, Row{OdeMethod::heun, 1e-4}, Row{OdeMethod::rk23, 2e-6},
                  Row{OdeMethod::rk45, 2e-6}})
    for (bool back : {false, true}) {
      CAPTURE(static_cast<int>(row.method));
      CAPTURE(back);
      const std::vector<double>& times = back ? backward : forward;
      double t0 = times.front(), t1 = times.back();
      OdeOptions options{.method = row.method, .rtol = 1e-7, .atol = 1e-8, .steps = 200};
      Tensor x0 = vec({std::exp(std::sin(t0)), -2 * std::exp(std::sin(t0))});
      OdeResult plain = integrate(growth, x0, t0, t1, options);
      options.times = times;
      OdeResult r = integrate(growth, x0, t0, t1, options);
      CHECK(r.nfe == plain.nfe);
      CHECK(largest_difference(r.x, plain.x) == 0);
      REQUIRE(r.at_times.size() == times.size());
      for (size_t i = 0; i < times.size(); ++i) {
        double e = std::exp(std::sin(times[i]));
        CHECK(largest_difference(r.at_times[i], vec({e, -2 * e})) < row.tolerance);
      }
      CHECK(largest_difference(r.at_times.front(), x0) == 0);
      CHECK(largest_difference(r.at_times.back(), r.x) == 0);
    }
}

TEST_CASE("the interpolants are exact for polynomials of their degree") {  // x' = p·t^{p−1}: x = t^p
  for (auto [method, degree] : {std::pair(OdeMethod::rk23, 3), std::pair(OdeMethod::rk45, 4)}) {
    Field field = [p = degree](const Tensor& x, double t) {
      return Tensor::full(x.shape(), p * std::pow(t, p - 1), DType::f64);
    };
    OdeOptions options{.method = method, .rtol = 1e-3, .atol = 1e-3, .times = {0.01, 0.2, 0.5, 0.77, 0.95}};
    OdeResult r = integrate(field, vec({0}), 0, 1, options);
    for (size_t i = 0; i < options.times.size(); ++i)
      CHECK(std::abs(r.at_times[i].item() - std::pow(options.times[i], degree)) < 1e-13);
  }
}

TEST_CASE("an f32 state stays f32 and agrees with f64") {
  Tensor x0 = randn({20, 2}, {.seed = 1});
  GaussianFlow flow{.path = cosine_path};
  Field field32 = [&](const Tensor& x, double t) { return flow.velocity(x.to(DType::f64), t).to(DType::f32); };
  Field field64 = [&](const Tensor& x, double t) { return flow.velocity(x, t); };
  for (auto method : {OdeMethod::euler, OdeMethod::heun, OdeMethod::rk23, OdeMethod::rk45}) {
    OdeResult a = integrate(field32, x0, 0, 1, {.method = method}),
              b = integrate(field64, x0.to(DType::f64), 0, 1, {.method = method});
    CHECK(a.x.dtype() == DType::f32);
    CHECK(a.nfe == b.nfe);
    CHECK(largest_difference(a.x.to(DType::f64), b.x) < 1e-5);
  }
}

TEST_CASE("divergence is an error that names the time") {
  Field blow_up = [](const Tensor& x, double) {
    return kernel::binary(kernel::Binary::mul, x, x);
  };  // x = 1/(1 − t)
  for (auto method : {OdeMethod::rk23, OdeMethod::rk45}) {
    std::string m = message_of<DivergedError>([&] { integrate(blow_up, vec({1}), 0, 2, {.method = method}); });
    CHECK(contains(m, "t = "));
  }
  Field doubling = [](const Tensor& x, double) {
    return kernel::affine(kernel::binary(kernel::Binary::mul, x, x), 1e6, 0);
  };
  for (auto method : {OdeMethod::euler, OdeMethod::heun})
    CHECK(contains(message_of<DivergedError>([&] { integrate(doubling, vec({1}), 0, 2, {.method = method}); }),
                   "t = "));
  Field nan = [](const Tensor& x, double) { return kernel::affine(x, NAN, 0); };
  CHECK_THROWS_AS(integrate(nan, vec({1}), 0, 1), DivergedError);
  // a state that overflows while every derivative is finite, and the error estimate 0
  Field steady = [](const Tensor& x, double) { return Tensor::full(x.shape(), 1e37, DType::f32); };
  CHECK_THROWS_AS(integrate(steady, Tensor::full({1, 1}, 3.3e38, DType::f32), 0, 10, {.method = OdeMethod::rk23}),
                  DivergedError);
  CHECK_THROWS_AS(integrate(growth, vec({INFINITY}), 0, 1), DivergedError);
  CHECK_THROWS_AS(integrate(growth, vec({1}), 0, 1, {.max_evaluations = 5}), DivergedError);
}

TEST_CASE("a trial step into infinity is only rejected") {
  // log x is −∞ or NaN at x ≤ 0, where a first step that is too long lands
  Field field = [](const Tensor& x, double t) {
    return t > 0.5 ? kernel::unary<Log>(kernel::affine(x, 1, -1)) : kernel::affine(x, -0.1, 0);
  };
  CHECK(std::isfinite(integrate(field, vec({3}), 0, 1).x.item()));
}

TEST_CASE("bad requests are one clear line") {
  std::string m = message_of<InputError>([] { from_name<OdeMethod>("rk4"); });
  for (const char* part : {"rk4", "euler", "heun", "rk23", "rk45"}) CHECK(contains(m, part));
  CHECK(from_name<OdeMethod>("rk23") == OdeMethod::rk23);
  CHECK_THROWS_AS(integrate(growth, vec({1}), 0, 1, {.times = {0.5, 0.2}}), InputError);
  CHECK_THROWS_AS(integrate(growth, vec({1}), 0, 1, {.times = {1.5}}), InputError);
  CHECK_THROWS_AS(integrate(growth, vec({1}), 0, NAN), InputError);
  CHECK_THROWS_AS(integrate(growth, vec({1}), 0, 1, {.method = OdeMethod::euler, .steps = 0}), InputError);
  CHECK_THROWS_AS(integrate(growth, vec({1}), 0, 1, {.rtol = -1}), InputError);
  Field wrong = [](const Tensor&, double) { return vec({1, 2}); };
  CHECK(contains(message_of<Error>([&] { integrate(wrong, vec({1}), 0, 1); }), "(2,1)"));
}

TEST_CASE("nothing to integrate") {
  OdeResult r = integrate(growth, vec({3}), 0.4, 0.4, {.times = {0.4}});
  CHECK(r.nfe == 0);
  CHECK(r.x.item() == 3);
  CHECK(r.at_times.size() == 1);
  CHECK(integrate(growth, Tensor::zeros({0, 2}, DType::f64), 0, 1).x.shape() == Shape{0, 2});
}
