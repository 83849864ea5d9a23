// Sums over windows of pixels, and their adjoint, which repeats pixels; means and maxima of windows that overlap.

#include <algorithm>
#include <vector>

#include "tensor/backend.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {
constexpr int64_t grain = 1 << 13;  // elements a thread at least

// y = the sum of `count` rows of n, times the scale; or their maximum
template <class T>
void pool_rows(kernel::Pool pool, T scale, const T* x, int64_t stride, int64_t count, T* y, int64_t n) {
  if (pool == kernel::Pool::mean) return simd<T>().weighted_rows(&scale, 0, x, stride, count, y, n, false);
  std::copy_n(x, n, y);
  for (int64_t i = 1; i < count; ++i) simd<T>().max_into(x + i * stride, y, n);
}

}  // namespace

void pool_sum2d(const Tensor& x, kernel::Pair k, double scale, const Tensor& y) {
  int64_t rows = y.dim(0) * y.dim(1), cols = y.dim(2), c = y.dim(3), width = x.dim(2) * c;
  if (y.numel() == 0) return;
  dispatch_floating(x.dtype(), [&]<class T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    T factor = static_cast<T>(scale);
    parallel_for(rows, std::max<int64_t>(1, grain / (width * k.h)), 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t j = 0; j < cols; ++j) {
          T* out = py + (r * cols + j) * c;
          for (int64_t a = 0; a < k.h; ++a)  // k.w neighbouring pixels are rows of c, each weighted by the scale
            simd<T>().weighted_rows(&factor, 0, px + (r * k.h + a) * width + j * k.w * c, c, k.w, out, c, a > 0);
        }
    });
  });
}

void upsample_nearest2d(const Tensor& x, kernel::Pair k, double scale, const Tensor& y) {
  int64_t rows = x.dim(0) * x.dim(1), cols = x.dim(2), c = x.dim(3), width = cols * k.w * c;
  if (y.numel() == 0) return;
  dispatch_floating(x.dtype(), [&]<class T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    parallel_for(rows, std::max<int64_t>(1, grain / (width * k.h)), 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        T* out = py + r * k.h * width;
        for (int64_t j = 0; j < cols; ++j) {
          T* first = out + j * k.w * c;
          if (scale == 1)
            std::copy_n(px + (r * cols + j) * c, c, first);
          else
            simd<T>().affine(px + (r * cols + j) * c, first, c, scale, 0, false);
          for (int64_t b = 1; b < k.w; ++b) std::copy_n(first, c, first + b * c);
        }
        for (int64_t a = 1; a < k.h; ++a) std::copy_n(out, width, out + a * width);
      }
    });
  });
}

void pool2d(const ConvGeometry& s, kernel::Pool pool, const Tensor& x, const Tensor& y) {
  int64_t width = s.w * s.c;
  if (y.numel() == 0) return;
  dispatch_floating(x.dtype(), [&]<class T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    parallel_for(s.n * s.oh, std::max<int64_t>(1, grain / (width * s.kh)), 1, [&](int64_t begin, int64_t end) {
      std::vector<T> column(static_cast<size_t>(width));  // down the windows of one row of the result
      for (int64_t r = begin; r < end; ++r) {
        auto rows = ConvGeometry::covered(r % s.oh, s.kh, s.h, s.p.stride.h, s.p.padding.h);
        int64_t height = rows.end - rows.begin;
        pool_rows(pool, T(1) / static_cast<T>(height), px + (r / s.oh * s.h + rows.begin) * width, width, height,
                  column.data(), width);
        for (int64_t j = 0; j < s.ow; ++j) {
          auto cols = ConvGeometry::covered(j, s.kw, s.w, s.p.stride.w, s.p.padding.w);
          int64_t count = cols.end - cols.begin;
          pool_rows(pool, T(1) / static_cast<T>(count), column.data() + cols.begin * s.c, s.c, count,
                    py + (r * s.ow + j) * s.c, s.c);
        }
      }
    });
  });
}

void max_pool2d(const ConvGeometry& s, const Tensor& x, const Tensor& y, const Tensor& index) {
  if (y.numel() == 0) return;
  dispatch_floating(x.dtype(), [&]<class T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    int64_t* pi = index.mutable_data<int64_t>();
    parallel_for(s.n * s.oh, std::max<int64_t>(1, grain / (s.w * s.c * s.kh)), 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* image = px + r / s.oh * s.h * s.w * s.c;
        auto rows = ConvGeometry::covered(r % s.oh, s.kh, s.h, s.p.stride.h, s.p.padding.h);
        for (int64_t j = 0; j < s.ow; ++j) {
          auto cols = ConvGeometry::covered(j, s.kw, s.w, s.p.stride.w, s.p.padding.w);
          T* top = py + (r * s.ow + j) * s.c;
          int64_t *at = pi + (r * s.ow + j) * s.c, first = rows.begin * s.w + cols.begin;
          std::copy_n(image + first * s.c, s.c, top);
          std::fill_n(at, s.c, first);
          for (int64_t a = rows.begin; a < rows.end; ++a)
            for (int64_t b = cols.begin; b < cols.end; ++b) {
              const T* pixel = image + (a * s.w + b) * s.c;
              for (int64_t c = 0; c < s.c; ++c)
                if (pixel[c] > top[c] || pixel[c] != pixel[c]) top[c] = pixel[c], at[c] = a * s.w + b;
            }
        }
      }
    });
  });
}

}  // namespace vapo::cpu
