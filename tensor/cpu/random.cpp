// Random numbers: the blocks of a draw, split over the threads.

#include <algorithm>

#include "tensor/backend.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"
#include "tensor/philox.h"

namespace vapo::cpu {
namespace {

constexpr int64_t grain = 1 << 11;  // blocks a thread at least

PhiloxRange range_of(const RandomKey& key, int64_t first_block) {
  return {key.seed, key.step, key.stream, static_cast<uint64_t>(first_block)};
}

// Whole blocks straight into the result, and the last part of one through a buffer.
template <class T, class Fill>
void fill_blocks(T* y, int64_t n, int64_t first_block, const Fill& fill) {
  parallel_for(n / 4, grain, 32,
               [&](int64_t begin, int64_t end) { fill(first_block + begin, y + 4 * begin, end - begin); });
  if (int64_t rest = n % 4) {
    T last[4];
    fill(first_block + n / 4, last, 1);
    std::copy_n(last, rest, y + n - rest);
  }
}

}  // namespace

void normal(const RandomKey& key, int64_t first_block, const Tensor& out) {
  dispatch_floating(out.dtype(), [&]<class T>() {
    fill_blocks(out.mutable_data<T>(), out.numel(), first_block,
                [&](int64_t block, T* y, int64_t n) { simd<T>().normal(range_of(key, block), y, n); });
  });
}

void uniform(const RandomKey& key, double low, double high, const Tensor& out) {
  dispatch_floating(out.dtype(), [&]<class T>() {
    fill_blocks(out.mutable_data<T>(), out.numel(), 0,
                [&](int64_t block, T* y, int64_t n) { simd<T>().uniform(range_of(key, block), y, n, low, high); });
  });
}

void rademacher(const RandomKey& key, const Tensor& out) {
  dispatch_floating(out.dtype(), [&]<class T>() {
    T* y = out.mutable_data<T>();
    for (int64_t i = 0; i < out.numel(); ++i)
      y[i] = random_sign<T>(philox_block(static_cast<uint64_t>(i / 4), key.seed, key.stream, key.step).w[i % 4]);
  });
}

void bernoulli(const RandomKey& key, double p, int64_t first_block, const Tensor& out) {
  float limit = static_cast<float>(p);
  fill_blocks(out.mutable_data<uint8_t>(), out.numel(), first_block, [&](int64_t block, uint8_t* y, int64_t n) {
    constexpr int64_t some = 64;  // blocks
    float u[4 * some];
    for (int64_t done = 0; done < n; done += some) {
      int64_t count = std::min(some, n - done);
      simd<float>().uniform(range_of(key, block + done), u, count, 0, 1);
      for (int64_t i = 0; i < 4 * count; ++i) y[4 * done + i] = u[i] >= limit;
    }
  });
}

}  // namespace vapo::cpu
