#include "vapo/standardization.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tensor/check.h"

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
  CHECK(s.scale.at(2) == 1);
  CHECK(s.mean.at(0) == doctest::Approx(4));
  CHECK(s.scale.at(0) == doctest::Approx(std::sqrt(26.0 / 3)));
  Tensor back = s.undo(y);
  for (int64_t i = 0; i < 12; ++i) CHECK(back.at(i) == doctest::Approx(x.at(i)).epsilon(1e-12));
  double log_scale = 0;
  for (int64_t k = 0; k < 4; ++k) log_scale += std::log(s.scale.at(k));
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
