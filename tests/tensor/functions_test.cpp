// Scalar functions in every loop they are expanded into: near 0, at the ends of the range, at NaN.

#include "tensor/functions.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tensor/kernels.h"

using namespace vapo;

namespace {
const DType floating[] = {DType::f32, DType::f64};
}

TEST_CASE("expm1 and log1p are exact near 0, and wherever else they are defined") {
  for (DType t : floating) {
    double eps = t == DType::f32 ? 0x1p-23 : 0x1p-52, inf = std::numeric_limits<double>::infinity();
    std::vector<double> magnitudes;
    for (int e = t == DType::f32 ? -126 : -1022; e < 6; ++e)
      for (double m : {1.0, 1.1, 1.3, 1.5, 1.7, 1.9}) magnitudes.push_back(std::ldexp(m, e));
    for (double m : magnitudes)
      for (double sign : {1.0, -1.0}) {
        Tensor x = Tensor::full({33}, sign * m, t);
        double at = x.at(0);
        CAPTURE(at);
        double y = kernel::unary<Expm1>(x).at(7), want = std::expm1(at);
        CHECK(std::abs(y - want) <= 4 * eps * std::abs(want));
        CHECK(kernel::unary<Expm1>(x).at(32) ==
              doctest::Approx(want).epsilon(4 * eps));  // what is left of a register
        if (at <= -1) continue;
        y = kernel::unary<Log1p>(x).at(7), want = std::log1p(at);
        CHECK(std::abs(y - want) <= 4 * eps * std::abs(want));
      }
    Tensor ends = Tensor::from(std::vector<double>{inf, -inf, std::nan(""), 1000, -1000, -1, 1e30}, {7}).to(t);
    Tensor e = kernel::unary<Expm1>(ends), l = kernel::unary<Log1p>(ends);
    CHECK(e.at(0) == inf);
    CHECK(e.at(1) == -1);
    CHECK(std::isnan(e.at(2)));
    CHECK(e.at(3) == inf);
    CHECK(e.at(4) == -1);
    CHECK(l.at(0) == inf);
    for (int64_t i : {1, 2, 4}) CHECK(std::isnan(l.at(i)));
    CHECK(l.at(5) == -inf);
    CHECK(l.at(6) == doctest::Approx(std::log(1e30)).epsilon(1e-7));
  }
}

TEST_CASE("NaN in, NaN out, in whole registers and in what is left of them; its neighbours stay") {
  const int passing = Functions::index_of<Step>(), leaky = Functions::index_of<LeakyStep>();
  for (DType t : floating)
    for (int64_t n : {1, 3, 16, 21, 35})
      for (int f = 0; f < Functions::size; ++f)
        for (int64_t place = 0; place < n; place += 2) {
          std::vector<double> values(static_cast<size_t>(n), 0.75);
          values[static_cast<size_t>(place)] = std::nan("");
          Tensor x = Tensor::from(values, {n}).to(t), one = Tensor::ones({n}, t);
          double usual = kernel::unary(f, Tensor::full({n}, 0.75, t), 0.5).at((place + 1) % n);
          bool tower = false;
          for (int k : {Functions::index_of<Tanh>(), Functions::index_of<Softplus>(), Functions::index_of<Silu>(),
                        Functions::index_of<Sigmoid>(), Functions::index_of<Gelu>()})
            tower |= k == f;
          std::vector<Tensor> results{kernel::unary(f, x, 0.5), kernel::scaled2(f, x, one, one, 0.5)};
          if (tower) results.push_back(kernel::unary_with_slope(f, x).value);
          for (const Tensor& y : results) {
            CAPTURE(f);
            if (f == passing)
              CHECK(y.at(place) == 1);
            else if (f == leaky)
              CHECK(y.at(place) == 0.5);
            else
              CHECK(std::isnan(y.at(place)));
            if (n > 1) CHECK(y.at((place + 1) % n) == doctest::Approx(usual).epsilon(1e-6));
          }
          if (tower) CHECK(std::isnan(kernel::unary_with_slope(f, x).slope.at(place)));
          if (f > 0) continue;
          using kernel::Binary;
          for (Binary op : {Binary::maximum, Binary::minimum})
            for (const Tensor& y : {kernel::binary(op, x, one), kernel::binary(op, one, x)}) {
              CHECK(std::isnan(y.at(place)));
              if (n > 1) CHECK(y.at((place + 1) % n) == (op == Binary::maximum ? 1 : 0.75));
            }
          CHECK(std::isnan(kernel::amax(x, {}, false).item()));
          CHECK(std::isnan(kernel::amax(kernel::broadcast_to(x, {4, n}), {0}, false).at(place)));
        }
}
