#include "tensor/operators.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "tensor/random.h"

using namespace vapo;

namespace {

// f(a_i, b_i) in the tensors' own dtype, to the bit.
template <class T>
void check_elements(const Tensor& y, const Tensor& a, const Tensor& b, const std::function<T(T, T)>& f) {
  REQUIRE(y.shape() == a.shape());
  REQUIRE(y.dtype() == dtype_of<T>);
  for (int64_t i = 0; i < a.numel(); ++i) CHECK(y.data<T>()[i] == f(a.data<T>()[i], b.data<T>()[i]));
}
template <class T>
void check_operators() {
  Tensor a = randn({3, 5}, {.seed = 1}, dtype_of<T>), b = randn({3, 5}, {.seed = 2}, dtype_of<T>);
  check_elements<T>(a + b, a, b, [](T p, T q) { return p + q; });
  check_elements<T>(a - b, a, b, [](T p, T q) { return p - q; });
  check_elements<T>(a * b, a, b, [](T p, T q) { return p * q; });
  check_elements<T>(a / b, a, b, [](T p, T q) { return p / q; });
  check_elements<T>(-a, a, b, [](T p, T) { return -p; });
  // by numbers that are exact in both dtypes
  check_elements<T>(0.75 * a, a, b, [](T p, T) { return static_cast<T>(0.75) * p; });
  check_elements<T>(a * 0.75, a, b, [](T p, T) { return static_cast<T>(0.75) * p; });
  check_elements<T>(a / 4, a, b, [](T p, T) { return p / 4; });
  check_elements<T>(a + 1.5, a, b, [](T p, T) { return p + static_cast<T>(1.5); });
  check_elements<T>(1.5 + a, a, b, [](T p, T) { return p + static_cast<T>(1.5); });
  check_elements<T>(a - 1.5, a, b, [](T p, T) { return p - static_cast<T>(1.5); });
  check_elements<T>(1.5 - a, a, b, [](T p, T) { return static_cast<T>(1.5) - p; });
}

}  // namespace

TEST_CASE("operators are the arithmetic of the elements") {
  check_operators<float>();
  check_operators<double>();
}

TEST_CASE("operands of operators broadcast, and are refused as those of kernel::binary") {
  Tensor column = Tensor::from(std::vector<float>{1, 2}, {2, 1}),
         row = Tensor::from(std::vector<float>{3, 5, 7}, {3});
  CHECK((column * row - column).to_vector<float>() == std::vector<float>{2, 4, 6, 4, 8, 12});
  CHECK_THROWS_AS(column + Tensor::zeros({3, 2}), Error);
  CHECK_THROWS_AS(column / Tensor::zeros({2, 1}, DType::f64), Error);
  CHECK_THROWS_AS(-Tensor::zeros({2}, DType::i64), Error);
}
