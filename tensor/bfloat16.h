#pragma once
// bfloat16: the upper half of a float. A storage type: every kernel computes in float and rounds what it stores.

#include <bit>
#include <cstdint>
#include <cstring>

#include "tensor/functions.h"

namespace vapo {

struct BFloat16 {
  uint16_t bits;

  BFloat16() = default;
  VAPO_FN explicit BFloat16(float x) {  // to the nearest, ties to even; a NaN stays one
    uint32_t u;
    memcpy(&u, &x, 4);
    bits = static_cast<uint16_t>(x == x ? (u + 0x7fffu + (u >> 16 & 1)) >> 16 : u >> 16 | 0x40u);
  }
  VAPO_FN operator float() const {
    uint32_t u = static_cast<uint32_t>(bits) << 16;
    float x;
    memcpy(&x, &u, 4);
    return x;
  }
};

template <class T>
struct ComputeType {
  using type = T;
};
template <>
struct ComputeType<BFloat16> {
  using type = float;
};
template <class T>
using Compute = typename ComputeType<T>::type;  // what values stored as T are computed in

}  // namespace vapo
