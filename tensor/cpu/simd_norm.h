#pragma once
// The vectorised loops of group normalisation over one sample's pixels. Formulas: tensor/norm_formulas.h.

#include <cstdint>

#include "tensor/norm_formulas.h"

namespace vapo::cpu {

// A sample's pixels × channels, `stride` elements from pixel to pixel. Per channel: ŷ = r·(x − m) + q, z = a·ŷ + s.
// Where there is a dropout mask (one byte an element, 0 or 1), m = mask·mask_scale, else m = 1. With `stream`,
// results (y, dx, dg) are written past the caches, in whole vectors: every pixel of theirs starts on a boundary of 64 bytes.
template <class T>
struct NormRows {
  int64_t pixels, channels, stride;
  const T *m, *r, *q, *a, *s;
  const uint8_t* mask;
  T mask_scale;
  bool stream;
};

template <class T>
struct NormLoops {
  // Σ(x − x₀) and Σ(x − x₀)², x₀ the first pixel
  void (*moments)(const NormRows<T>&, const T* x, T* sum, T* squares);
  // The rest is indexed by φ: 0 the identity, 1 silu.
  void (*forward[2])(const NormRows<T>&, const T* x, T* y);                                       // y = m·φ(z)
  void (*vjp_sums[2])(const NormRows<T>&, const T* x, const T* g, T* h, T* sum_h, T* sum_hy);     // and writes h
  void (*vjp_map)(const NormRows<T>&, const T* x, const T* h, const ChannelArrays<T>& k, T* dx);  // which may be h
  void (*vjp2_sums[2])(const NormRows<T>&, const T* x, const T* g, const T* u, const ChannelArrays<T>& sums);
  void (*vjp2_map[2])(const NormRows<T>&, const T* x, const T* g, const T* u, const ChannelArrays<T>& k, T* dx,
                      T* dg);
};

template <class T>
const NormLoops<T>& norm_simd();  // of the best instruction set this machine has

}  // namespace vapo::cpu
