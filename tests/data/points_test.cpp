// Synthetic sets: their densities against independent formulas, and their points against their densities.

#include "data/sets/points.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/measures/statistics.h"

using namespace vapo;
using namespace vapo::data;
using std::numbers::pi;

namespace {

constexpr double sigma = 0.1;
const Grid window{-3.5, 3.5, -3.5, 3.5,
                  240};  // cells of 0.29 sigma: sums of Gaussians over them are exact to 1e-30

// Points that see every regime: on the set, between its parts, and far away.
Tensor probes(const std::string& name) {
  Tensor x = make_point_set(name, 0.3)->sample(12, {.seed = 8}, DType::f64);
  std::vector<double> v = x.to_vector<double>();
  for (double far : {0.0, 0.0, 0.01, -0.02, -6.0, 5.0, -1.0, -0.6, -1.0, -1.0, -2.2, 0.0}) v.push_back(far);
  return Tensor::from(v, {static_cast<int64_t>(v.size()) / 2, 2});
}

double normal(double dx, double dy) {  // log N(d; 0, sigma²)
  return -0.5 * (dx * dx + dy * dy) / (sigma * sigma) - std::log(2 * pi * sigma * sigma);
}

// log of the mean of exp(f(i)), i in 0 … n−1, without underflow.
template <class F>
double log_mean(int64_t n, const F& f) {
  double top = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; ++i) top = std::max(top, f(i));
  for (int64_t i = 0; i < n; ++i) sum += std::exp(f(i) - top);
  return top + std::log(sum / static_cast<double>(n));
}

template <class F>
void check_log_density(const std::string& name, double tolerance, const F& expected) {
  Tensor x = probes(name), p = make_point_set(name, sigma)->log_density(x);
  REQUIRE(p.shape() == Shape{x.dim(0)});
  REQUIRE(p.dtype() == DType::f64);
  for (int64_t i = 0; i < p.numel(); ++i) {
    double e = expected(x.at(2 * i), x.at(2 * i + 1));
    // beyond exp(−30) an end of a curve is seen at a steep angle, and fewer digits are kept
    double allowed = e > -30 ? tolerance : 1e-7 * std::abs(e);
    CHECK_MESSAGE(std::abs(p.at(i) - e) < allowed, name, " at ", x.at(2 * i), ", ", x.at(2 * i + 1), ": ", p.at(i),
                  " for ", e);
  }
}

}  // namespace

