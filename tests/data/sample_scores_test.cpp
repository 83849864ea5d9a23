// KID and Inception Score: NumPy's values, and the definitions.

#include "data/measures/sample_scores.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tensor/check.h"
#include "tensor/kernels.h"
#include "tensor/random.h"
#include "tests/data/waves.h"

using namespace vapo;
using namespace vapo::data;

namespace {

double kernel_of(const Tensor& x, int64_t i, const Tensor& y, int64_t j) {
  double product = 0;
  int64_t d = x.dim(1);
  for (int64_t k = 0; k < d; ++k) product += x.at(i * d + k) * y.at(j * d + k);
  return std::pow(product / static_cast<double>(d) + 1, 3);
}
double discrepancy(const Tensor& x, const Tensor& y) {  // of as many rows
  int64_t n = x.dim(0);
  double within = 0, across = 0;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      if (i != j) within += kernel_of(x, i, x, j) + kernel_of(y, i, y, j);
      across += kernel_of(x, i, y, j);
    }
  auto m = static_cast<double>(n);
  return within / (m * (m - 1)) - 2 * across / (m * m);
}

Tensor chosen(const Tensor& x, const Tensor& order, int64_t begin, int64_t end) {
  return kernel::index_select(x, 0, kernel::slice(order, 0, begin, end, 1));
}

}  // namespace

TEST_CASE("KID of all rows: NumPy's values") {
  KernelDistance k = kernel_distance(waves(20, 6), other_waves(20, 6));
  CHECK(k.mean == doctest::Approx(0.13147946739973593).epsilon(1e-12));
  CHECK(k.deviation == 0);
  CHECK(k.subsets == 1);
  CHECK(k.subset_size == 20);
  CHECK(kernel_distance(waves(20, 6), waves(20, 6)).mean == doctest::Approx(-0.2443621003318066).epsilon(1e-12));
  CHECK(kernel_distance(waves(20, 6).to(DType::f32), other_waves(20, 6).to(DType::f32)).mean ==
        doctest::Approx(0.13147946739973593).epsilon(1e-5));
}

TEST_CASE("KID of random subsets: mean and deviation of the discrepancy, by the seed") {
  Tensor x = waves(30, 6), y = other_waves(25, 6);
  KernelDistance k = kernel_distance(x, y, {.subsets = 7, .subset_size = 12, .seed = 3});
  CHECK(k.subsets == 7);
  CHECK(k.subset_size == 12);
  double mean = 0, square = 0;
  for (uint64_t i = 0; i < 7; ++i) {
    double v = discrepancy(chosen(x, randperm(30, {3, 0, i}), 0, 12), chosen(y, randperm(25, {3, 1, i}), 0, 12));
    mean += v / 7, square += v * v / 7;
  }
  CHECK(k.mean == doctest::Approx(mean).epsilon(1e-12));
  CHECK(k.deviation == doctest::Approx(std::sqrt(square - mean * mean)).epsilon(1e-9));
  CHECK(kernel_distance(x, y, {.subsets = 7, .subset_size = 12, .seed = 3}).mean == k.mean);
  CHECK(kernel_distance(x, y, {.subsets = 7, .subset_size = 12, .seed = 4}).mean != k.mean);
  k = kernel_distance(x, y);  // fewer rows than a subset has: 25 of each
  CHECK(k.subsets == 100);
  CHECK(k.subset_size == 25);
}

TEST_CASE("Inception Score: NumPy's value, the ends of its range, splits by the seed") {
  auto logits = [](double scale, int64_t n) { return kernel::affine(waves(n, 5), scale, 0).to(DType::f32); };
  CHECK(inception_score(logits(3, 12), {.splits = 1}).mean == doctest::Approx(1.8890330782743026).epsilon(1e-9));
  CHECK(inception_score(logits(100, 12), {.splits = 1}).mean == doctest::Approx(4.124968493234584).epsilon(1e-9));
  CHECK(inception_score(Tensor::full({20, 7}, 3.0)).mean == doctest::Approx(1).epsilon(1e-12));
  Tensor certain =
      rows(8, 4, [](double i, double k) { return std::fmod(i, 4) == k ? 2000.0 : 0.0; }).to(DType::f32);
  CHECK(inception_score(certain, {.splits = 1}).mean == doctest::Approx(4).epsilon(1e-12));

  Tensor x = logits(3, 25);
  InceptionScore s = inception_score(x, {.splits = 3, .seed = 5});
  Tensor order = randperm(25, {5, 2, 0});
  double mean = 0, square = 0;
  for (auto [begin, end] : {std::pair{0, 8}, {8, 16}, {16, 25}}) {
    double v = inception_score(chosen(x, order, begin, end), {.splits = 1}).mean;
    mean += v / 3, square += v * v / 3;
  }
  CHECK(s.splits == 3);
  CHECK(s.mean == doctest::Approx(mean).epsilon(1e-12));
  CHECK(s.deviation == doctest::Approx(std::sqrt(square - mean * mean)).epsilon(1e-9));
  CHECK(inception_score(x, {.splits = 3, .seed = 6}).mean != s.mean);
  CHECK(inception_score(logits(3, 4)).splits == 4);
}

TEST_CASE("what has no score is refused") {
  Tensor x = waves(4, 3);
  CHECK_THROWS_WITH_AS(kernel_distance(x, waves(4, 2)), doctest::Contains("(4,3) and (4,2)"), InputError);
  CHECK_THROWS_WITH_AS(kernel_distance(waves(1, 3), x), doctest::Contains("(1,3)"), InputError);
  CHECK_THROWS_AS(inception_score(Tensor::zeros({0, 3})), InputError);
  Tensor logits = Tensor::zeros({3, 4});
  logits.mutable_data<float>()[6] = NAN;
  CHECK_THROWS_WITH_AS(inception_score(logits), doctest::Contains("row 2, column 3: the value is nan"), InputError);
}
