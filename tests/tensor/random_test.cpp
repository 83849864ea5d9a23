// Philox: the published block function, and the laws of the draws.

#include "tensor/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

using namespace vapo;

TEST_CASE("philox4x32-10 gives the known answers of its authors' test vectors") {
  using Words = std::array<uint32_t, 4>;
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  uint32_t f = 0xffffffff;
  CHECK(philox4x32({f, f, f, f}, {f, f}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("an element depends on seed, stream, step and its index alone") {
  RandomKey key{.seed = 5, .stream = 2, .step = 77};
  Tensor all = randn({1003}, key);
  CHECK(randn({7}, key).to_vector<float>() == std::vector<float>(all.data<float>(), all.data<float>() + 7));
  Tensor later = randn({11}, key, DType::f32, 400);
  for (int i = 0; i < 11; ++i) CHECK(later.at(i) == all.at(400 + i));
  CHECK(randn({4}, {.seed = 6, .stream = 2, .step = 77}).at(0) != all.at(0));
  CHECK(randn({4}, {.seed = 5, .stream = 3, .step = 77}).at(0) != all.at(0));
  CHECK(randn({4}, {.seed = 5, .stream = 2, .step = 78}).at(0) != all.at(0));
  CHECK(randn({4}, {.seed = 5, .stream = 2, .step = 77 + (uint64_t{1} << 40)}).at(0) != all.at(0));
  Tensor exact = randn({1003}, key, DType::f64);
  for (int i = 0; i < 1003; ++i) CHECK(std::abs(exact.at(i) - all.at(i)) < 2e-5);
}

TEST_CASE("moments: mean, variance and fourth moment of the normal within 5 standard errors") {
  constexpr int64_t n = 1'000'000;
  for (DType dtype : {DType::f32, DType::f64}) {
    Tensor x = randn({n}, {.seed = 1}, dtype);
    double m1 = 0, m2 = 0, m4 = 0, neighbours = 0;
    for (int64_t i = 0; i < n; ++i) {
      double v = x.at(i);
      m1 += v, m2 += v * v, m4 += v * v * v * v;
      if (i) neighbours += v * x.at(i - 1);
    }
    double root = std::sqrt(static_cast<double>(n));
    CHECK(std::abs(m1 / n) < 5 / root);
    CHECK(std::abs(m2 / n - 1) < 5 * std::sqrt(2.0) / root);
    CHECK(std::abs(m4 / n - 3) < 5 * std::sqrt(96.0) / root);
    CHECK(std::abs(neighbours / n) < 5 / root);
  }
}

TEST_CASE("uniforms stay below the upper end and fill the range evenly") {
  Tensor u = rand({1'000'000}, {.seed = 3}, 1e-5, 1);
  double sum = 0, low = 1, high = 0;
  for (float v : u.to_vector<float>()) sum += v, low = std::min<double>(low, v), high = std::max<double>(high, v);
  CHECK(low >= 1e-5f);
  CHECK(high < 1);
  CHECK(std::abs(sum / 1e6 - 0.5) < 5 * 0.2887 / 1000);
  CHECK_THROWS_AS(rand({1}, {}, 1, 1), Error);
}

TEST_CASE("integers, signs and permutations") {
  std::vector<int> counts(7);
  for (int64_t v : randint({70'000}, {.seed = 4}, 7).to_vector<int64_t>()) ++counts.at(static_cast<size_t>(v));
  for (int c : counts) CHECK(std::abs(c - 10'000) < 5 * 93);  // s.d. of a count: √(n p (1−p)) = 93
  double sum = 0;
  for (float v : rademacher({10'000}, {.seed = 4}).to_vector<float>()) {
    CHECK(std::abs(v) == 1);
    sum += v;
  }
  CHECK(std::abs(sum) < 500);
  auto p = randperm(1000, {.seed = 9}).to_vector<int64_t>();
  CHECK(p != Tensor::arange(1000).to_vector<int64_t>());
  std::sort(p.begin(), p.end());
  CHECK(p == Tensor::arange(1000).to_vector<int64_t>());
  std::vector<int> first(5);  // where element 0 goes is even
  for (uint64_t s = 0; s < 5000; ++s)
    ++first.at(static_cast<size_t>(randperm(5, {.seed = 9, .step = s}).data<int64_t>()[0]));
  for (int c : first) CHECK(std::abs(c - 1000) < 5 * 29);
}