TEST_CASE("log-densities agree with formulas and brute force") {
  check_log_density("eight_gaussians", 1e-12, [](double x, double y) {
    return log_mean(8, [&](int64_t k) {
      double a = pi / 4 * static_cast<double>(k);
      return normal(x - 2 * std::cos(a), y - 2 * std::sin(a));
    });
  });
  // A million midpoints in each arc's angle: an error of h²/24·(log p)'² = 1.5e-9 where an arc's end is seen from
  // 0.6 away, at its steepest
  check_log_density("two_moons", 3e-9, [](double x, double y) {
    constexpr int64_t n = 1'000'000;
    return log_mean(2 * n, [&](int64_t i) {
      double a = pi * (static_cast<double>(i / 2) + 0.5) / n, c = std::cos(a), s = std::sin(a);
      return i % 2 ? normal(x - c, y - s) : normal(x - 1 + c, y - 0.5 + s);
    });
  });
  // midpoints in the arms' share s; its square root at 0 leaves an error of h^1.5 = 1e-8
  check_log_density("spirals", 1e-7, [](double x, double y) {
    constexpr int64_t n = 200'000;
    return log_mean(2 * n, [&](int64_t i) {
      double u = std::sqrt((static_cast<double>(i / 2) + 0.5) / n), r = i % 2 ? 2 * u : -2 * u;
      return normal(x - r * std::cos(3 * pi * u), y - r * std::sin(3 * pi * u));
    });
  });
  // a blurred circle of radius r at distance d: (2π sigma²)⁻¹ exp(−(d − r)²/2sigma²) · e^(−z) I0(z), z = d r/sigma²
  Tensor x = probes("rings"), p = make_point_set("rings", sigma)->log_density(x);
  for (int64_t i = 0; i < p.numel(); ++i) {
    double d = std::hypot(x.at(2 * i), x.at(2 * i + 1));
    if (d > 3) continue;  // I0 overflows
    double e = log_mean(4, [&](int64_t k) {
      double r = 0.5 * static_cast<double>(k + 1), z = d * r / (sigma * sigma);
      return normal(d - r, 0) - z + std::log(std::cyl_bessel_i(0.0, z));
    });
    CHECK(p.at(i) == doctest::Approx(e).epsilon(1e-10));
  }
  // a blurred square is a product of differences of normal distribution functions
  auto phi = [](double z) { return 0.5 * std::erfc(-z / (sigma * std::numbers::sqrt2)); };
  Tensor board =
      make_point_set("checkerboard", sigma)
          ->log_density(Tensor::from(std::vector<double>{-1.5, -1.5, -0.5, -1.5, -1, -1, 0, 1.5}, {4, 2}));
  double inside = phi(0.5) - phi(-0.5), beside = phi(1.5) - phi(0.5), edge = phi(1.0) - phi(0.0);
  CHECK(std::exp(board.at(0)) == doctest::Approx(inside * inside / 8).epsilon(1e-5));  // neighbours: 1e-6 and less
  CHECK(std::exp(board.at(1)) == doctest::Approx(4 * beside * inside / 8).epsilon(0.1));
  CHECK(std::exp(board.at(2)) == doctest::Approx(2 * edge * edge / 8).epsilon(1e-9));
  Tensor sharp = make_point_set("checkerboard", 0)
                     ->log_density(Tensor::from(std::vector<double>{-1.5, -1.5, -0.5, -1.5}, {2, 2}));
  CHECK(std::exp(sharp.at(0)) == doctest::Approx(0.125));
  CHECK(sharp.at(1) == -INFINITY);
}

TEST_CASE("every density integrates to 1, and its points fill it: histogram and mean log-density") {
  Tensor centres = window.centres();
  for (const std::string& name : point_set_names()) {
    CAPTURE(name);
    auto set = make_point_set(name, sigma);
    if (!set->has_density()) {
      CHECK(name == "pinwheel");
      CHECK(!set->log_density(centres).defined());
      continue;
    }
    Tensor log_p = set->log_density(centres);
    CHECK(std::abs(log_integral(log_p, window)) < 1e-9);

    constexpr int64_t n = 100'000, side = 24, fine = 10;
    Tensor x = set->sample(n, {.seed = 21}, DType::f64);
    std::vector<double> expected(side * side), counts(side * side);
    double entropy = 0;
    for (int64_t j = 0; j < window.cells; ++j)
      for (int64_t i = 0; i < window.cells; ++i) {
        double l = log_p.at(j * window.cells + i), share = std::exp(l) * window.cell_area();
        expected[(j / fine) * side + i / fine] += static_cast<double>(n) * share;
        entropy -= share * l;
      }
    for (int64_t k = 0; k < n; ++k) {
      auto cell = [&](double v) { return static_cast<int64_t>(std::floor((v + 3.5) / 7 * side)); };
      int64_t i = cell(x.at(2 * k)), j = cell(x.at(2 * k + 1));
      REQUIRE((i >= 0 && i < side && j >= 0 && j < side));
      counts[j * side + i] += 1;
    }
    // Pearson's sum over cells of at least 10 expected points: mean about the number of cells, variance twice that.
    // Boundaries of cells cut smooth densities; the fine sum within a cell is off by about 1e-3 of it, far below.
    double chi2 = 0, cells = 0;
    for (size_t c = 0; c < counts.size(); ++c) {
      if (expected[c] < 10) continue;
      chi2 += (counts[c] - expected[c]) * (counts[c] - expected[c]) / expected[c];
      ++cells;
    }
    CHECK(cells > 30);
    CHECK_MESSAGE(std::abs(chi2 - cells) < 5 * std::sqrt(2 * cells), chi2, " for ", cells);
    Estimate mean = mean_of(set->log_density(x));
    CHECK_MESSAGE(std::abs(mean.mean + entropy) < 5 * mean.standard_error, mean.mean, " for ", -entropy);
  }
}

