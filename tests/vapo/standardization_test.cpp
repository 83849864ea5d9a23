#include "vapo/standardization.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tensor/check.h"
#include "tensor/kernels.h"
#include "tensor/random.h"

using namespace vapo;

TEST_CASE("standardisation: zero mean, unit variance, undone exactly, constants and tiny units included") {
  Tensor x =
      Tensor::from(std::vector<double>{1, 1e9 + 1, 0.1, 1e-15, 3, 1e9 + 2, 0.1, 2e-15, 8, 1e9, 0.1, 6e-15}, {3, 4});
  Standardization s = Standardization::learn(x);
  Tensor y = s.apply(x);
  for (int64_t k = 0; k < 4; ++k) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < 3; ++i) mean += y.at(4 * i + k) / 3, square += y.at(4 * i + k) * y.at(4 * i + k) / 3;
    CHECK(std::abs(mean) < 1e-6);
    CHECK(square == doctest::Approx(k == 2 ? 0 : 1));
  }
  CHECK(s.is_constant(2));
  CHECK(s.mean.at(0) == doctest::Approx(4));
  CHECK(s.scale.at(0) == doctest::Approx(std::sqrt(26.0 / 3)));
  Tensor back = s.undo(y);
  for (int64_t i = 0; i < 12; ++i) CHECK(back.at(i) == doctest::Approx(x.at(i)).epsilon(1e-12));
  double log_scale = 0;
  for (int64_t k : {0, 1, 3}) log_scale += std::log(s.scale.at(k));
  CHECK(s.log_scale() == doctest::Approx(log_scale));
  CHECK(s.apply(x.to(DType::f32)).dtype() == DType::f32);
  CHECK(s.undo(x.to(DType::f32)).dtype() == DType::f32);
  CHECK(Standardization::learn(x.to(DType::f32)).mean.dtype() == DType::f64);
  Standardization same = Standardization::identity(4);
  CHECK(same.apply(x).to_vector<double>() == x.to_vector<double>());
  CHECK(same.log_scale() == 0);
  CHECK_THROWS_AS(s.apply(Tensor::zeros({2, 3})), Error);
  CHECK_THROWS_AS(Standardization::learn(Tensor::zeros({0, 3})), Error);
  CHECK_THROWS_WITH_AS(Standardization::learn(Tensor::from(std::vector<double>{1, 1, 2, 1e300}, {2, 2})),
                       doctest::Contains("column 2"), InputError);
}

namespace {

// Rows a·z + b·z' … of a lower triangle, far from 0: columns with correlations 0.995 and 0.3.
Tensor correlated(int64_t rows) {
  Tensor z = randn({rows, 3}, {.seed = 5}, DType::f64), x = Tensor::zeros({rows, 3}, DType::f64);
  for (int64_t i = 0; i < rows; ++i) {
    const double* e = z.data<double>() + 3 * i;
    double* to = x.mutable_data<double>() + 3 * i;
    to[0] = 1000 + 2 * e[0];
    to[1] = -5 + 0.02 * e[0] + 0.002 * e[1];
    to[2] = 0.3 * e[0] + e[2];
  }
  return x;
}

double norm_squared(const Tensor& x, int64_t row) {
  double sum = 0;
  for (int64_t k = 0; k < x.dim(1); ++k) sum += x.at(row * x.dim(1) + k) * x.at(row * x.dim(1) + k);
  return sum;
}

}  // namespace

TEST_CASE("whitening: no correlations are left, it is undone, and densities are those of the columns' own units") {
  Tensor x = correlated(4000);
  Standardization s = Standardization::learn(x, Standardize::whiten);
  Tensor y = s.apply(x), back = s.undo(y);
  for (int64_t j = 0; j < 3; ++j)
    for (int64_t k = 0; k <= j; ++k) {
      double c = 0;
      for (int64_t i = 0; i < 4000; ++i) c += y.at(3 * i + j) * y.at(3 * i + k) / 4000;
      CHECK(c == doctest::Approx(j == k ? 1 : 0).epsilon(2e-3));
    }
  for (int64_t i = 0; i < 300; ++i) CHECK(back.at(i) == doctest::Approx(x.at(i)).epsilon(1e-12));
  // The triangle above has the determinant 2 · 0.002 · 1: a Gaussian's density at its rows, from both sides.
  double expected = std::log(2 * 0.002 * 1), squares = 0;
  for (int64_t i = 0; i < 4000; ++i) squares += norm_squared(y, i) / 4000;
  CHECK(s.log_scale() == doctest::Approx(expected).epsilon(0.01));
  CHECK(squares == doctest::Approx(3).epsilon(0.01));
  Tensor origin = s.undo(Tensor::zeros({1, 3}, DType::f64));
  for (int64_t k = 0; k < 3; ++k) CHECK(origin.at(k) == doctest::Approx(s.mean.at(k)));
  CHECK(s.apply(x.to(DType::f32)).dtype() == DType::f32);
}

TEST_CASE("whitening of columns that others determine, of constant ones, and of fewer rows than columns") {
  Tensor x = Tensor::zeros({50, 4}, DType::f64), z = randn({50, 2}, {.seed = 6}, DType::f64);
  for (int64_t i = 0; i < 50; ++i) {
    double* to = x.mutable_data<double>() + 4 * i;
    to[0] = z.at(2 * i), to[1] = 3.25, to[2] = 10 * z.at(2 * i + 1), to[3] = to[0] + to[2];
  }
  Standardization s = Standardization::learn(x, Standardize::whiten);
  CHECK(s.is_constant(1));
  CHECK(std::isfinite(s.log_scale()));
  Tensor drawn = s.undo(randn({200, 4}, {.seed = 7}));
  for (int64_t i = 0; i < 200; ++i) {
    CHECK(drawn.at(4 * i + 1) == 3.25);
    CHECK(std::abs(drawn.at(4 * i) + drawn.at(4 * i + 2) - drawn.at(4 * i + 3)) < 0.1);  // of a deviation of 10
  }
  Tensor other = x.clone();
  other.mutable_data<double>()[1] = 4.25;  // seen in its own units
  CHECK(s.apply(other).at(1) == 1);
  CHECK(s.apply(x).at(1) == 0);

  Tensor few = randn({6, 20}, {.seed = 8}, DType::f64);
  Standardization shrunk = Standardization::learn(few, Standardize::whiten);
  Tensor back = shrunk.undo(shrunk.apply(few));
  for (int64_t i = 0; i < few.numel(); ++i) CHECK(back.at(i) == doctest::Approx(few.at(i)).epsilon(1e-9));
  // hardly anything is known of 190 correlations: no direction is taken for narrow
  for (int64_t k = 0; k < 20; ++k) CHECK(shrunk.factor.at(21 * k) > 0.5);
  CHECK(std::isfinite(Standardization::learn(Tensor::ones({1, 3}, DType::f64), Standardize::whiten).log_scale()));
}
