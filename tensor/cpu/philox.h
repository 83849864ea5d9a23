#pragma once
// The round function of Philox4x32-10 (Salmon et al., SC 2011) and how a draw fills the counter.

#include <array>
#include <cstdint>

namespace vapo::cpu {

inline constexpr uint32_t philox_w0 = 0x9E3779B9u, philox_w1 = 0xBB67AE85u;  // key schedule: golden ratio, √3 − 1

[[gnu::always_inline]] inline void philox_round(uint32_t& c0, uint32_t& c1, uint32_t& c2, uint32_t& c3, uint32_t k0,
                                                uint32_t k1) {
  uint64_t p0 = uint64_t{0xD2511F53u} * c0, p1 = uint64_t{0xCD9E8D57u} * c2;
  uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0, n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
  c1 = static_cast<uint32_t>(p1), c3 = static_cast<uint32_t>(p0);
  c0 = n0, c2 = n2;
}

// 48 bits of block number, 48 of step, 32 of stream.
[[gnu::always_inline]] inline std::array<uint32_t, 4> philox_counter(uint64_t block, uint32_t stream,
                                                                     uint64_t step) {
  return {static_cast<uint32_t>(block),
          static_cast<uint32_t>((block >> 32) & 0xFFFF) | static_cast<uint32_t>((step >> 32) << 16),
          static_cast<uint32_t>(step), stream};
}

}  // namespace vapo::cpu
