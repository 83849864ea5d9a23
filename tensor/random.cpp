#include "tensor/random.h"

#include <algorithm>
#include <utility>

#include "tensor/backend.h"
#include "tensor/philox.h"

namespace vapo {
namespace {

void check_key(const RandomKey& key) {
  VAPO_CHECK(key.step < (uint64_t{1} << 48), "[random] step {} is not below 2^48", key.step);
  VAPO_CHECK(key.first == 0, "[random] a draw from sample {} on: only dropout masks have that", key.first);
}

// f(bits, i) for element i, one word each.
template <class F>
void for_words(int64_t n, const RandomKey& key, const F& f) {
  check_key(key);
  for (int64_t i = 0; i < n; i += 4) {
    PhiloxWords words = philox_block(static_cast<uint64_t>(i / 4), key.seed, key.stream, key.step);
    for (int64_t j = 0; j < std::min<int64_t>(4, n - i); ++j) f(words.w[j], i + j);
  }
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round, k[0] += philox_w0, k[1] += philox_w1)
    philox_round(c[0], c[1], c[2], c[3], k[0], k[1]);
  return c;
}

Tensor randn(const Shape& shape, RandomKey key, TensorOptions options, int64_t offset) {
  VAPO_CHECK(offset >= 0 && offset % 4 == 0, "[randn] offset {} is not a multiple of 4", offset);
  check_key(key);
  if (options.dtype == DType::bf16) return randn(shape, key, {DType::f32, options.device}, offset).to(DType::bf16);
  Tensor out = Tensor::empty(shape, options);
  VAPO_ON(out.device(), normal(key, offset / 4, out));
  return out;
}

Tensor rand(const Shape& shape, RandomKey key, double low, double high, TensorOptions options) {
  VAPO_CHECK(low < high, "[rand] empty range [{}, {})", low, high);
  check_key(key);
  Tensor out = Tensor::empty(shape, options);
  VAPO_ON(out.device(), uniform(key, low, high, out));
  return out;
}

Tensor rademacher(const Shape& shape, RandomKey key, TensorOptions options) {
  check_key(key);
  Tensor out = Tensor::empty(shape, options);
  VAPO_ON(out.device(), rademacher(key, out));
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
