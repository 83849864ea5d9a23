// Group normalisation, its vjp and its second derivative: one pass gathers per-channel sums, norm_formulas.h makes
// coefficients of them, a second pass writes the results. A sample's operands stay in the cache between the two.

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/backend.h"
#include "tensor/cpu/simd.h"
#include "tensor/cpu/simd_norm.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {

// Arrays of one value per channel, from one block.
template <class T>
class Channels {
 public:
  Channels(int64_t arrays, int64_t channels)
      : channels_(channels), store_(static_cast<size_t>(arrays * channels)) {}
  ChannelArrays<T> next(int64_t arrays = 1) {
    T* first = store_.data() + channels_ * used_;
    used_ += arrays;
    return {first, channels_};
  }

 private:
  int64_t channels_, used_ = 0;
  std::vector<T> store_;
};

// A sample's groups [first, last), with offsets into images (N,…,C) and into (N,C) arrays.
struct Item {
  int64_t n, first, last, channels_per_group, offset, at;
  int64_t channels() const { return (last - first) * channels_per_group; }
};
// f(item) over all samples; where there are fewer than threads, a sample's groups are split too.
template <class F>
void for_items(const NormCall& call, const F& f) {
  const NormSize& size = call.size;
  int64_t groups = call.p.groups;
  if (size.n == 0) return;
  int64_t split = std::clamp<int64_t>((num_threads() + size.n - 1) / size.n, 1, groups);
  int64_t cg = size.channels / groups, per = (groups + split - 1) / split;
  while (per < groups && per * cg % 16 != 0) ++per;  // whole vectors of channels
  split = (groups + per - 1) / per;
  parallel_for(size.n * split, 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t n = i / split, first = i % split * per, last = std::min(groups, first + per);
      if (first < last)
        f(Item{n, first, last, cg, n * size.pixels * size.channels + first * cg, n * size.channels + first * cg});
    }
  });
}

// `arrays`: as large as the result, that the passes of the operation read and write.
template <class T>
bool streams(const NormSize& size, const Item& item, int64_t arrays, const Tensor& result) {
  int64_t whole = 64 / static_cast<int64_t>(sizeof(T));
  return cpu::streams(arrays * result.numel() * static_cast<int64_t>(sizeof(T)), result.data<T>()) &&
         size.channels % whole == 0 && item.offset % whole == 0;
}

// ŷ = r·(x − m) + q for the item's channels, from the saved statistics.
template <class T>
struct Affine {
  T *m, *r, *q;
  explicit Affine(Channels<T>& from) : m(from.next()[0]), r(from.next()[0]), q(from.next()[0]) {}
  static constexpr int64_t arrays = 3;
};
template <class T>
NormRows<T> rows_of(const NormCall& call, const Item& item, const Affine<T>& f, bool stream) {
  const kernel::Normalized& stats = call.stats;
  for (int64_t i = item.first, c = 0; i < item.last; ++i) {
    int64_t at = item.n * call.p.groups + i;
    T rstd = stats.rstd.data<T>()[at], mean = stats.mean.data<T>()[at], rest = stats.rest.data<T>()[at];
    for (int64_t j = 0; j < item.channels_per_group; ++j, ++c) f.m[c] = mean, f.r[c] = rstd, f.q[c] = -rstd * rest;
  }
  return {call.size.pixels,
          item.channels(),
          call.size.channels,
          f.m,
          f.r,
          f.q,
          call.a.data<T>() + item.at,
          call.s.data<T>() + item.at,
          call.p.mask.defined() ? call.p.mask.data<uint8_t>() + item.offset : nullptr,
          static_cast<T>(call.p.mask_scale),
          stream};
}

// Whether sums in T say what the variance is: no square overflowed, and no channel's first pixel, which is
// subtracted, is so far from the others that their spread is lost beside it.
template <class T>
bool hold(int64_t channels, double count, const T* sum, const T* squares) {
  for (int64_t j = 0; j < channels; ++j) {
    double s = static_cast<double>(sum[j]), s2 = static_cast<double>(squares[j]);
    if (!std::isfinite(s2) || s2 - s * s / count < s2 / 64) return false;
  }
  return true;
}

template <class T>
void statistics(const NormCall& call, const Item& item, const T* x, T* sum, T* squares) {
  const NormSize& size = call.size;
  norm_simd<T>().moments(
      {size.pixels, item.channels(), size.channels, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 1, false},
      x, sum, squares);
  int64_t cg = item.channels_per_group;
  double count = static_cast<double>(size.pixels);
  for (int64_t i = item.first, c = 0; i < item.last; ++i, c += cg) {
    int64_t at = item.n * call.p.groups + i;
    T *mean = call.stats.mean.mutable_data<T>() + at, *rest = call.stats.rest.mutable_data<T>() + at,
      *rstd = call.stats.rstd.mutable_data<T>() + at;
    if (sizeof(T) == sizeof(double) || hold(cg, count, sum + c, squares + c)) {
      norm_statistics(cg, count, call.p.eps, x + c, sum + c, squares + c, mean, rest, rstd);
      continue;
    }
    Channels<double> wide(2, cg);
    double *wide_sum = wide.next()[0], *wide_squares = wide.next()[0];
    for (int64_t p = 0; p < size.pixels; ++p)
      for (int64_t j = 0; j < cg; ++j) {
        double d = static_cast<double>(x[p * size.channels + c + j]) - static_cast<double>(x[c + j]);
        wide_sum[j] += d, wide_squares[j] += d * d;
      }
    norm_statistics(cg, count, call.p.eps, x + c, wide_sum, wide_squares, mean, rest, rstd);
  }
}