TEST_CASE("two moons without noise lie on scikit-learn's half circles, half on each") {
  Tensor x = make_point_set("two_moons", 0)->sample(4000, {.seed = 3}, DType::f64);
  int upper = 0;
  for (int64_t i = 0; i < 4000; ++i) {
    double a = x.at(2 * i), b = x.at(2 * i + 1);
    bool on_upper = std::abs(std::hypot(a, b) - 1) < 1e-12 && b >= 0;
    bool on_lower = std::abs(std::hypot(a - 1, b - 0.5) - 1) < 1e-12 && b <= 0.5;
    CHECK((on_upper || on_lower));
    upper += on_upper;
  }
  CHECK(std::abs(upper - 2000) < 5 * 32);  // s.d. √(4000)/2
  CHECK(!make_point_set("two_moons", 0)->has_density());
  CHECK(!make_point_set("two_moons", 1e-5)->has_density());
}

TEST_CASE("the pinwheel has five equal arms and its second moment") {
  constexpr int64_t n = 50'000;
  Tensor x = make_point_set("pinwheel", sigma)->sample(n, {.seed = 4}, DType::f64);
  std::vector<double> squares;
  double first[2] = {}, fifth[2] = {};
  for (int64_t i = 0; i < n; ++i) {
    double a = x.at(2 * i), b = x.at(2 * i + 1), angle = std::atan2(b, a);
    squares.push_back(a * a + b * b);
    first[0] += std::cos(angle), first[1] += std::sin(angle);
    fifth[0] += std::cos(5 * angle), fifth[1] += std::sin(5 * angle);
  }
  // |x|² = 4(r² + w²) + noise, r ~ N(1, 0.3²), w ~ N(0, 0.05²)
  Estimate m = mean_of(Tensor::from(squares, {n}));
  CHECK(std::abs(m.mean - (4 * (1 + 0.09 + 0.0025) + 2 * sigma * sigma)) < 5 * m.standard_error);
  double root = std::sqrt(static_cast<double>(n));
  CHECK(std::hypot(first[0], first[1]) < 5 * root);  // five-fold symmetry: no first harmonic …
  CHECK(std::hypot(fifth[0], fifth[1]) > 0.2 * n);   // … and a strong fifth
}

TEST_CASE("points are a function of the key, and more points begin with the same ones") {
  for (const std::string& name : point_set_names()) {
    CAPTURE(name);
    auto set = make_point_set(name, sigma);
    RandomKey key{.seed = 5, .stream = 3, .step = 9};
    Tensor x = set->sample(50, key), y = set->sample(80, key);
    REQUIRE(x.shape() == Shape{50, 2});
    REQUIRE(x.dtype() == DType::f32);
    for (int64_t i = 0; i < 100; ++i) CHECK(x.at(i) == y.at(i));
    CHECK(set->sample(50, {.seed = 6, .stream = 3, .step = 9}).at(0) != x.at(0));
    CHECK(set->sample(50, {.seed = 5, .stream = 4, .step = 9}).at(0) != x.at(0));
    CHECK(set->sample(50, {.seed = 5, .stream = 3, .step = 10}).at(0) != x.at(0));
    CHECK(set->sample(50, key, DType::f64).at(7) == doctest::Approx(x.at(7)).epsilon(1e-6));
    CHECK(set->sample(0, key).shape() == Shape{0, 2});
  }
}

TEST_CASE("a wrong set or noise is refused") {
  CHECK_THROWS_WITH_AS(make_point_set("two_moon", 0.1),
                       doctest::Contains("two_moons, eight_gaussians, checkerboard"), InputError);
  for (double noise : {-0.1, static_cast<double>(NAN), static_cast<double>(INFINITY)})
    CHECK_THROWS_AS(make_point_set("rings", noise), InputError);
  CHECK_THROWS_AS(make_point_set("rings", 0.1)->log_density(Tensor::zeros({4, 3})), Error);
}
