// Moving elements: strided copies, copies of blocks, gathers and scatters.

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "tensor/cuda/context.h"

namespace vapo::cuda {
namespace {

template <class T>
struct CopyStrided {
  Strided<1> order;
  const T* x;
  T* y;
  __device__ void operator()(int64_t i) const {
    int64_t from[1];
    order.find(i, from);
    y[i] = x[from[0]];
  }
};

// The index of n of (outer, n, inner): one for whole rows, or one for each element.
struct Index {
  const int64_t* entries;
  bool whole_rows;
  int64_t n, inner;
  Index(const Tensor& index, int64_t count, const Around& d)
      : entries(pointer<int64_t>(index)),
        whole_rows(index.numel() == count / (d.outer * d.inner)),
        n(count / (d.outer * d.inner)),
        inner(d.inner) {}
  __device__ int64_t at(int64_t o, int64_t k, int64_t j) const {
    return entries[whole_rows ? k : (o * n + k) * inner + j];
  }
};
// An index out of range, as only one of a recorded step can be, which nobody has seen, gives NaN.
template <class T>
struct Gather {
  const T* x;
  Index index;
  int64_t size;
  T* y;
  __device__ void operator()(int64_t i) const {
    int64_t j = i % index.inner, k = i / index.inner % index.n, o = i / index.inner / index.n;
    int64_t row = index.at(o, k, j);
    if (row >= 0 && row < size)
      y[i] = x[(o * size + row) * index.inner + j];
    else if constexpr (std::is_floating_point_v<Compute<T>>)
      y[i] = static_cast<T>(Compute<T>(NAN));
    else
      y[i] = T();
  }
};
// A thread has some rows of one column of the result and looks through the whole column of the index: the order of
// every sum is that of n. There are as many ranges of rows as give a GPU enough threads.
template <class T>
struct ScatterAdd {
  const T* g;
  Index index;
  int64_t size, ranges;
  T* y;
  __device__ void operator()(int64_t i) const {
    int64_t inner = index.inner, j = i % inner, range = i / inner % ranges, o = i / inner / ranges;
    int64_t rows = (size + ranges - 1) / ranges, first = range * rows,
            last = first + rows < size ? first + rows : size;
    for (int64_t k = 0; k < index.n; ++k) {
      int64_t row = index.at(o, k, j);
      if (row >= first && row < last) y[(o * size + row) * inner + j] += g[(o * index.n + k) * inner + j];
    }
  }
};

}  // namespace

void copy_strided(const Tensor& x, const Strided<1>& order, const Tensor& y) {
  dispatch_any(x.dtype(), [&]<class T>() {
    for_each("copy_strided", y.numel(), CopyStrided<T>{order, pointer<T>(x), pointer<T>(y)});
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

void gather(const Tensor& x, const Around& d, const Tensor& index, const Tensor& y) {
  Tensor at = index.to(Device::cuda);
  dispatch_any(x.dtype(), [&]<class T>() {
    for_each("gather", y.numel(), Gather<T>{pointer<T>(x), Index(at, y.numel(), d), d.size, pointer<T>(y)});
  });
}

void scatter_add(const Tensor& g, const Around& d, const Tensor& index, const Tensor& y) {
  constexpr int64_t enough = 1 << 16;  // threads
  Tensor at = index.to(Device::cuda);
  int64_t columns = d.outer * d.inner, ranges = std::clamp<int64_t>(enough / columns, 1, d.size);
  dispatch_floating(g.dtype(), [&]<class T>() {
    for_each("scatter_add", columns * ranges,
             ScatterAdd<T>{pointer<T>(g), Index(at, g.numel(), d), d.size, ranges, pointer<T>(y)});
  });
}

}  // namespace vapo::cuda
