#pragma once
// Group normalisation of one element, and the sums and coefficients of one channel: shared by the two ways to run
// it.

#include "tensor/cuda/context.h"
#include "tensor/norm_formulas.h"

namespace vapo::cuda {

// In one pass over device memory (norm_rows.cu); false, and nothing is done, where a row does not fit into shared
// memory.
bool group_norm_in_rows(const NormCall& call);
bool group_norm_vjp_in_rows(const NormCall& call);
bool group_norm_vjp2_in_rows(const NormCall& call);

// f<T, whether φ is silu>() for the dtype and φ.
template <class F>
void with_kind(const NormCall& call, const F& f) {
  dispatch_stored(call.x.dtype(), [&]<class T>() {
    if (call.p.silu)
      f.template operator()<T, true>();
    else
      f.template operator()<T, false>();
  });
}

#ifdef __CUDACC__
template <class C>
struct NormCoefficients2 {  // NormMap2 of one channel
  C zu, zy, z1, e, h, u, y, one;
};

template <class C, bool silu>
struct NormElement {
  C y, z, m;  // ŷ, z = a·ŷ + s, the mask's factor

  __device__ C value() const {
    if constexpr (silu)
      return m * Silu::apply<C>(z, 0);
    else
      return m * z;
  }
  __device__ C slope() const {
    if constexpr (silu)
      return SiluD1::apply<C>(z, 0);
    else
      return C(1);
  }
  __device__ void add_vjp(C g, C* total) const {
    C h = m * g * slope();
    total[0] += h, total[1] += h * y;
  }
  __device__ C vjp(C g, C kh, C ky, C k1) const { return kh * (m * g * slope()) + ky * y + k1; }

  static constexpr int vjp2_sums = silu ? 10 : 5;
  __device__ void add_vjp2(C g, C u, C* total) const {
    C mg = m * g, h = mg * slope();
    total[0] += u, total[1] += u * y, total[2] += h, total[3] += h * y, total[4] += h * u;
    if constexpr (silu) {
      C w = mg * SiluD2::apply<C>(z, 0), wy = w * y;
      total[5] += w, total[6] += wy, total[7] += wy * y, total[8] += w * u, total[9] += wy * u;
    }
  }
  __device__ void vjp2(C g, C u, const NormCoefficients2<C>& k, C* dx, C* dg) const {
    C mg = m * g, d1 = slope(), dz = k.zu * u + k.zy * y + k.z1;
    *dx = k.h * mg * d1 + k.u * u + k.y * y + k.one;
    if constexpr (silu) *dx += k.e * (mg * SiluD2::apply<C>(z, 0) * dz);
    *dg = m * d1 * dz;
  }
};

// Of channel `at`, in arrays of `step` values one after the other.
template <class T>
__host__ __device__ NormSums2<T> sums_at(T* base, int64_t step, int64_t at) {
  T* p = base + at;
  return {p,
          p + step,
          p + 2 * step,
          p + 3 * step,
          p + 4 * step,
          p + 5 * step,
          p + 6 * step,
          p + 7 * step,
          p + 8 * step,
          p + 9 * step};
}
template <class T>
__host__ __device__ NormMap2<T> map_at(T* base, int64_t step, int64_t at) {
  T* p = base + at;
  return {p, p + step, p + 2 * step, p + 3 * step, p + 4 * step, p + 5 * step, p + 6 * step, p + 7 * step};
}
template <class T>
__device__ NormCoefficients2<T> coefficients_at(const NormMap2<T>& k, int64_t i) {
  return {k.zu[i], k.zy[i], k.z1[i], k.e[i], k.h[i], k.u[i], k.y[i], k.one[i]};
}
#endif

}  // namespace vapo::cuda
