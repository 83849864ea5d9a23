// Moving elements: strided copies, copies of blocks, gathers and scatters.

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "tensor/cuda/vectors.h"

namespace vapo::cuda {
namespace {

template <class T, int width>
struct CopyPacks {
  Walk<1> walk;
  const T* x;
  T* y;
  __device__ void operator()(int64_t i) const {
    int32_t from[1];
    walk.find(static_cast<int32_t>(i), from);
    pack_at<width>(y + i * width) = walk.template load<width>(0, x + from[0]);
  }
};
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

// Pieces that lie side by side in a row of units, `count` rows of them.
constexpr size_t most_pieces = 32;  // of a launch
template <class Unit, class Index>
struct CopyPieces {
  Divisor<Index> row;
  Index end[most_pieces];  // in the row; the last is its length
  BlockCopy piece[most_pieces];
  __device__ void operator()(int64_t i) const {
    Index r = static_cast<Index>(i), at = row.divide(r), begin = 0;
    int k = 0;
    while (at >= end[k]) begin = end[k++];
    const BlockCopy& p = piece[k];
    Unit v = {};
    auto place = [&](auto* base, int64_t stride) {
      return base + (r * stride + (at - begin) * int64_t{sizeof(Unit)});
    };
    if (p.from) v = *reinterpret_cast<const Unit*>(place(static_cast<const char*>(p.from), p.from_stride));
    *reinterpret_cast<Unit*>(place(static_cast<char*>(p.to), p.to_stride)) = v;
  }
};
template <class Unit, class Index>
void copy_units(std::span<const BlockCopy> pieces, int64_t row, int64_t count) {
  CopyPieces<Unit, Index> copy{Divisor<Index>(row), {}, {}};
  Index end = 0;
  for (size_t k = 0; k < pieces.size(); ++k) {
    copy.piece[k] = pieces[k];
    copy.end[k] = end += static_cast<Index>(pieces[k].bytes / int64_t{sizeof(Unit)});
  }
  for_each("copy_pieces", row * count, copy);
}

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
    constexpr int width = vector_width<T>;
    int64_t n = y.numel();
    if (Walk<1>::possible(order, width))
      for_each("copy_strided", n / width, CopyPacks<T, width>{{order, width}, pointer<T>(x), pointer<T>(y)});
    else if (Walk<1>::possible(order, 1))
      for_each("copy_strided", n, CopyPacks<T, 1>{{order, 1}, pointer<T>(x), pointer<T>(y)});
    else
      for_each("copy_strided", n, CopyStrided<T>{order, pointer<T>(x), pointer<T>(y)});
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

void copy_pieces(std::span<const BlockCopy> pieces, int64_t count) {
  std::vector<BlockCopy> now;  // of the next launch
  uint64_t places = 16;        // what divides all of them is the unit
  int64_t bytes = 0;
  auto copy = [&]<class Unit>(Unit) {
    int64_t row = bytes / int64_t{sizeof(Unit)};
    short_places(row * count) ? copy_units<Unit, int32_t>(now, row, count)
                              : copy_units<Unit, int64_t>(now, row, count);
  };
  for (size_t i = 0; i < pieces.size() && count > 0; ++i) {
    if (const BlockCopy& p = pieces[i]; p.bytes > 0) {
      now.push_back(p), bytes += p.bytes;
      places |= reinterpret_cast<uintptr_t>(p.from) | reinterpret_cast<uintptr_t>(p.to);
      places |= static_cast<uint64_t>(p.bytes | (count > 1 ? p.from_stride | p.to_stride : 0));
    }
    if (now.empty() || (now.size() < most_pieces && i + 1 < pieces.size())) continue;
    switch (places & -places) {
      case 16:
        copy(Pack<uint32_t, 4>{});
        break;
      case 8:
        copy(uint64_t{});
        break;
      case 4:
        copy(uint32_t{});
        break;
      case 2:
        copy(uint16_t{});
        break;
      default:
        copy(uint8_t{});
    }
    now.clear(), bytes = 0, places = 16;
  }
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
