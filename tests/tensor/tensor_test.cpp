// Shapes, handles, the allocator.

#include "tensor/tensor.h"

#include <doctest/doctest.h>

#include <thread>

#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/precision.h"

using namespace vapo;

TEST_CASE("a tensor knows its shape, dtype and elements") {
  Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.dim(-1) == 3);
  CHECK(x.numel() == 6);
  CHECK(x.at(4) == 5);
  CHECK(x.shape().str() == "(2,3)");
  CHECK(Tensor::scalar(7, DType::f64).item() == 7);
  CHECK(Tensor::arange(3).to_vector<int64_t>() == std::vector<int64_t>{0, 1, 2});
  CHECK(reinterpret_cast<uintptr_t>(x.raw()) % 64 == 0);
}

TEST_CASE("reshape shares the elements, clone and to do not") {
  Tensor x = Tensor::from(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  Tensor y = x.reshape({3, -1});
  CHECK(y.shape() == Shape{3, 2});
  CHECK(y.shares_storage(x));
  CHECK(y.reshape({6}).shares_storage(x));
  CHECK_FALSE(x.clone().shares_storage(x));
  CHECK(x.to(DType::f64).at(5) == 6);
  x = Tensor();  // the view keeps the elements alive
  CHECK(y.at(5) == 6);
}

TEST_CASE("misuse is refused with one line that names the shapes") {
  Tensor x = Tensor::zeros({2, 3});
  CHECK_THROWS_WITH(x.reshape({4, 2}), "[reshape] (2,3) has 6 elements, (4,2) has another number");
  CHECK_THROWS_AS(x.reshape({-1, -1}), Error);
  CHECK_THROWS_AS(x.data<double>(), Error);
  CHECK_THROWS_AS(x.item(), Error);
  CHECK_THROWS_AS(x.at(6), Error);
  CHECK_THROWS_AS(Tensor::empty({-1, 2}), Error);
  CHECK_THROWS_AS(Tensor::empty({int64_t{1} << 40, int64_t{1} << 40}), Error);
  CHECK_THROWS_AS(Tensor::empty({int64_t{1} << 50}), Error);
  CHECK_THROWS_AS(Tensor::from(std::vector<float>{1, 2}, {3}), Error);
  CHECK_THROWS_AS((Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}), Error);
  CHECK_THROWS_WITH_AS(from_name<DeviceChoice>("tpu"), "unknown device 'tpu': expected one of auto, cpu, cuda",
                       InputError);
  CHECK_THROWS_WITH_AS(from_name<Precision>("half"), "unknown precision 'half': expected one of strict, fast, bf16",
                       InputError);
}

TEST_CASE("broadcasting and reduced shapes") {
  CHECK(broadcast_shapes({3, 1}, {2}, "t") == Shape{3, 2});
  CHECK(broadcast_shapes({}, {4, 1}, "t") == Shape{4, 1});
  CHECK(broadcast_shapes({0, 3}, {1, 3}, "t") == Shape{0, 3});
  CHECK_THROWS_AS(broadcast_shapes({3}, {2}, "t"), Error);
  CHECK(reduced_shape({2, 3, 4}, {-1, 0}, false, "t") == Shape{3});
  CHECK(reduced_shape({2, 3, 4}, {1}, true, "t") == Shape{2, 1, 4});
  CHECK(reduced_shape({2, 3}, {}, false, "t") == Shape{});
  CHECK_THROWS_AS(reduced_shape({2, 3}, {0, -2}, false, "t"), Error);
  CHECK_THROWS_AS(reduced_shape({2, 3}, {2}, false, "t"), Error);
}

TEST_CASE("the allocator counts live bytes and their peak, and hands blocks out again") {
  MemoryStats before = memory_stats();
  reset_peak_memory();
  {
    Tensor a = Tensor::empty({1000});
    Tensor b = Tensor::empty({3000});
    CHECK(memory_stats().current_bytes >= before.current_bytes + 16000);
    CHECK(memory_stats().current_bytes <= before.current_bytes + 16000 * 9 / 8 + 1024);
  }
  CHECK(memory_stats().current_bytes == before.current_bytes);
  CHECK(memory_stats().peak_bytes >= before.current_bytes + 16000);
  int64_t reserved = memory_stats().reserved_bytes;
  for (int i = 0; i < 100; ++i) Tensor::empty({1000});
  CHECK(memory_stats().reserved_bytes == reserved);
  release_cached_memory();
  CHECK(memory_stats().reserved_bytes <= reserved);
  CHECK(memory_stats().reserved_bytes >= memory_stats().current_bytes);
}

TEST_CASE("tensors of every size class keep their elements apart") {
  std::vector<Tensor> all;
  for (int64_t n = 1; n < 300'000; n = n * 9 / 8 + 1)
    all.push_back(Tensor::full({n}, static_cast<double>(n), DType::f64));
  for (const Tensor& x : all) {
    CHECK(x.at(0) == x.numel());
    CHECK(x.at(x.numel() - 1) == x.numel());
  }
}

TEST_CASE("what workers free is theirs first and everybody's after, and all of it is counted") {
  int before_threads = num_threads();
  set_num_threads(3);
  MemoryStats before = memory_stats();
  std::vector<Tensor> kept(3);
  auto round = [&] {
    std::vector<const void*> places(3), again(3);
    parallel_for(3, 1, 1, [&](int64_t begin, int64_t) {
      auto i = static_cast<size_t>(begin);
      Tensor first = Tensor::empty({1000 + begin});
      places[i] = first.raw();
      first = Tensor();
      kept[i] = Tensor::empty({1000 + begin});
      again[i] = kept[i].raw();
    });
#ifndef VAPO_SANITIZED  // which keeps no blocks
    CHECK(places == again);
#endif
  };
  round();
  CHECK(memory_stats().current_bytes >= before.current_bytes + 3 * 4000);  // few for a worker to tell
  CHECK(memory_stats().allocations == before.allocations + 6);
  int64_t reserved = memory_stats().reserved_bytes;
  for (int i = 0; i < 10; ++i) {
    for (Tensor& x : kept) x = Tensor();  // by this thread
    CHECK(memory_stats().current_bytes == before.current_bytes);
    round();
  }
  CHECK(memory_stats().reserved_bytes == reserved);
  kept.clear();
  CHECK(memory_stats().current_bytes == before.current_bytes);
  set_num_threads(before_threads);
}

TEST_CASE("threads may allocate and free at once") {
  auto work = [] {
    for (int i = 0; i < 2000; ++i) {
      Tensor a = Tensor::full({i % 50 + 1}, i, DType::f64), b = a;
      if (b.at(0) != i) std::abort();
    }
  };
  int64_t before = memory_stats().current_bytes;
  std::thread one(work), two(work);
  one.join(), two.join();
  CHECK(memory_stats().current_bytes == before);
}
