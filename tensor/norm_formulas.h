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

// Sums over a channel's pixels, by their places among arrays: of the vjp, and of the second derivative, where all
// from w on are 0 if φ is the identity.
struct NormSum {
  enum { h, hy, count };
};
struct NormSum2 {
  enum { u, uy, h, hy, hu, w, wy, wyy, wu, wuy, count, count_of_identity = w };
};
// Coefficients of the results, of each channel. Of the vjp: dx = h·h + y·ŷ + one. Of the second derivative:
// ż = zu·u + zy·ŷ + z1 and dx = e·(w·ż) + h·h + u·u + y·ŷ + one.
struct NormMap {
  enum { h, y, one, count };
};
struct NormMap2 {
  enum { zu, zy, z1, e, h, u, y, one, count };
};
// Arrays of one value for each channel, `step` from one to the next.
template <class T>
struct ChannelArrays {
  T* first;
  int64_t step;
  VAPO_FN T* operator[](int k) const { return first + k * step; }
  VAPO_FN ChannelArrays from(int64_t channel) const { return {first + channel, step}; }
};

namespace scalar {
template <class F, class V>
requires std::is_floating_point_v<V> VAPO_FN V apply(V x) { return F::apply(x, 0); }
}  // namespace scalar

// Over a value type V: float, double or a pack, for which apply<F>(V) is F's value.
template <bool silu, class V>
VAPO_FN V norm_phi(V z) {
  using namespace scalar;
  if constexpr (silu)
    return apply<Silu>(z);
  else
    return z;
}
// What one element adds to the sums.
template <class V, bool silu>
struct NormElement {
  V y, z;  // ŷ, a·ŷ + s

