// Gathering along a dimension, its adjoint, and maxima of windows: values, bits, errors; derivatives are in
// op_cases_test.cpp.

#include <doctest/doctest.h>

#include <cmath>

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/parallel.h"
#include "tensor/random.h"
#include "tests/op_cases.h"

using namespace vapo;

namespace {

Tensor index_of(std::vector<int64_t> values, const Shape& shape) { return Tensor::from(values, shape); }
Tensor drawn(const Shape& shape, int64_t size, uint64_t seed) {
  Tensor u = rand(shape, {.seed = seed}, 0, static_cast<double>(size), DType::f64);
  std::vector<int64_t> out;
  for (double v : u.to_vector<double>()) out.push_back(std::min(static_cast<int64_t>(v), size - 1));
  return index_of(out, shape);
}

}  // namespace

TEST_CASE("max_pool2d: both ways to the values, with an index and of inference") {
  for (const OpCase& c : op_cases()) {
    if (c.op != std::string("max_pool2d")) continue;
    CAPTURE(c.name());
    Tensor x = c.inputs()[0];
    CHECK(c.f(std::vector<Var>{Var::leaf(x)}).value().to_vector<double>() ==
          c.f(std::vector<Var>{x}).value().to_vector<double>());
  }
}

TEST_CASE("values as PyTorch has them") {
  Tensor x = Tensor::from(std::vector<double>{1, 2, 3, 4, 5, 6}, {2, 3});
  CHECK(gather(x, 1, index_of({2, 2, 0, 0, 1, 0}, {2, 3})).value().to_vector<double>() ==
        std::vector<double>{3, 3, 1, 4, 5, 4});
  CHECK(gather(x, 0, index_of({1, 0}, {1, 2})).value().to_vector<double>() == std::vector<double>{4, 2});
  Var sums = scatter_add(Tensor::zeros({2, 3}, DType::f64), 1, index_of({0, 0, 2, 1}, {2, 2}),
                         Tensor::from(std::vector<double>{1, 2, 9, 3, 4, 9}, {2, 3}));
  CHECK(sums.value().to_vector<double>() == std::vector<double>{3, 0, 0, 0, 4, 3});
  CHECK(gather(Tensor::from(std::vector<int64_t>{7, 8}, {2}), 0, index_of({1, 1}, {2}))
            .value()
            .to_vector<int64_t>() == std::vector<int64_t>{8, 8});
}

TEST_CASE("the cotangent of a maximum goes to the first of equal ones; a NaN is a maximum") {
  auto slope = [](std::vector<float> values) {
    Var x = Var::leaf(Tensor::from(values, {1, 2, 2, 1}));
    Var y = max_pool2d(x, {.size = 2});
    auto d = grad(sum(y), x).value().to_vector<float>();
    return std::pair(y.item(), std::find(d.begin(), d.end(), 1.0f) - d.begin());
  };
  CHECK(slope({3, 3, 1, 3}) == std::pair(3.0, std::ptrdiff_t{0}));
  CHECK(slope({1, 5, 5, 2}) == std::pair(5.0, std::ptrdiff_t{1}));
  CHECK(slope({-0.0f, 0, 0, -1}).second == 0);
  CHECK(slope({-INFINITY, -INFINITY, -INFINITY, -INFINITY}).second == 0);
  CHECK(slope({-INFINITY, -1e30f, -INFINITY, -INFINITY}).second == 1);
  CHECK(std::isnan(slope({1, NAN, 7, 2}).first));
  CHECK(slope({1, NAN, 7, INFINITY}).second == 1);
  CHECK(slope({NAN, 1, NAN, 2}).second == 2);
  // without a gradient the same
  CHECK(std::isnan(max_pool2d(Tensor::from(std::vector<float>{NAN, 1, 2, 3}, {1, 2, 2, 1}), {.size = 2}).item()));
  CHECK(std::isnan(max_pool2d(Tensor::from(std::vector<float>{0, 1, NAN, 3}, {1, 2, 2, 1}), {.size = 2}).item()));
}

TEST_CASE("sums of many repeats have the same bits for any number of threads") {
  int before = num_threads();
  for (const Shape& s : {Shape{1, 5000, 1}, Shape{1, 700, 33}, Shape{5, 900, 7}}) {
    Tensor at = drawn(s, 3, 1), g = randn(s, {.seed = 2});
    Shape to{s[0], 3, s[2]};
    std::vector<std::vector<float>> results;
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      results.push_back(kernel::scatter_add(g, to, 1, at).to_vector<float>());
    }
    CHECK(results[0] == results[1]);
    CHECK(results[0] == results[2]);
    double all = kernel::sum(g.to(DType::f64), {}, false).item(), total = 0;
    for (float v : results[0]) total += static_cast<double>(v);
    CHECK(total == doctest::Approx(all).epsilon(1e-4));
  }
  set_num_threads(before);
}

TEST_CASE("errors of indices and windows say which entry, which dimension, which shapes") {
  Var x = Tensor::ones({2, 5, 3}), v = Tensor::ones({4});
  CHECK_THROWS_WITH_AS(gather(x, 1, index_of({0, 1, 2, 4, 5, 0}, {2, 1, 3})),
                       "[gather] index 5 at (1,0,1) is outside [0, 5), dimension 1 of (2,5,3)", Error);
  CHECK_THROWS_WITH_AS(gather(v, 0, index_of({0, -1}, {2})),
                       "[gather] index -1 at (1) is outside [0, 4), dimension 0 of (4)", Error);
  CHECK_THROWS_WITH_AS(scatter_add(v, -1, index_of({4}, {1}), v),
                       "[scatter_add] index 4 at (0) is outside [0, 4), dimension 0 of (4)", Error);
  CHECK_THROWS_WITH_AS(gather(x, 1, index_of({0, 1}, {2})), doctest::Contains("must have as many dimensions"),
                       Error);
  CHECK_THROWS_WITH_AS(gather(x, 1, Tensor::from(std::vector<int64_t>(9), {3, 1, 3})),
                       doctest::Contains("index (3,1,3) is larger than the operand (2,5,3) in dimension 0"), Error);
  CHECK_THROWS_WITH_AS(scatter_add(v, 0, index_of({0, 1, 2}, {3}), Tensor::ones({2})),
                       doctest::Contains("index (3) is larger than src (2)"), Error);
  CHECK_THROWS_WITH_AS(gather(v, 1, index_of({0}, {1})), doctest::Contains("dimension 1 does not exist"), Error);
  CHECK_THROWS_WITH_AS(gather(v, 0, Tensor::ones({1})), doctest::Contains("index must be i64, got f32"), Error);
  CHECK_THROWS_WITH_AS(kernel::gather(x.value(), 1, index_of({0, 1}, {2, 1, 1})), doctest::Contains("does not fit"),
                       Error);
  Var image = Var::leaf(Tensor::ones({1, 4, 4, 2}));
  CHECK_THROWS_WITH_AS(max_pool2d(image, {.size = 2, .padding = 2}),
                       doctest::Contains("[max_pool2d] padding (2,2)"), Error);
  CHECK_THROWS_WITH_AS(max_pool2d(image, {.size = 5}), doctest::Contains("does not fit an input of 4×4"), Error);
}
