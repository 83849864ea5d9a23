#pragma once
// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC
// 2011). Element i of a draw is a function of (seed, stream, step, i) alone: no state, any order, the same on every device.

#include <array>
#include <cstdint>

#include "tensor/tensor.h"

namespace vapo {

// One place in the random universe. `stream` separates purposes (data order, noise, times …), `step` separates draws.
struct RandomKey {
  uint64_t seed = 0;
  uint32_t stream = 0;
  uint64_t step = 0;  // below 2^48
  int64_t first = 0;  // of dropout masks: the sample of the draw that is first here, where a batch comes in parts
};

// The block function: 128 random bits for a counter and a key.
std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Element i uses word i%4 of block i/4 (randn: Box–Muller on the word pairs, so i and i^1 share a pair).
// `offset` (a multiple of 4) starts at element `offset`, so that sample k can have its own place in one stream.
Tensor randn(const Shape& shape, RandomKey key, TensorOptions options = {}, int64_t offset = 0);  // N(0,1)
// Uniform in [low, high); the upper end is never returned.
Tensor rand(const Shape& shape, RandomKey key, double low = 0, double high = 1, TensorOptions options = {});
Tensor randint(const Shape& shape, RandomKey key, int64_t high);                   // i64 in [0, high); high < 2^32
Tensor rademacher(const Shape& shape, RandomKey key, TensorOptions options = {});  // ±1
Tensor randperm(int64_t n, RandomKey key);                                         // i64, a shuffle of 0 … n−1

}  // namespace vapo