  // h for mg = m·g
  VAPO_FN V h(V mg) const {
    using namespace scalar;
    if constexpr (silu)
      return mg * apply<SiluD1>(z);
    else
      return mg;
  }
  // The vjp's sums; returns h.
  VAPO_FN V add_vjp(V mg, V* total) const {
    using namespace scalar;
    using S = NormSum;
    V vh = h(mg);
    total[S::h] = total[S::h] + vh, total[S::hy] = multiply_add(vh, y, total[S::hy]);
    return vh;
  }
  VAPO_FN void add_vjp2(V mg, V u, V* total) const {
    using namespace scalar;
    using S = NormSum2;
    V vh = h(mg);
    total[S::u] = total[S::u] + u, total[S::uy] = multiply_add(u, y, total[S::uy]);
    total[S::h] = total[S::h] + vh, total[S::hy] = multiply_add(vh, y, total[S::hy]);
    total[S::hu] = multiply_add(vh, u, total[S::hu]);
    if constexpr (silu) {
      V w = mg * apply<SiluD2>(z), wy = w * y;
      total[S::w] = total[S::w] + w, total[S::wy] = total[S::wy] + wy;
      total[S::wyy] = multiply_add(wy, y, total[S::wyy]);
      total[S::wu] = multiply_add(w, u, total[S::wu]), total[S::wuy] = multiply_add(wy, u, total[S::wuy]);
    }
  }
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

template <class T>
VAPO_FN void norm_vjp_coefficients(int64_t channels, double m, double rstd, const T* a, const T* ds, const T* da,
                                   const ChannelArrays<T>& k) {
  double mk = 0, mky = 0;
  for (int64_t j = 0; j < channels; ++j) {
    mk += static_cast<double>(a[j]) * static_cast<double>(ds[j]);
    mky += static_cast<double>(a[j]) * static_cast<double>(da[j]);
  }
  for (int64_t j = 0; j < channels; ++j) {
    k[NormMap::h][j] = static_cast<T>(rstd * static_cast<double>(a[j]));
    k[NormMap::y][j] = static_cast<T>(-rstd * (mky / m)), k[NormMap::one][j] = static_cast<T>(-rstd * (mk / m));
  }
}

// Means over the group, for the second derivative.
struct NormMeans2 {
  double u = 0, uy = 0, k = 0, ky = 0, uk = 0;
  double e = 0, ey = 0;  // of e·a + h·ua, and of that times ŷ
};
template <class T>
VAPO_FN NormMeans2 norm_means2(int64_t channels, double m, const T* a, const ChannelArrays<T>& sums) {
  using S = NormSum2;
  NormMeans2 mean;
  for (int64_t j = 0; j < channels; ++j) {
    auto sum = [&](int k) { return static_cast<double>(sums[k][j]); };
    double aj = static_cast<double>(a[j]);
    mean.u += sum(S::u), mean.uy += sum(S::uy);
    mean.k += aj * sum(S::h), mean.ky += aj * sum(S::hy), mean.uk += aj * sum(S::hu);
  }
  mean.u /= m, mean.uy /= m, mean.k /= m, mean.ky /= m, mean.uk /= m;
  return mean;
}
// Channel j's ż, da and ds, and its share in the sums of e·a + h·ua and of that times ŷ.
template <class T>
VAPO_FN void norm_vjp2_channel(int64_t j, double rstd, const NormMeans2& mean, const T* a, const T* ua, const T* us,
                               const ChannelArrays<T>& sums, const ChannelArrays<T>& k, T* da, T* ds, double* share,
                               double* share_y) {
  using S = NormSum2;
  auto sum = [&](int place) { return static_cast<double>(sums[place][j]); };
  double aj = static_cast<double>(a[j]), uaj = static_cast<double>(ua[j]);
  double cu = aj * rstd, cy = uaj - cu * mean.uy, c1 = static_cast<double>(us[j]) - cu * mean.u;
  double e = cu * sum(S::wu) + cy * sum(S::wy) + c1 * sum(S::w);
  double ey = cu * sum(S::wuy) + cy * sum(S::wyy) + c1 * sum(S::wy);
  k[NormMap2::zu][j] = static_cast<T>(cu), k[NormMap2::zy][j] = static_cast<T>(cy);
  k[NormMap2::z1][j] = static_cast<T>(c1);
  ds[j] = static_cast<T>(e);
  da[j] = static_cast<T>(ey + rstd * (sum(S::hu) - mean.u * sum(S::h) - mean.uy * sum(S::hy)));
  *share = e * aj + sum(S::h) * uaj, *share_y = ey * aj + sum(S::hy) * uaj;
}
// Channel j's coefficients of dx.
template <class T>
VAPO_FN void norm_vjp2_map(int64_t j, double rstd, const NormMeans2& mean, const T* a, const T* ua,
                           const ChannelArrays<T>& k) {
  double s = mean.uk - mean.u * mean.k - mean.uy * mean.ky, r2 = rstd * rstd, aj = static_cast<double>(a[j]);
  auto set = [&](int place, double value) { k[place][j] = static_cast<T>(value); };
  set(NormMap2::e, rstd * aj);
  set(NormMap2::h, rstd * static_cast<double>(ua[j]) - r2 * aj * mean.uy);
  set(NormMap2::u, -r2 * mean.ky);
  set(NormMap2::y, -rstd * mean.ey - r2 * (s - 2 * mean.uy * mean.ky));
  set(NormMap2::one, -rstd * mean.e + r2 * (mean.u * mean.ky + mean.k * mean.uy));
}

// The coefficients of dx and dg, and da and ds themselves. All arrays start at the group's first channel.
template <class T>
VAPO_FN void norm_vjp2_coefficients(int64_t channels, double m, double rstd, const T* a, const T* ua, const T* us,
                                    const ChannelArrays<T>& sums, const ChannelArrays<T>& k, T* da, T* ds) {
  NormMeans2 mean = norm_means2(channels, m, a, sums);
  for (int64_t j = 0; j < channels; ++j) {
    double share, share_y;
    norm_vjp2_channel(j, rstd, mean, a, ua, us, sums, k, da, ds, &share, &share_y);
    mean.e += share, mean.ey += share_y;
  }
  mean.e /= m, mean.ey /= m;
  for (int64_t j = 0; j < channels; ++j) norm_vjp2_map(j, rstd, mean, a, ua, k);
}

}  // namespace vapo