template <class T>
void forward(const NormCall& call) {
  for_items(call, [&](const Item& item) {
    Channels<T> arrays(Affine<T>::arrays, item.channels());
    Affine<T> f(arrays);
    const T* x = call.x.data<T>() + item.offset;
    statistics(call, item, x, f.r, f.q);
    const Tensor& y = call.stats.y;
    NormRows<T> rows = rows_of(call, item, f, streams<T>(call.size, item, 3, y));
    norm_simd<T>().forward[call.p.silu](rows, x, y.mutable_data<T>() + item.offset);
  });
}

template <class T>
void vjp(const NormCall& call) {
  const kernel::NormGrads2& grads = call.grads;
  for_items(call, [&](const Item& item) {
    Channels<T> arrays(Affine<T>::arrays + NormMap::count, item.channels());
    Affine<T> f(arrays);
    ChannelArrays<T> map = arrays.next(NormMap::count);
    bool stream = grads.dx.defined() && streams<T>(call.size, item, 6, grads.dx);
    NormRows<T> rows = rows_of(call, item, f, stream);
    T *ds = grads.ds.mutable_data<T>() + item.at, *da = grads.da.mutable_data<T>() + item.at;
    T* dx = grads.dx.defined() ? grads.dx.mutable_data<T>() + item.offset : nullptr;
    Tensor apart;  // h, where dx is not to hold it between the passes
    if (!dx || stream) apart = Tensor::empty({call.size.pixels * call.size.channels}, call.x.dtype());
    T* h = apart.defined() ? apart.mutable_data<T>() : dx;
    const T *x = call.x.data<T>() + item.offset, *g = call.g.data<T>() + item.offset;
    norm_simd<T>().vjp_sums[call.p.silu](rows, x, g, h, ds, da);
    if (!dx) return;
    double m = static_cast<double>(call.size.pixels * item.channels_per_group);
    for (int64_t c = 0; c < item.channels(); c += item.channels_per_group)
      norm_vjp_coefficients(item.channels_per_group, m, static_cast<double>(f.r[c]), rows.a + c, ds + c, da + c,
                            map.from(c));
    norm_simd<T>().vjp_map(rows, x, h, map, dx);
  });
}

template <class T>
void vjp2(const NormCall& call) {
  for_items(call, [&](const Item& item) {
    Channels<T> arrays(Affine<T>::arrays + NormSum2::count + NormMap2::count, item.channels());
    Affine<T> f(arrays);
    const kernel::NormGrads2& grads = call.grads;
    bool stream = streams<T>(call.size, item, 8, grads.dx) && streams<T>(call.size, item, 8, grads.dg);
    NormRows<T> rows = rows_of(call, item, f, stream);
    ChannelArrays<T> sums = arrays.next(NormSum2::count), map = arrays.next(NormMap2::count);
    const T *x = call.x.data<T>() + item.offset, *g = call.g.data<T>() + item.offset,
            *u = call.u.data<T>() + item.offset;
    const T *ua = call.ua.data<T>() + item.at, *us = call.us.data<T>() + item.at;
    T *dx = grads.dx.mutable_data<T>() + item.offset, *dg = grads.dg.mutable_data<T>() + item.offset;
    T *da = grads.da.mutable_data<T>() + item.at, *ds = grads.ds.mutable_data<T>() + item.at;
    norm_simd<T>().vjp2_sums[call.p.silu](rows, x, g, u, sums);

    double m = static_cast<double>(call.size.pixels * item.channels_per_group);
    for (int64_t c = 0; c < item.channels(); c += item.channels_per_group)
      norm_vjp2_coefficients(item.channels_per_group, m, static_cast<double>(f.r[c]), rows.a + c, ua + c, us + c,
                             sums.from(c), map.from(c), da + c, ds + c);
    norm_simd<T>().vjp2_map[call.p.silu](rows, x, g, u, map, dx, dg);
  });
}

void accumulate(const NormCall& call) {
  auto add = [](const Tensor& to, const Tensor& x) {
    if (x.defined()) binary(kernel::Binary::add, to, x, to);
  };
  add(call.grads.dx, call.add.dx), add(call.grads.da, call.add.da), add(call.grads.ds, call.add.ds);
  add(call.grads.dg, call.add.dg);
}

}  // namespace

void group_norm(const NormCall& call) {
  dispatch_floating(call.x.dtype(), [&]<class T>() { forward<T>(call); });
}
void group_norm_vjp(const NormCall& call) {
  dispatch_floating(call.x.dtype(), [&]<class T>() { vjp<T>(call); });
  accumulate(call);
}
void group_norm_vjp2(const NormCall& call) {
  NormCall c = call;
  for (Tensor* t : {&c.ua, &c.us})
    if (!t->defined()) *t = Tensor::zeros(c.a.shape(), c.a.options());
  dispatch_floating(c.x.dtype(), [&]<class T>() { vjp2<T>(c); });
  accumulate(c);
}

}  // namespace vapo::cpu
