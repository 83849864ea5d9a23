#pragma once
// 16-bit floats of files, as floats.

#include <bit>
#include <cmath>
#include <cstdint>

namespace vapo {

inline float float_from_bfloat16(uint16_t v) { return std::bit_cast<float>(static_cast<uint32_t>(v) << 16); }

inline float float_from_half(uint16_t v) {  // IEEE 754 binary16
  uint32_t exponent = v >> 10 & 31, mantissa = v & 1023u;
  float magnitude = exponent == 31 ? (mantissa ? NAN : INFINITY)
                    : exponent == 0
                        ? std::ldexp(static_cast<float>(mantissa), -24)
                        : std::ldexp(static_cast<float>(mantissa | 1024u), static_cast<int>(exponent) - 25);
  return v >> 15 ? -magnitude : magnitude;
}

}  // namespace vapo
