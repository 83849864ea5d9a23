// Moving elements: copies of blocks, permutations, gathers and scatters.

#include <algorithm>
#include <cstring>

#include "tensor/backend.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {

constexpr int64_t grain = 1 << 15;  // bytes a thread at least

template <class Word>
void permute_words(const Word* x, Word* y, int rank, const int64_t* size, const int64_t* stride) {
  int64_t position[Shape::max_rank] = {}, offset = 0, inner = size[rank - 1], step = stride[rank - 1], total = 1;
  for (int i = 0; i < rank; ++i) total *= size[i];
  for (int64_t out = 0; out < total; out += inner) {
    for (int64_t j = 0; j < inner; ++j) y[out + j] = x[offset + j * step];
    for (int i = rank - 2; i >= 0; --i) {
      offset += stride[i];
      if (++position[i] < size[i]) break;
      offset -= stride[i] * size[i];
      position[i] = 0;
    }
  }
}

}  // namespace

void permute(const Tensor& x, const Dims& dims, const Tensor& y) {
  if (x.numel() == 0) return;
  int rank = x.rank();
  if (rank == 0) return copy_blocks(x.raw(), 0, y.raw(), 0, static_cast<int64_t>(x.bytes()), 1);
  int64_t strides[Shape::max_rank], size[Shape::max_rank], stride[Shape::max_rank], s = 1;
  for (int i = rank - 1; i >= 0; --i) {
    strides[i] = s;
    s *= x.shape()[i];
  }
  for (int i = 0; i < rank; ++i) {
    size[i] = x.shape()[static_cast<int>(dims[i])];
    stride[i] = strides[dims[i]];
  }
  dispatch_any(x.dtype(), [&]<class T>() { permute_words(x.data<T>(), y.mutable_data<T>(), rank, size, stride); });
}

void copy_blocks(const void* from, int64_t from_stride, void* to, int64_t to_stride, int64_t bytes, int64_t count) {
  if (bytes == 0) return;
  auto* x = static_cast<const std::byte*>(from);
  auto* y = static_cast<std::byte*>(to);
  if (count == 1)
    return parallel_for(bytes, grain, 64, [&](int64_t begin, int64_t end) {
      std::memcpy(y + begin, x + begin, static_cast<size_t>(end - begin));
    });
  parallel_for(count, std::max<int64_t>(1, grain / bytes), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(y + i * to_stride, x + i * from_stride, static_cast<size_t>(bytes));
  });
}

void index_select(const Tensor& x, int64_t outer, int64_t size, int64_t inner, const Tensor& index,
                  const Tensor& y) {
  int64_t n = index.numel(), bytes = inner * static_cast<int64_t>(size_of(x.dtype()));
  if (bytes == 0) return;
  const int64_t* rows = index.data<int64_t>();
  auto* from = static_cast<const std::byte*>(x.raw());
  auto* to = static_cast<std::byte*>(y.raw());
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t i = 0; i < n; ++i)
      std::memcpy(to + (o * n + i) * bytes, from + (o * size + rows[i]) * bytes, static_cast<size_t>(bytes));
}

void index_add(const Tensor& g, int64_t outer, int64_t size, int64_t inner, const Tensor& index, const Tensor& y) {
  const int64_t* rows = index.data<int64_t>();
  int64_t n = index.numel();
  dispatch_floating(g.dtype(), [&]<class T>() {
    const T* from = g.data<T>();
    T* to = y.mutable_data<T>();
    for (int64_t o = 0; o < outer; ++o)
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < inner; ++j) to[(o * size + rows[i]) * inner + j] += from[(o * n + i) * inner + j];
  });
}

void gather(const Tensor& x, int64_t outer, int64_t size, int64_t inner, const Tensor& index, const Tensor& y) {
  const int64_t* at = index.data<int64_t>();
  int64_t n = index.numel() / (outer * inner);
  dispatch_any(x.dtype(), [&]<class T>() {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    parallel_for(outer * n, std::max<int64_t>(1, grain / (16 * inner)), 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        for (int64_t j = 0; j < inner; ++j)
          to[r * inner + j] = from[(r / n * size + at[r * inner + j]) * inner + j];
    });
  });
}

// A thread has columns of its own, so that every sum is in the order of k.
void scatter_add(const Tensor& g, int64_t outer, int64_t size, int64_t inner, const Tensor& index,
                 const Tensor& y) {
  const int64_t* at = index.data<int64_t>();
  int64_t n = index.numel() / (outer * inner), split = std::clamp<int64_t>(num_threads() / outer, 1, inner);
  dispatch_floating(g.dtype(), [&]<class T>() {
    const T* from = g.data<T>();
    T* to = y.mutable_data<T>();
    int64_t width = (inner + split - 1) / split;
    parallel_for(outer * split, std::max<int64_t>(1, grain / (16 * n * width)), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t o = i / split, first = i % split * width, last = std::min(inner, first + width);
        for (int64_t k = o * n; k < (o + 1) * n; ++k)
          for (int64_t j = first; j < last; ++j)
            to[(o * size + at[k * inner + j]) * inner + j] += from[k * inner + j];
      }
    });
  });
}

}  // namespace vapo::cpu
