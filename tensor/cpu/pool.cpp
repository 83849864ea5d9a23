// Sums over windows of pixels, and their adjoint, which repeats pixels.

#include <algorithm>

#include "tensor/backend.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {
constexpr int64_t grain = 1 << 13;  // elements a thread at least
}

void pool_sum2d(const Tensor& x, int64_t kh, int64_t kw, double scale, const Tensor& y) {
  int64_t rows = y.dim(0) * y.dim(1), cols = y.dim(2), c = y.dim(3), width = x.dim(2) * c;
  if (y.numel() == 0) return;
  dispatch_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    T factor = static_cast<T>(scale);
    parallel_for(rows, std::max<int64_t>(1, grain / (width * kh)), 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t j = 0; j < cols; ++j) {
          T* out = py + (r * cols + j) * c;
          for (int64_t a = 0; a < kh; ++a)  // `kw` neighbouring pixels are rows of c, each weighted by the scale
            simd<T>().weighted_rows(&factor, 0, px + (r * kh + a) * width + j * kw * c, c, kw, out, c, a > 0);
        }
    });
  });
}

void upsample_nearest2d(const Tensor& x, int64_t kh, int64_t kw, double scale, const Tensor& y) {
  int64_t rows = x.dim(0) * x.dim(1), cols = x.dim(2), c = x.dim(3), width = cols * kw * c;
  if (y.numel() == 0) return;
  dispatch_floating(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    parallel_for(rows, std::max<int64_t>(1, grain / (width * kh)), 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        T* out = py + r * kh * width;
        for (int64_t j = 0; j < cols; ++j) {
          T* first = out + j * kw * c;
          if (scale == 1)
            std::copy_n(px + (r * cols + j) * c, c, first);
          else
            simd<T>().affine(px + (r * cols + j) * c, first, c, scale, 0);
          for (int64_t b = 1; b < kw; ++b) std::copy_n(first, c, first + b * c);
        }
        for (int64_t a = 1; a < kh; ++a) std::copy_n(out, width, out + a * width);
      }
    });
  });
}

}  // namespace vapo::cpu
