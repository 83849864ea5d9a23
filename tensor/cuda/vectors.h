#pragma once
// Elements in vectors of 16 bytes, and where they lie, found without divisions where 32 bits hold every place.

#include "tensor/cuda/context.h"

#ifdef __CUDACC__
namespace vapo::cuda {

template <class T>
inline constexpr int vector_width = 16 / sizeof(T);
template <class T>
using Vector = Pack<T, vector_width<T>>;  // tensors begin at multiples of its size

template <int width, class T>
__device__ Pack<T, width>& pack_at(T* p) {
  return *reinterpret_cast<Pack<T, width>*>(p);
}
template <int width, class T>
__device__ const Pack<T, width>& pack_at(const T* p) {
  return *reinterpret_cast<const Pack<T, width>*>(p);
}

inline bool short_places(int64_t n) { return n < int64_t{1} << 31; }

// ⌊i/d⌋ of 0 ≤ i < 2³¹ as ⌊i·m/2^(31+s)⌋, 2^(s−1) < d ≤ 2^s, m = ⌊2^(31+s)/d⌋ + 1: i·(m·d − 2^(31+s)) < 2^(31+s).
template <class Index>
struct Divisor {
  uint32_t d = 1, factor = 0;
  int shift = 31;
  Divisor() : Divisor(1) {}
  explicit Divisor(int64_t divisor) : d(static_cast<uint32_t>(divisor > 0 ? divisor : 1)) {  // of nothing: any
    while (int64_t{1} << (shift - 31) < divisor) ++shift;
    factor = static_cast<uint32_t>((uint64_t{1} << shift) / d + 1);
  }
  __device__ Index quotient(Index i) const {
    return static_cast<Index>(static_cast<uint64_t>(i) * factor >> shift);
  }
  // i becomes the quotient; returns the remainder.
  __device__ Index divide(Index& i) const {
    Index q = quotient(i), rest = i - q * static_cast<Index>(d);
    i = q;
    return rest;
  }
};
template <>
struct Divisor<int64_t> {
  int64_t d = 1;
  Divisor() = default;
  explicit Divisor(int64_t divisor) : d(divisor) {}
  __device__ int64_t quotient(int64_t i) const { return i / d; }
  __device__ int64_t divide(int64_t& i) const {
    int64_t rest = i % d;
    i /= d;
    return rest;
  }
};

// Strided for packs of `width` neighbours of the result, each of which reads neighbours of an operand, or one element.
template <int operands>
struct Walk {
  int rank;
  Divisor<int32_t> size[Shape::max_rank];
  int64_t stride[operands][Shape::max_rank] = {};

  static bool possible(const Strided<operands>& s, int width) {
    bool fits = s.numel() > 0 && short_places(s.numel()) && s.size[0] % width == 0;
    for (int k = 0; k < operands; ++k)
      for (int d = 0; d < (width == 1 ? 0 : s.rank); ++d)
        fits = fits && (d == 0 ? s.stride[k][0] <= 1 : s.stride[k][0] == 0 || s.stride[k][d] % width == 0);
    return fits;
  }
  Walk(const Strided<operands>& s, int width) : rank(s.rank) {
    for (int d = 0; d < rank; ++d) {
      size[d] = Divisor<int32_t>(d == 0 ? s.size[0] / width : s.size[d]);
      for (int k = 0; k < operands; ++k) stride[k][d] = s.stride[k][d] * (d == 0 ? width : 1);
    }
  }
  // at[k] = the place in operand k of pack i.
  __device__ void find(int32_t i, int32_t (&at)[operands]) const {
    for (int k = 0; k < operands; ++k) at[k] = 0;
    for (int d = 0; d + 1 < rank; ++d) {
      int32_t position = size[d].divide(i);
      for (int k = 0; k < operands; ++k) at[k] += position * static_cast<int32_t>(stride[k][d]);
    }
    if (rank > 0)
      for (int k = 0; k < operands; ++k) at[k] += i * static_cast<int32_t>(stride[k][rank - 1]);
  }
  // The pack of operand k that begins at p: neighbours, or one element for all.
  template <int width, class T>
  __device__ Pack<T, width> load(int k, const T* p) const {
    if (stride[k][0] != 0) return pack_at<width>(p);
    Pack<T, width> all;
#pragma unroll
    for (int j = 0; j < width; ++j) all.at[j] = *p;
    return all;
  }
};

}  // namespace vapo::cuda
#endif
