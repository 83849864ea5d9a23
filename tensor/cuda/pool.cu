// Sums over windows of pixels, and their adjoint, which repeats pixels; means and maxima of windows that overlap.

#include "tensor/cuda/context.h"

namespace vapo::cuda {
namespace {

template <class T>
struct PoolSum {
  const T* x;
  T* y;
  int64_t kh, kw, rows, cols, c;  // of the result
  Compute<T> scale;
  __device__ void operator()(int64_t i) const {
    int64_t j = i % c, col = i / c % cols, row = i / c / cols;  // row counts over all images
    Compute<T> total = 0;
    for (int64_t a = 0; a < kh; ++a)
      for (int64_t b = 0; b < kw; ++b) total += x[((row * kh + a) * cols * kw + col * kw + b) * c + j];
    y[i] = static_cast<T>(total * scale);
  }
};
template <class T>
struct Upsample {
  const T* x;
  T* y;
  int64_t kh, kw, cols, c;  // of the operand
  Compute<T> scale;
  __device__ void operator()(int64_t i) const {
    int64_t j = i % c, col = i / c % (cols * kw), row = i / c / (cols * kw);
    y[i] = static_cast<T>(scale * x[(row / kh * cols + col / kw) * c + j]);
  }
};
// f(pixel of the image, value) for the pixels that the window of result element i covers.
template <class T, class F>
__device__ void for_window(const ConvGeometry& s, const T* x, int64_t i, const F& f) {
  int64_t c = i % s.c, col = i / s.c % s.ow, row = i / s.c / s.ow % s.oh, n = i / s.c / s.ow / s.oh;
  auto rows = ConvGeometry::covered(row, s.kh, s.h, s.p.stride.h, s.p.padding.h);
  auto cols = ConvGeometry::covered(col, s.kw, s.w, s.p.stride.w, s.p.padding.w);
  for (int64_t a = rows.begin; a < rows.end; ++a)
    for (int64_t b = cols.begin; b < cols.end; ++b) f(a * s.w + b, Compute<T>(x[s.x_at(n, a, b) + c]));
}
template <class T>
struct PoolWindow {
  ConvGeometry s;
  const T* x;
  T* y;
  bool mean;
  __device__ void operator()(int64_t i) const {
    int64_t count = 0;
    Compute<T> result = 0;
    for_window(s, x, i, [&](int64_t, Compute<T> v) {
      result = mean ? result + v : count == 0 || result < v || v != v ? v : result;
      ++count;
    });
    y[i] = static_cast<T>(mean ? result / static_cast<Compute<T>>(count) : result);
  }
};
template <class T>
struct MaxPool {
  ConvGeometry s;
  const T* x;
  T* y;
  int64_t* index;
  __device__ void operator()(int64_t i) const {
    int64_t at = -1;
    Compute<T> best = 0;
    for_window(s, x, i, [&](int64_t pixel, Compute<T> v) {
      if (at < 0 || v > best || v != v) best = v, at = pixel;
    });
    y[i] = static_cast<T>(best), index[i] = at;
  }
};

}  // namespace

void pool_sum2d(const Tensor& x, kernel::Pair k, double scale, const Tensor& y) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    for_each("pool_sum2d", y.numel(),
             PoolSum<T>{pointer<T>(x), pointer<T>(y), k.h, k.w, y.dim(1), y.dim(2), y.dim(3),
                        static_cast<Compute<T>>(scale)});
  });
}
void upsample_nearest2d(const Tensor& x, kernel::Pair k, double scale, const Tensor& y) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    for_each(
        "upsample_nearest2d", y.numel(),
        Upsample<T>{pointer<T>(x), pointer<T>(y), k.h, k.w, x.dim(2), x.dim(3), static_cast<Compute<T>>(scale)});
  });
}
void pool2d(const ConvGeometry& s, kernel::Pool pool, const Tensor& x, const Tensor& y) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    for_each("pool2d", y.numel(), PoolWindow<T>{s, pointer<T>(x), pointer<T>(y), pool == kernel::Pool::mean});
  });
}
void max_pool2d(const ConvGeometry& s, const Tensor& x, const Tensor& y, const Tensor& index) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    for_each("max_pool2d", y.numel(), MaxPool<T>{s, pointer<T>(x), pointer<T>(y), pointer<int64_t>(index)});
  });
}

}  // namespace vapo::cuda
