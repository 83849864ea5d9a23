// Steps of Runge-Kutta pairs, for all rows of a state together and for each by itself.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/tensor/kernel_checks.h"

using namespace vapo;

TEST_CASE("steps of Runge-Kutta pairs and their errors are what their formulas say, of all rows and of each") {
  const double w[] = {0.3, 0, -0.7};
  for (DType t : floating) {
    Tensor y = noise({3, 2, 5}, t);
    const Tensor ks[] = {noise({3, 2, 5}, t, 1), Tensor::full({3, 2, 5}, NAN, t), noise({3, 2, 5}, t, 2)};
    const double h[] = {0.25, 0, 0.5}, rtol = 1e-2, atol = 1e-3;
    kernel::RowSteps all{.h = 0.25, .rtol = rtol, .atol = atol}, own;
    own.each = Tensor::from(std::vector<double>{h[0], rtol, atol, h[1], rtol, atol, h[2], rtol, 2 * atol}, {3, 3});
    auto slope = [&](int64_t i) { return w[0] * ks[0].at(i) + w[2] * ks[2].at(i); };
    // a derivative of weight 0 is left out of a step, and one that is NaN of a row that does not move
    Tensor together = kernel::runge_kutta_step(y, ks, w, all), each = kernel::runge_kutta_step(y, ks, w, own);
    CHECK(error(together, [&](int64_t i) { return y.at(i) + h[0] * slope(i); }) < tolerance(t));
    CHECK(error(each, [&](int64_t i) { return y.at(i) + h[i / 10] * slope(i); }) < tolerance(t));
    const double one[] = {1};
    CHECK(kernel::all_finite(kernel::slice(kernel::runge_kutta_step(y, {ks + 1, 1}, one, own), 0, 1, 2, 1)));

    const Tensor two[] = {ks[0], ks[2]};
    const double weights[] = {w[0], w[2]};
    auto square = [&](int64_t i, double step, double absolute) {
      double scale = absolute + rtol * std::max(std::abs(y.at(i)), std::abs(each.at(i)));
      return std::pow(step * slope(i) / scale, 2);
    };
    double sum = 0, rows[3] = {};
    for (int64_t i = 0; i < 30; ++i)
      sum += square(i, h[0], atol), rows[i / 10] += square(i, h[i / 10], i < 20 ? atol : 2 * atol);
    Tensor e = kernel::runge_kutta_error(y, each, two, weights, all);
    CHECK(e.shape() == Shape{1, 2});
    CHECK(error(e, [&](int64_t i) { return i == 0 ? sum : 0; }) < tolerance(t));
    e = kernel::runge_kutta_error(y, each, two, weights, own);
    CHECK(e.shape() == Shape{3, 2});
    CHECK(error(e, [&](int64_t i) { return i % 2 == 0 ? rows[i / 2] : 0; }) < tolerance(t));
    Tensor bad = each.clone();
    t == DType::f32 ? void(bad.mutable_data<float>()[11] = INFINITY) : void(bad.mutable_data<double>()[11] = NAN);
    e = kernel::runge_kutta_error(y, bad, two, weights, own);
    CHECK(e.at(3) == 1);
    CHECK(e.at(1) + e.at(5) == 0);
  }
  Tensor y = noise({3, 2}, DType::f32), k = noise({3, 1}, DType::f32);
  const double one[] = {1};
  CHECK_THROWS_WITH_AS(kernel::runge_kutta_step(y, {&k, 1}, one, {}),
                       "[runge_kutta_step] a derivative is not f32 (3,2) on cpu as the state is", Error);
  kernel::RowSteps two_rows{.each = Tensor::zeros({2, 3}, DType::f64)};
  CHECK_THROWS_WITH_AS(kernel::runge_kutta_error(y, y, {&y, 1}, one, two_rows),
                       "[runge_kutta_error] steps of each row: expected f64 (3,3) on cpu", Error);
}
