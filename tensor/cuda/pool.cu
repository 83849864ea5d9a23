// Sums over windows of pixels, and their adjoint, which repeats pixels; means and maxima of windows that overlap.

#include <algorithm>

#include "tensor/cuda/vectors.h"

namespace vapo::cuda {
namespace {

// The windows kh × kw that tile images of rows·kh × cols·kw pixels of c channels, in packs of `width` channels.
template <class Index>
struct Tiles {
  Divisor<Index> c, cols, kh, kw;
  Tiles(int64_t c_, int64_t cols_, kernel::Pair k) : c(c_), cols(cols_), kh(k.h), kw(k.w) {}
};
template <class T, class Index, int width>
struct PoolSum {
  Tiles<Index> tiles;  // cols: of the result
  const T* x;
  T* y;
  Compute<T> scale;
  __device__ void operator()(int64_t i) const {
    auto [c, cols, kh, kw] = tiles;
    Index row = static_cast<Index>(i), j = c.divide(row), col = cols.divide(row);  // row counts over all images
    Compute<T> total[width] = {};
    for (Index a = 0; a < Index(kh.d); ++a)
      for (Index b = 0; b < Index(kw.d); ++b) {
        Index pixel = (row * Index(kh.d) + a) * Index(cols.d * kw.d) + col * Index(kw.d) + b;
        Pack<T, width> v = pack_at<width>(x + (int64_t{pixel} * c.d + j) * width);
#pragma unroll
        for (int l = 0; l < width; ++l) total[l] += v.at[l];
      }
    Pack<T, width> out;
#pragma unroll
    for (int l = 0; l < width; ++l) out.at[l] = static_cast<T>(total[l] * scale);
    pack_at<width>(y + i * width) = out;
  }
};
template <class T, class Index, int width>
struct Upsample {
  Tiles<Index> tiles;  // cols: of the result
  const T* x;
  T* y;
  Compute<T> scale;
  __device__ void operator()(int64_t i) const {
    const auto& [c, cols, kh, kw] = tiles;
    Index row = static_cast<Index>(i), j = c.divide(row), col = cols.divide(row);
    Index pixel = kh.quotient(row) * kw.quotient(Index(cols.d)) + kw.quotient(col);
    Pack<T, width> v = pack_at<width>(x + (int64_t{pixel} * c.d + j) * width);
#pragma unroll
    for (T& e : v.at) e = static_cast<T>(scale * Compute<T>(e));
    pack_at<width>(y + i * width) = v;
  }
};
// Pooling<T, Index, width> over the packs of y, one a thread.
template <template <class, class, int> class Pooling>
void tile(const char* op, const Tensor& x, kernel::Pair k, double scale, const Tensor& y) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    auto run = [&]<int width, class Index>() {
      for_each(op, y.numel() / width,
               Pooling<T, Index, width>{Tiles<Index>(y.dim(3) / width, y.dim(2), k), pointer<T>(x), pointer<T>(y),
                                        static_cast<Compute<T>>(scale)});
    };
    constexpr int width = vector_width<T>;
    if (!short_places(std::max(x.numel(), y.numel())))
      run.template operator()<1, int64_t>();
    else if (y.dim(3) % width == 0)
      run.template operator()<width, int32_t>();
    else
      run.template operator()<1, int32_t>();
  });
}

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
  tile<PoolSum>("pool_sum2d", x, k, scale, y);
}
void upsample_nearest2d(const Tensor& x, kernel::Pair k, double scale, const Tensor& y) {
  tile<Upsample>("upsample_nearest2d", x, k, scale, y);
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
