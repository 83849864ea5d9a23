#pragma once
// The vectorised inner loops, as a table of functions on raw ranges. No checks, no threads: the callers do both.

#include <cstdint>

#include "tensor/functions.h"
#include "tensor/kernels.h"
#include "tensor/optimizer_formulas.h"

namespace vapo::cpu {

// An operation over so many bytes has pushed the start of its result out of the caches before anything reads it;
// written past them, the result's memory need not be read first. A loop that is told to `stream` does so: each row
// of its result starts on a boundary of 64 bytes, and is not one of its operands.
inline constexpr int64_t streamed_bytes = int64_t{64} << 20;
inline bool streams(int64_t bytes, const void* result) {
  return bytes >= streamed_bytes && reinterpret_cast<uintptr_t>(result) % 64 == 0;
}

// y[i,j] = op(a[i·a0 + j·a1], b[i·b0 + j·b1]) over rows × cols, y contiguous; a1, b1 are 0 or 1.
template <class T>
struct BinaryLoop {
  const T *a, *b;
  T* y;
  int64_t rows, cols, a0, a1, b0, b1;
  bool stream = false;
};

// 2·32 bits of key and what fills the counter beside the block number.
struct PhiloxRange {
  uint64_t seed, step;
  uint32_t stream;
  uint64_t first_block;
};

template <class T>
struct Loops {
  void (*unary[Functions::size])(const T* x, T* y, int64_t n, double p, bool stream);
  void (*with_slope[Functions::size])(const T* x, T* y, T* slope, int64_t n,
                                      bool stream);  // of Towers; null for the others
  void (*scaled2[Functions::size])(const T* x, const T* a, const T* b, T* y, int64_t n, double p, bool stream);
  // dx = a·u·f(x), da = u·slope; f is a second derivative of Towers, null for the others
  void (*scaled_vjp[Functions::size])(const T* x, const T* a, const T* slope, const T* u, T* dx, T* da, int64_t n,
                                      bool stream);
  void (*binary[kernel::binary_count])(const BinaryLoop<T>&);
  auto of(kernel::Binary op) const { return binary[static_cast<int>(op)]; }
  void (*where)(const T* c, const T* a, const T* b, T* y, int64_t n, bool stream);    // c ≠ 0 ? a : b
  void (*addcmul)(const T* c, const T* a, const T* b, T* y, int64_t n, bool stream);  // c + a·b
  void (*affine)(const T* x, T* y, int64_t n, double a, double b, bool stream);
  double (*sum)(const T* x, int64_t n);
  double (*sum_squares)(const T* x, int64_t n);
  T (*maximum)(const T* x, int64_t n);            // n ≥ 1; NaN if there is one
  void (*max_into)(const T* x, T* y, int64_t n);  // y = max(x, y)
  T (*dot)(const T* x, const T* y, int64_t n);
  // y[j] (+)= Σ_r c[r·c_stride]·x[r·x_stride + j]; c may be null for plain sums
  void (*weighted_rows)(const T* c, int64_t c_stride, const T* x, int64_t x_stride, int64_t rows, T* y, int64_t n,
                        bool add);
  void (*adam)(const AdamConstants<T>&, T* p, const T* g, T* m, T* v, T* ema, int64_t n);
  void (*normal)(const PhiloxRange&, T* y, int64_t blocks);  // 4 values a block
  void (*uniform)(const PhiloxRange&, T* y, int64_t blocks, double low, double high);
};

// Of the best instruction set this machine has.
template <class T>
const Loops<T>& simd();
const char* simd_name();

}  // namespace vapo::cpu
