// Moving elements: copies of blocks, permutations, gathers and scatters; windows of pixels.

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "tensor/cuda/context.h"

namespace vapo::cuda {
namespace {

struct Order {
  int rank;
  int64_t size[Shape::max_rank], stride[Shape::max_rank];  // of the result; strides in x
};
template <class T>
struct Permute {
  Order order;
  const T* x;
  T* y;
  __device__ void operator()(int64_t i) const {
    int64_t rest = i, from = 0;
    for (int d = order.rank - 1; d >= 0; --d) {
      from += rest % order.size[d] * order.stride[d];
      rest /= order.size[d];
    }
    y[i] = x[from];
  }
};

// x (outer,size,inner) at (o,row,j); outside of it, as only an index of a recorded step can be, which nobody has
// seen: NaN
template <class T>
__device__ T element_at(const T* x, int64_t o, int64_t row, int64_t size, int64_t inner, int64_t j) {
  if (row >= 0 && row < size) return x[(o * size + row) * inner + j];
  if constexpr (std::is_floating_point_v<Compute<T>>) return static_cast<T>(Compute<T>(NAN));
  return T();
}
template <class T>
struct IndexSelect {
  const T* x;
  const int64_t* index;
  T* y;
  int64_t size, n, inner;
  __device__ void operator()(int64_t i) const {
    int64_t j = i % inner, row = i / inner % n, o = i / inner / n;
    y[i] = element_at(x, o, index[row], size, inner, j);
  }
};
// Each result gathers its own rows, in their order: the same bits every time.
template <class T>
struct IndexAdd {
  const T* g;
  const int64_t* index;
  T* y;
  int64_t size, n, inner;
  __device__ void operator()(int64_t i) const {
    int64_t j = i % inner, row = i / inner % size, o = i / inner / size;
    Compute<T> total = 0;
    for (int64_t k = 0; k < n; ++k)
      if (index[k] == row) total += g[(o * n + k) * inner + j];
    y[i] = static_cast<T>(total);
  }
};

template <class T>
struct Gather {
  const T* x;
  const int64_t* index;
  T* y;
  int64_t size, n, inner;
  __device__ void operator()(int64_t i) const {
    y[i] = element_at(x, i / inner / n, index[i], size, inner, i % inner);
  }
};
// A thread has some rows of one column of the result and looks through the whole column of the index: the order of
// every sum is that of k. There are as many ranges of rows as give a GPU enough threads.
template <class T>
struct ScatterAdd {
  const T* g;
  const int64_t* index;
  T* y;
  int64_t size, n, inner, ranges;
  __device__ void operator()(int64_t i) const {
    int64_t j = i % inner, range = i / inner % ranges, o = i / inner / ranges;
    int64_t rows = (size + ranges - 1) / ranges, first = range * rows,
            last = first + rows < size ? first + rows : size;
    for (int64_t k = o * n; k < (o + 1) * n; ++k) {
      int64_t row = index[k * inner + j];
      if (row >= first && row < last) y[(o * size + row) * inner + j] += g[k * inner + j];
    }
  }
};

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
template <class T>
struct PoolWindow {
  const T* x;
  T* y;
  int64_t h, w, c, oh, ow, kh, kw, stride_h, stride_w, padding_h, padding_w;
  bool mean;
  __device__ void operator()(int64_t i) const {
    int64_t j = i % c, col = i / c % ow, row = i / c / ow % oh, n = i / c / ow / oh;
    int64_t top = row * stride_h - padding_h, left = col * stride_w - padding_w, count = 0;
    Compute<T> result = 0;
    for (int64_t a = top < 0 ? 0 : top; a < top + kh && a < h; ++a)
      for (int64_t b = left < 0 ? 0 : left; b < left + kw && b < w; ++b, ++count) {
        Compute<T> v = x[((n * h + a) * w + b) * c + j];
        result = mean ? result + v : count == 0 || result < v || v != v ? v : result;
      }
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
    int64_t c = i % s.c, col = i / s.c % s.ow, row = i / s.c / s.ow % s.oh, n = i / s.c / s.ow / s.oh;
    int64_t top = row * s.p.stride.h - s.p.padding.h, left = col * s.p.stride.w - s.p.padding.w, at = -1;
    Compute<T> best = 0;
    for (int64_t a = top < 0 ? 0 : top; a < top + s.kh && a < s.h; ++a)
      for (int64_t b = left < 0 ? 0 : left; b < left + s.kw && b < s.w; ++b) {
        Compute<T> v = x[((n * s.h + a) * s.w + b) * s.c + c];
        if (at < 0 || v > best || v != v) best = v, at = a * s.w + b;
      }
    y[i] = static_cast<T>(best), index[i] = at;
  }
};

}  // namespace

void permute(const Tensor& x, const Dims& dims, const Tensor& y) {
  Order order{x.rank(), {}, {}};
  int64_t strides[Shape::max_rank], s = 1;
  for (int i = x.rank() - 1; i >= 0; --i) strides[i] = s, s *= x.shape()[i];
  for (int i = 0; i < x.rank(); ++i) {
    order.size[i] = x.shape()[static_cast<int>(dims[i])];
    order.stride[i] = strides[dims[i]];
  }
  dispatch_any(x.dtype(), [&]<class T>() {
    for_each("permute", x.numel(), Permute<T>{order, pointer<T>(x), pointer<T>(y)});
  });
}

void copy_blocks(const void* from, int64_t from_stride, void* to, int64_t to_stride, int64_t bytes, int64_t count) {
  if (bytes == 0 || count == 0) return;
  auto size = [](int64_t n) { return static_cast<size_t>(n); };
  if (count == 1)
    VAPO_CUDA(cudaMemcpyAsync(to, from, size(bytes), cudaMemcpyDeviceToDevice, stream()));
  else
    VAPO_CUDA(cudaMemcpy2DAsync(to, size(to_stride), from, size(from_stride), size(bytes), size(count),
                                cudaMemcpyDeviceToDevice, stream()));
}

void index_select(const Tensor& x, int64_t, int64_t size, int64_t inner, const Tensor& index, const Tensor& y) {
  Tensor rows = index.to(Device::cuda);
  dispatch_any(x.dtype(), [&]<class T>() {
    for_each("index_select", y.numel(),
             IndexSelect<T>{pointer<T>(x), pointer<int64_t>(rows), pointer<T>(y), size, index.numel(), inner});
  });
}
void index_add(const Tensor& g, int64_t, int64_t size, int64_t inner, const Tensor& index, const Tensor& y) {
  Tensor rows = index.to(Device::cuda);
  dispatch_stored(g.dtype(), [&]<class T>() {
    for_each("index_add", y.numel(),
             IndexAdd<T>{pointer<T>(g), pointer<int64_t>(rows), pointer<T>(y), size, index.numel(), inner});
  });
}

void gather(const Tensor& x, int64_t outer, int64_t size, int64_t inner, const Tensor& index, const Tensor& y) {
  Tensor at = index.to(Device::cuda);
  dispatch_any(x.dtype(), [&]<class T>() {
    for_each("gather", y.numel(),
             Gather<T>{pointer<T>(x), pointer<int64_t>(at), pointer<T>(y), size, index.numel() / (outer * inner),
                       inner});
  });
}
void scatter_add(const Tensor& g, int64_t outer, int64_t size, int64_t inner, const Tensor& index,
                 const Tensor& y) {
  constexpr int64_t enough = 1 << 16;  // threads
  Tensor at = index.to(Device::cuda);
  int64_t columns = outer * inner, ranges = std::clamp<int64_t>(enough / columns, 1, size);
  dispatch_floating(g.dtype(), [&]<class T>() {
    for_each("scatter_add", columns * ranges,
             ScatterAdd<T>{pointer<T>(g), pointer<int64_t>(at), pointer<T>(y), size, index.numel() / columns, inner,
                           ranges});
  });
}

void pool_sum2d(const Tensor& x, int64_t kh, int64_t kw, double scale, const Tensor& y) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    for_each("pool_sum2d", y.numel(),
             PoolSum<T>{pointer<T>(x), pointer<T>(y), kh, kw, y.dim(1), y.dim(2), y.dim(3),
                        static_cast<Compute<T>>(scale)});
  });
}
void upsample_nearest2d(const Tensor& x, int64_t kh, int64_t kw, double scale, const Tensor& y) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    for_each("upsample_nearest2d", y.numel(),
             Upsample<T>{pointer<T>(x), pointer<T>(y), kh, kw, x.dim(2), x.dim(3), static_cast<Compute<T>>(scale)});
  });
}
void pool2d(const ConvGeometry& s, kernel::Pool pool, const Tensor& x, const Tensor& y) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    for_each("pool2d", y.numel(),
             PoolWindow<T>{pointer<T>(x), pointer<T>(y), s.h, s.w, s.c, s.oh, s.ow, s.kh, s.kw, s.p.stride.h,
                           s.p.stride.w, s.p.padding.h, s.p.padding.w, pool == kernel::Pool::mean});
  });
}

void max_pool2d(const ConvGeometry& s, const Tensor& x, const Tensor& y, const Tensor& index) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    for_each("max_pool2d", y.numel(), MaxPool<T>{s, pointer<T>(x), pointer<T>(y), pointer<int64_t>(index)});
  });
}

}  // namespace vapo::cuda
