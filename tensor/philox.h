#pragma once
// The round function of Philox4x32-10 (Salmon et al., SC 2011) and how a draw fills the counter: the same on every device.

#include <cmath>
#include <cstdint>

#include "tensor/functions.h"

namespace vapo {

inline constexpr uint32_t philox_w0 = 0x9E3779B9u, philox_w1 = 0xBB67AE85u;  // key schedule: golden ratio, √3 − 1

VAPO_FN void philox_round(uint32_t& c0, uint32_t& c1, uint32_t& c2, uint32_t& c3, uint32_t k0, uint32_t k1) {
  uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
  uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
  c1 = static_cast<uint32_t>(p1), c3 = static_cast<uint32_t>(p0);
  c0 = n0, c2 = n2;
}

struct PhiloxWords {
  uint32_t w[4];
};
// 48 bits of block number, 48 of step, 32 of stream.
VAPO_FN PhiloxWords philox_counter(uint64_t block, uint32_t stream, uint64_t step) {
  return {{static_cast<uint32_t>(block),
           static_cast<uint32_t>((block >> 32) & 0xFFFF) | static_cast<uint32_t>((step >> 32) << 16),
           static_cast<uint32_t>(step), stream}};
}
VAPO_FN PhiloxWords philox_block(uint64_t block, uint64_t seed, uint32_t stream, uint64_t step) {
  PhiloxWords c = philox_counter(block, stream, step);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += philox_w0, k1 += philox_w1)
    philox_round(c.w[0], c.w[1], c.w[2], c.w[3], k0, k1);
  return c;
}

// Numbers from the 32 bits of one word. Uniform in [0, 1), then in [low, high): 24 bits in f32, 32 in f64, so that
// the largest u stays below 1.
template <class T>
VAPO_FN double uniform_of(uint32_t bits) {
  return sizeof(T) == 4 ? (bits >> 8) * 0x1p-24 : bits * 0x1p-32;
}
template <class T>
VAPO_FN T uniform_in(uint32_t bits, double low, double high) {
  using std::nextafter;
  T value = static_cast<T>(low + (high - low) * uniform_of<T>(bits)), end = static_cast<T>(high);
  return value < end ? value : nextafter(end, static_cast<T>(low));
}
// In (0, 1), for Box–Muller: √(−2 ln u₁)·(cos, sin)(2π u₂).
template <class T>
VAPO_FN T open_uniform(uint32_t bits) {
  return (static_cast<T>(bits) + T(0.5)) * T(0x1p-32);
}
inline constexpr double two_pi = 6.283185307179586;
template <class T>
VAPO_FN T random_sign(uint32_t bits) {
  return bits >> 31 ? T(1) : T(-1);
}

}  // namespace vapo
