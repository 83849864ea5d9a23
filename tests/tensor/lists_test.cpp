// Passes over lists of tensors.

#include <doctest/doctest.h>

#include <vector>

#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tests/tensor/kernel_checks.h"

using namespace vapo;

TEST_CASE("lists are added pair by pair, in the first's memory where nothing else has it") {
  for (DType t : floating) {
    std::vector<Tensor> a{noise({3, 7}, t), noise({20'011}, t, 1), Tensor::empty({0}, t), noise({}, t, 2)}, b, was;
    for (size_t i = 0; i < a.size(); ++i) b.push_back(noise(a[i].shape(), t, 10 + i));
    was = {noise({3, 7}, t), noise({20'011}, t, 1), Tensor::empty({0}, t), noise({}, t, 2)};
    const void* place = a[1].raw();
    Tensor kept = a[0];
    std::vector<Tensor> y = kernel::add_each(std::move(a), b);
    REQUIRE(y.size() == 4);
    for (size_t i = 0; i < y.size(); ++i) {
      CHECK(y[i].shape() == was[i].shape());
      CHECK(error(y[i], [&](int64_t k) { return was[i].at(k) + b[i].at(k); }) < tolerance(t));
    }
    CHECK(y[1].raw() == place);
    CHECK(error(kept, [&](int64_t k) { return was[0].at(k); }) == 0);
  }
  CHECK(kernel::add_each({}, {}).empty());
  CHECK_THROWS_AS(kernel::add_each({noise({2}, DType::f32)}, {}), Error);
  std::vector<Tensor> other{noise({3}, DType::f32)};
  CHECK_THROWS_AS(kernel::add_each({noise({2}, DType::f32)}, other), Error);
}

TEST_CASE("the sum of squares of a list has the same bits with any number of threads") {
  std::vector<Tensor> x{noise({90'001}, DType::f32), noise({5}, DType::f32, 1), noise({300, 300}, DType::f32, 2)};
  int before = num_threads();
  std::vector<double> sums;
  for (int threads : {1, 2, 3, 7}) {
    set_num_threads(threads);
    sums.push_back(kernel::sum_squares(x).item());
  }
  set_num_threads(before);
  for (double s : sums) CHECK(s == sums[0]);
  double plain = 0;
  for (const Tensor& t : x)
    for (int64_t i = 0; i < t.numel(); ++i) plain += t.at(i) * t.at(i);
  CHECK(sums[0] == doctest::Approx(plain).epsilon(1e-12));
}
