// Out of memory is one clear error, and the program goes on.

#include <doctest/doctest.h>

#include "tensor/kernels.h"
#include "tensor/storage.h"

using namespace vapo;

TEST_CASE("a capped allocator refuses with what was asked, held and free, and smaller work goes on") {
  Tensor held = Tensor::zeros({1 << 18});
  int64_t before = memory_stats().current_bytes;
  set_memory_limit(before + (4 << 20));
  CHECK_THROWS_WITH_AS(Tensor::zeros({2 << 20}), doctest::Contains("[allocate] out of memory on the CPU: 83887"),
                       Error);
  CHECK_THROWS_WITH_AS(kernel::matmul(Tensor::zeros({2048, 1}), Tensor::zeros({1, 2048})),
                       doctest::Contains("free of"), Error);
  CHECK(memory_stats().current_bytes == before);
  Tensor small = Tensor::ones({1 << 18});
  CHECK(kernel::sum(small, {}, false).item() == 1 << 18);
  set_memory_limit(0);
  CHECK(Tensor::zeros({2 << 20}).numel() == 2 << 20);
}

TEST_CASE("a tensor says where it is; without a GPU, asking for one is an error") {
  Tensor x = Tensor::ones({3});
  CHECK(x.device() == Device::cpu);
  CHECK(x.to(Device::cpu).shares_storage(x));
  if (cuda_available()) return;
  CHECK_THROWS_AS(Tensor::ones({3}, {DType::f32, Device::cuda}), Error);
  CHECK_THROWS_WITH_AS(available(DeviceChoice::cuda), doctest::Contains("device 'cuda': "), InputError);
  CHECK(available(DeviceChoice::best) == Device::cpu);
}
