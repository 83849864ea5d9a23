// A norm's coefficients of each sample, and their vjp.

#include <algorithm>
#include <vector>

#include "tensor/backend.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {

constexpr int64_t grain = 1 << 13;  // elements a thread at least

template <class T>
const T* data_or_null(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

template <class T>
void coefficients(const T* w, const T* b, const T* e, T one, int64_t n, int64_t channels, T* a, T* s) {
  parallel_for(n, std::max<int64_t>(1, grain / channels), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      T *ai = a + i * channels, *si = s + i * channels;
      const T *scale = e + 2 * i * channels, *shift = scale + channels;
      for (int64_t c = 0; c < channels; ++c) {
        T factor = e ? one + scale[c] : one;
        ai[c] = w[c] * factor, si[c] = b[c] * factor;
        if (e) si[c] += shift[c];
      }
    }
  });
}

// Columns [begin, end) of the sums Σₙ g·(one + scale).
template <class T>
void sum_scaled(const T* g, const T* e, T one, int64_t n, int64_t channels, int64_t begin, int64_t end, T* out) {
  std::vector<double> sums(static_cast<size_t>(end - begin));
  for (int64_t i = 0; g && i < n; ++i)
    for (int64_t c = begin; c < end; ++c) {
      T factor = e ? one + e[2 * i * channels + c] : one;
      sums[static_cast<size_t>(c - begin)] +=
          static_cast<double>(g[i * channels + c]) * static_cast<double>(factor);
    }
  for (int64_t c = begin; c < end; ++c) out[c] = static_cast<T>(sums[static_cast<size_t>(c - begin)]);
}

template <class T>
void embedding_grad(const T* w, const T* b, const T* da, const T* ds, int64_t n, int64_t channels, T* de) {
  parallel_for(n, std::max<int64_t>(1, grain / channels), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      for (int64_t c = 0; c < channels; ++c) {
        T to_scale = 0, to_shift = 0;
        if (da) to_scale = da[i * channels + c] * w[c];
        if (ds) to_shift = ds[i * channels + c], to_scale += to_shift * b[c];
        de[2 * i * channels + c] = to_scale, de[(2 * i + 1) * channels + c] = to_shift;
      }
  });
}

}  // namespace

void norm_coefficients(const Tensor& w, const Tensor& b, const Tensor& e, double one,
                       const kernel::NormCoefficients& out) {
  dispatch_floating(w.dtype(), [&]<class T>() {
    coefficients(w.data<T>(), b.data<T>(), data_or_null<T>(e), static_cast<T>(one), out.a.dim(0), w.dim(0),
                 out.a.mutable_data<T>(), out.s.mutable_data<T>());
  });
}

void norm_coefficients_vjp(const Tensor& w, const Tensor& b, const Tensor& e, const Tensor& da, const Tensor& ds,
                           double one, const kernel::CoefficientGrads& out) {
  int64_t n = (da.defined() ? da : ds).dim(0), channels = w.dim(0);
  dispatch_floating(w.dtype(), [&]<class T>() {
    const T *pa = data_or_null<T>(da), *ps = data_or_null<T>(ds), *pe = data_or_null<T>(e);
    if (out.de.defined()) embedding_grad(w.data<T>(), b.data<T>(), pa, ps, n, channels, out.de.mutable_data<T>());
    if (!out.dw.defined()) return;
    T *dw = out.dw.mutable_data<T>(), *db = out.db.mutable_data<T>();
    parallel_for(channels, grain / std::max<int64_t>(n, 1), 16, [&](int64_t begin, int64_t end) {
      sum_scaled(pa, pe, static_cast<T>(one), n, channels, begin, end, dw);
      sum_scaled(ps, pe, static_cast<T>(one), n, channels, begin, end, db);
    });
  });
}

}  // namespace vapo::cpu
