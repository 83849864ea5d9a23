// Loops over threads: every index once, the caller's exceptions, nesting, and several callers at a time.

#include "tensor/parallel.h"

#include <doctest/doctest.h>

#include <atomic>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "tensor/check.h"
#include "tensor/kernels.h"
#include "tensor/precision.h"
#include "tensor/random.h"

using namespace vapo;

namespace {
// Restores the number of threads at the end of a test.
struct Threads {
  explicit Threads(int n) { set_num_threads(n); }
  ~Threads() { set_num_threads(before); }
  int before = num_threads();
};
}  // namespace

TEST_CASE("every index exactly once, for any number of threads, length, grain and alignment") {
  for (int threads : {1, 2, 3, 8}) {
    Threads these(threads);
    REQUIRE(num_threads() == threads);
    for (int64_t n : {0, 1, 2, 7, 64, 1000})
      for (int64_t grain : {1, 5, 100})
        for (int64_t align : {1, 16}) {
          std::vector<int> visits(static_cast<size_t>(n));
          std::atomic<int> parts = 0;
          parallel_for(n, grain, align, [&](int64_t begin, int64_t end) {
            ++parts;
            CHECK((begin < end && begin % align == 0));
            for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
          });
          CHECK(std::accumulate(visits.begin(), visits.end(), int64_t{0}) == n);
          CHECK(std::all_of(visits.begin(), visits.end(), [](int v) { return v == 1; }));
          CHECK(parts <= threads);
        }
  }
}

TEST_CASE("parts run on different threads; inside a part a loop is serial") {
  Threads two(2);
  std::atomic<int> met = 0;
  std::thread::id ids[2];
  parallel_for(2, 1, 1, [&](int64_t begin, int64_t) {
    ids[begin] = std::this_thread::get_id();
    for (++met; met < 2;) std::this_thread::yield();  // ends only if both run at once
    CHECK(num_threads() == 1);
    int inner = 0;
    parallel_for(100, 1, 1, [&](int64_t b, int64_t e) { inner += static_cast<int>(e - b); });
    CHECK(inner == 100);
  });
  CHECK(ids[0] != ids[1]);
}

TEST_CASE("an exception of any part reaches the caller, and the threads go on") {
  Threads four(4);
  for (int64_t culprit = 0; culprit < 4; ++culprit)
    CHECK_THROWS_WITH_AS(parallel_for(4, 1, 1,
                                      [&](int64_t begin, int64_t) {
                                        if (begin == culprit) throw std::runtime_error("part");
                                      }),
                         "part", std::runtime_error);
  std::atomic<int> count = 0;
  parallel_for(4, 1, 1, [&](int64_t, int64_t) { ++count; });
  CHECK(count == 4);
  CHECK_THROWS_AS(set_num_threads(0), Error);
}

TEST_CASE("several threads of a program may loop at a time, also after the workers fell asleep") {
  Threads three(3);
  std::vector<std::thread> callers;
  std::atomic<int64_t> total = 0;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) {
        parallel_for(30, 1, 1, [&](int64_t begin, int64_t end) { total += end - begin; });
        if (i % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
    });
  for (std::thread& c : callers) c.join();
  CHECK(total == 4 * 2000 * 30);
}

TEST_CASE("products are the same for any number of threads, up to rounding, with every flag") {
  for (DType type : {DType::f32, DType::f64})
    for (bool ta : {false, true})
      for (bool tb : {false, true}) {
        Tensor a = randn(ta ? Shape{70, 100} : Shape{100, 70}, {.seed = 1}, type),
               b = randn(tb ? Shape{90, 70} : Shape{70, 90}, {.seed = 2}, type);
        auto product = [&](int threads) {
          Threads these(threads);
          return kernel::matmul(a, b, {.transpose_a = ta, .transpose_b = tb});
        };
        Tensor one = product(1);
        for (int threads : {2, 3, 4, 7}) {
          Tensor y = product(threads);
          double worst = 0;
          for (int64_t i = 0; i < y.numel(); ++i) worst = std::max(worst, std::abs(y.at(i) - one.at(i)));
          CHECK(worst < (type == DType::f32 ? 1e-4 : 1e-12));
        }
      }
}

TEST_CASE(
    "with a fixed number of parts products and gradients of weights have the same bits on any number of threads") {
  Precision before = precision();
  for (Precision p : {Precision::strict, Precision::fast}) {
    set_precision(p);
    CAPTURE(std::string(name_of(p)));
    Tensor x = randn({6, 14, 14, 32}, {.seed = 1}), g = randn({6, 14, 14, 48}, {.seed = 2}),
           w = randn({48, 3, 3, 32}, {.seed = 3});
    Tensor flat_x = x.reshape({6 * 14 * 14, 32}), flat_g = g.reshape({6 * 14 * 14, 48});
    Tensor several = randn({5, 1176, 32}, {.seed = 4}), others = randn({5, 1176, 48}, {.seed = 5});
    auto all = [&](int threads, int parts) {
      Threads these(threads);
      FixedSumParts fixed(parts);
      kernel::Conv2dOptions same{.padding = 1};
      std::vector<float> out;
      for (const Tensor& y : {kernel::conv2d_weight_grad(x, g, {48, 3, 3, 32}, same),
                              kernel::conv2d(x, w, {}, same), kernel::conv2d_weight_grad(x, g, {48, 1, 1, 32}, {}),
                              kernel::matmul(flat_x, flat_g, {.transpose_a = true}),
                              kernel::matmul(several, others, {.transpose_a = true})})
        for (float v : y.to_vector<float>()) out.push_back(v);
      return out;
    };
    for (int parts : {1, 4, 8}) {
      std::vector<float> one = all(1, parts);
      for (int threads : {2, 3, 7}) CHECK(all(threads, parts) == one);
    }
    CHECK(all(1, 1) != all(1, 4));  // they are other sums
  }
  set_precision(before);
  CHECK(sum_parts() == num_threads());
}
