#pragma once
// Group normalisation's derivatives from per-channel sums, for one sample and group: shared by both back ends. With
// m(·) the mean over the group's M elements, P(v) = v − m(v) − ŷ·m(vŷ), h = m·g·φ'(z), k = a·h, w = m·g·φ''(z), and
// Σ over a channel's pixels:
//   vjp:     ds = Σh,  da = Σhŷ,  dx = rstd·P(k)
//   second:  L = ⟨u,dx⟩ + ⟨ua,da⟩ + ⟨us,ds⟩ = ⟨h, ż⟩,  ż = a·rstd·P(u) + ua·ŷ + us: the change of z along (u, ua,
//   us)
//     ∂L/∂g = m·φ'(z)·ż,   with e = w·ż:   ∂L/∂s = Σe,   ∂L/∂a = Σ(eŷ + h·rstd·P(u))
//     ∂L/∂x = rstd·P(e·a + h·ua) − rstd²·[ŷ·S + P(u)·m(kŷ) + P(k)·m(uŷ)],  S = m(uk) − m(u)m(k) − m(uŷ)m(kŷ)
// ż is linear in u, ŷ and 1 with coefficients known per channel, so every mean follows from sums of one pass.

#include <cmath>
#include <cstdint>

#include "tensor/functions.h"

namespace vapo {

// Per-channel sums over the pixels that the second derivative is made of.
template <class T>
struct NormSums2 {
  T *u, *uy, *h, *hy, *hu, *w, *wy, *wyy, *wu, *wuy;
};
// Per-channel coefficients of its results.
template <class T>
struct NormMap2 {
  T *zu, *zy, *z1;         // ż = zu·u + zy·ŷ + z1
  T *e, *h, *u, *y, *one;  // dx = e·(w·ż) + h·h + u·u + y·ŷ + one
};

// From Σ(x − x₀) and Σ(x − x₀)² of each channel, x₀ its first pixel; `count` pixels, `channels` in the group.
template <class Stored, class T>
VAPO_FN void norm_statistics(int64_t channels, double count, double eps, const Stored* first, const T* sum,
                             const T* squares, T* mean, T* rstd) {
  double centre = 0, m2 = 0, cg = static_cast<double>(channels);
  for (int64_t j = 0; j < channels; ++j)
    centre += (static_cast<double>(first[j]) + static_cast<double>(sum[j]) / count) / cg;
  for (int64_t j = 0; j < channels; ++j) {
    double shifted = static_cast<double>(sum[j]), d = static_cast<double>(first[j]) + shifted / count - centre;
    m2 += static_cast<double>(squares[j]) - shifted * shifted / count + count * d * d;
  }
  *mean = static_cast<T>(centre);
  *rstd = static_cast<T>(1 / std::sqrt((m2 > 0 ? m2 : 0) / (count * cg) + eps));
}

// dx = kh·h + ky·ŷ + k1
template <class T>
VAPO_FN void norm_vjp_coefficients(int64_t channels, double m, double rstd, const T* a, const T* ds, const T* da,
                                   T* kh, T* ky, T* k1) {
  double mk = 0, mky = 0;
  for (int64_t j = 0; j < channels; ++j) {
    mk += static_cast<double>(a[j]) * static_cast<double>(ds[j]) / m;
    mky += static_cast<double>(a[j]) * static_cast<double>(da[j]) / m;
  }
  for (int64_t j = 0; j < channels; ++j) {
    kh[j] = static_cast<T>(rstd * static_cast<double>(a[j]));
    ky[j] = static_cast<T>(-rstd * mky), k1[j] = static_cast<T>(-rstd * mk);
  }
}

// The coefficients of dx and dg, and da and ds themselves. All arrays start at the group's first channel.
template <class T>
VAPO_FN void norm_vjp2_coefficients(int64_t channels, double m, double rstd, const T* a, const T* ua, const T* us,
                                    const NormSums2<T>& sum, const NormMap2<T>& k, T* da, T* ds) {
  auto d = [](const T* values, int64_t j) { return static_cast<double>(values[j]); };
  double mu = 0, muy = 0, mk = 0, mky = 0, muk = 0;
  for (int64_t j = 0; j < channels; ++j) {
    mu += d(sum.u, j) / m, muy += d(sum.uy, j) / m;
    mk += d(a, j) * d(sum.h, j) / m, mky += d(a, j) * d(sum.hy, j) / m;
    muk += d(a, j) * d(sum.hu, j) / m;
  }
  double me = 0, mey = 0;  // of e·a + h·ua, and of that times ŷ
  for (int64_t j = 0; j < channels; ++j) {
    double cu = d(a, j) * rstd, cy = d(ua, j) - cu * muy, c1 = d(us, j) - cu * mu;
    double e = cu * d(sum.wu, j) + cy * d(sum.wy, j) + c1 * d(sum.w, j);
    double ey = cu * d(sum.wuy, j) + cy * d(sum.wyy, j) + c1 * d(sum.wy, j);
    k.zu[j] = static_cast<T>(cu), k.zy[j] = static_cast<T>(cy), k.z1[j] = static_cast<T>(c1);
    ds[j] = static_cast<T>(e);
    da[j] = static_cast<T>(ey + rstd * (d(sum.hu, j) - mu * d(sum.h, j) - muy * d(sum.hy, j)));
    me += (e * d(a, j) + d(sum.h, j) * d(ua, j)) / m;
    mey += (ey * d(a, j) + d(sum.hy, j) * d(ua, j)) / m;
  }
  double s = muk - mu * mk - muy * mky, r2 = rstd * rstd;
  for (int64_t j = 0; j < channels; ++j) {
    k.e[j] = static_cast<T>(rstd * d(a, j));
    k.h[j] = static_cast<T>(rstd * d(ua, j) - r2 * d(a, j) * muy);
    k.u[j] = static_cast<T>(-r2 * mky);
    k.y[j] = static_cast<T>(-rstd * mey - r2 * (s - 2 * muy * mky));
    k.one[j] = static_cast<T>(-rstd * me + r2 * (mu * mky + mk * muy));
  }
}

}  // namespace vapo
