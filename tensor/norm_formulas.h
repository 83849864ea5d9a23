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

// From Σ(x − x₀) and Σ(x − x₀)² of each channel, x₀ its first pixel; `count` pixels, `channels` in the group. The
// mean is mean + rest: what T rounds away of it may be as large as the spread of values far from 0. Where all
// values are the same the mean is that value and rest is 0.
template <class Stored, class Sum, class T>
VAPO_FN void norm_statistics(int64_t channels, double count, double eps, const Stored* first, const Sum* sum,
                             const Sum* squares, T* mean, T* rest, T* rstd) {
  double origin = static_cast<double>(first[0]), centre = 0, m2 = 0, cg = static_cast<double>(channels);
  for (int64_t j = 0; j < channels; ++j)
    centre += (static_cast<double>(first[j]) - origin + static_cast<double>(sum[j]) / count) / cg;
  for (int64_t j = 0; j < channels; ++j) {
    double shifted = static_cast<double>(sum[j]),
           d = static_cast<double>(first[j]) - origin + shifted / count - centre;
    m2 += static_cast<double>(squares[j]) - shifted * shifted / count + count * d * d;
  }
  *mean = static_cast<T>(origin + centre);
  *rest = static_cast<T>(origin - static_cast<double>(*mean) + centre);
  *rstd = static_cast<T>(1 / std::sqrt((m2 > 0 ? m2 : 0) / (count * cg) + eps));
}

// dx = kh·h + ky·ŷ + k1
template <class T>
VAPO_FN void norm_vjp_coefficients(int64_t channels, double m, double rstd, const T* a, const T* ds, const T* da,
                                   T* kh, T* ky, T* k1) {
  double mk = 0, mky = 0;
  for (int64_t j = 0; j < channels; ++j) {
    mk += static_cast<double>(a[j]) * static_cast<double>(ds[j]);
    mky += static_cast<double>(a[j]) * static_cast<double>(da[j]);
  }
  for (int64_t j = 0; j < channels; ++j) {
    kh[j] = static_cast<T>(rstd * static_cast<double>(a[j]));
    ky[j] = static_cast<T>(-rstd * (mky / m)), k1[j] = static_cast<T>(-rstd * (mk / m));
  }
}

// Means over the group, for the second derivative.
struct NormMeans2 {
  double u = 0, uy = 0, k = 0, ky = 0, uk = 0;
  double e = 0, ey = 0;  // of e·a + h·ua, and of that times ŷ
};
template <class T>
VAPO_FN NormMeans2 norm_means2(int64_t channels, double m, const T* a, const NormSums2<T>& sum) {
  auto d = [](const T* values, int64_t j) { return static_cast<double>(values[j]); };
  NormMeans2 mean;
  for (int64_t j = 0; j < channels; ++j) {
    mean.u += d(sum.u, j), mean.uy += d(sum.uy, j);
    mean.k += d(a, j) * d(sum.h, j), mean.ky += d(a, j) * d(sum.hy, j), mean.uk += d(a, j) * d(sum.hu, j);
  }
  mean.u /= m, mean.uy /= m, mean.k /= m, mean.ky /= m, mean.uk /= m;
  return mean;
}
// Channel j's ż, da and ds, and its share in the sums of e·a + h·ua and of that times ŷ.
template <class T>
VAPO_FN void norm_vjp2_channel(int64_t j, double rstd, const NormMeans2& mean, const T* a, const T* ua, const T* us,
                               const NormSums2<T>& sum, const NormMap2<T>& k, T* da, T* ds, double* share,
                               double* share_y) {
  auto d = [j](const T* values) { return static_cast<double>(values[j]); };
  double cu = d(a) * rstd, cy = d(ua) - cu * mean.uy, c1 = d(us) - cu * mean.u;
  double e = cu * d(sum.wu) + cy * d(sum.wy) + c1 * d(sum.w);
  double ey = cu * d(sum.wuy) + cy * d(sum.wyy) + c1 * d(sum.wy);
  k.zu[j] = static_cast<T>(cu), k.zy[j] = static_cast<T>(cy), k.z1[j] = static_cast<T>(c1);
  ds[j] = static_cast<T>(e);
  da[j] = static_cast<T>(ey + rstd * (d(sum.hu) - mean.u * d(sum.h) - mean.uy * d(sum.hy)));
  *share = e * d(a) + d(sum.h) * d(ua), *share_y = ey * d(a) + d(sum.hy) * d(ua);
}
// Channel j's coefficients of dx.
template <class T>
VAPO_FN void norm_vjp2_map(int64_t j, double rstd, const NormMeans2& mean, const T* a, const T* ua,
                           const NormMap2<T>& k) {
  double s = mean.uk - mean.u * mean.k - mean.uy * mean.ky, r2 = rstd * rstd, aj = static_cast<double>(a[j]);
  k.e[j] = static_cast<T>(rstd * aj);
  k.h[j] = static_cast<T>(rstd * static_cast<double>(ua[j]) - r2 * aj * mean.uy);
  k.u[j] = static_cast<T>(-r2 * mean.ky);
  k.y[j] = static_cast<T>(-rstd * mean.ey - r2 * (s - 2 * mean.uy * mean.ky));
  k.one[j] = static_cast<T>(-rstd * mean.e + r2 * (mean.u * mean.ky + mean.k * mean.uy));
}

// The coefficients of dx and dg, and da and ds themselves. All arrays start at the group's first channel.
template <class T>
VAPO_FN void norm_vjp2_coefficients(int64_t channels, double m, double rstd, const T* a, const T* ua, const T* us,
                                    const NormSums2<T>& sum, const NormMap2<T>& k, T* da, T* ds) {
  NormMeans2 mean = norm_means2(channels, m, a, sum);
  for (int64_t j = 0; j < channels; ++j) {
    double share, share_y;
    norm_vjp2_channel(j, rstd, mean, a, ua, us, sum, k, da, ds, &share, &share_y);
    mean.e += share, mean.ey += share_y;
  }
  mean.e /= m, mean.ey /= m;
  for (int64_t j = 0; j < channels; ++j) norm_vjp2_map(j, rstd, mean, a, ua, k);
}

}  // namespace vapo
