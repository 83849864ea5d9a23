#include "tensor/random.h"

#include <algorithm>
#include <numeric>

#include "tensor/cpu/philox.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"

namespace vapo {
namespace {

constexpr int64_t grain = 1 << 11;  // blocks a thread at least

cpu::PhiloxRange range_of(const RandomKey& key, int64_t first_block) {
  VAPO_CHECK(key.step < (uint64_t{1} << 48), "[random] step {} is not below 2^48", key.step);
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

// f(bits, i) for element i, one word each.
template <class F>
void for_words(int64_t n, const RandomKey& key, const F& f) {
  cpu::PhiloxRange range = range_of(key, 0);
  std::array<uint32_t, 2> k{static_cast<uint32_t>(range.seed), static_cast<uint32_t>(range.seed >> 32)};
  for (int64_t i = 0; i < n; i += 4) {
    auto words = philox4x32(cpu::philox_counter(static_cast<uint64_t>(i / 4), range.stream, range.step), k);
    for (int64_t j = 0; j < std::min<int64_t>(4, n - i); ++j) f(words[static_cast<size_t>(j)], i + j);
  }
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round, k[0] += cpu::philox_w0, k[1] += cpu::philox_w1)
    cpu::philox_round(c[0], c[1], c[2], c[3], k[0], k[1]);
  return c;
}

Tensor randn(const Shape& shape, RandomKey key, DType dtype, int64_t offset) {
  VAPO_CHECK(offset >= 0 && offset % 4 == 0, "[randn] offset {} is not a multiple of 4", offset);
  Tensor out = Tensor::empty(shape, dtype);
  dispatch_floating(dtype, [&](auto zero) {
    using T = decltype(zero);
    fill_blocks(out.mutable_data<T>(), out.numel(), offset / 4,
                [&](int64_t block, T* y, int64_t n) { cpu::simd<T>().normal(range_of(key, block), y, n); });
  });
  return out;
}

Tensor rand(const Shape& shape, RandomKey key, double low, double high, DType dtype) {
  VAPO_CHECK(low < high, "[rand] empty range [{}, {})", low, high);
  Tensor out = Tensor::empty(shape, dtype);
  dispatch_floating(dtype, [&](auto zero) {
    using T = decltype(zero);
    fill_blocks(out.mutable_data<T>(), out.numel(), 0, [&](int64_t block, T* y, int64_t n) {
      cpu::simd<T>().uniform(range_of(key, block), y, n, low, high);
    });
  });
  return out;
}

Tensor randint(const Shape& shape, RandomKey key, int64_t high) {
  VAPO_CHECK(high > 0 && high < (int64_t{1} << 32), "[randint] high = {} is not in [1, 2^32)", high);
  Tensor out = Tensor::empty(shape, DType::i64);
  int64_t* y = out.mutable_data<int64_t>();
  // the high half of bits·high: uneven by at most high/2^32
  for_words(out.numel(), key, [&](uint32_t bits, int64_t i) {
    y[i] = static_cast<int64_t>((uint64_t{bits} * static_cast<uint64_t>(high)) >> 32);
  });
  return out;
}

Tensor rademacher(const Shape& shape, RandomKey key, DType dtype) {
  Tensor out = Tensor::empty(shape, dtype);
  dispatch_floating(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* y = out.mutable_data<T>();
    for_words(out.numel(), key, [&](uint32_t bits, int64_t i) { y[i] = bits >> 31 ? T(1) : T(-1); });
  });
  return out;
}

Tensor randperm(int64_t n, RandomKey key) {
  Tensor out = Tensor::arange(n);
  int64_t* y = out.mutable_data<int64_t>();
  // Fisher–Yates from the front: element i changes places with one of i … n−1
  for_words(n, key, [&](uint32_t bits, int64_t i) {
    std::swap(y[i], y[i + static_cast<int64_t>((uint64_t{bits} * static_cast<uint64_t>(n - i)) >> 32)]);
  });
  return out;
}

}  // namespace vapo
