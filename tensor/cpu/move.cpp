// Moving elements: strided copies, copies of blocks, gathers and scatters.

#include <algorithm>
#include <cstring>

#include "tensor/backend.h"
#include "tensor/cpu/rows.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {
constexpr int64_t grain = 1 << 15;  // bytes a thread at least
constexpr int64_t short_row = 16;
}  // namespace

void copy_strided(const Tensor& x, const Strided<1>& order, const Tensor& y) {
  int64_t cols = order.size[0], along = order.stride[0][0], down = order.stride[0][1];
  dispatch_any(y.dtype(), [&]<class T>() {
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    auto write_rows = [=](const T* from, T* to, int64_t rows, int64_t n) {
      if (along > 1 && n <= short_row) {  // down the columns, where loops are longer
        for (int64_t j = 0; j < n; ++j)
          for (int64_t i = 0; i < rows; ++i) to[i * n + j] = from[i * down + j * along];
        return;
      }
      for (int64_t i = 0; i < rows; ++i, from += down, to += n)
        if (along == 0)
          std::fill_n(to, n, *from);
        else if (along == 1)
          std::copy_n(from, n, to);
        else
          for (int64_t j = 0; j < n; ++j) to[j] = from[j * along];
    };
    if (order.rank < 2)  // one row: split within
      return parallel_for(cols, cheap_grain, 64, [&](int64_t begin, int64_t end) {
        write_rows(px + begin * along, py + begin, 1, end - begin);
      });
    for_rows(order, [&](const int64_t(&at)[1], int64_t first, int64_t rows) {
      write_rows(px + at[0], py + first * cols, rows, cols);
    });
  });
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

void copy_pieces(std::span<const BlockCopy> pieces, int64_t count) {
  for (const BlockCopy& p : pieces)
    if (p.from)
      copy_blocks(p.from, p.from_stride, p.to, p.to_stride, p.bytes, count);
    else if (p.bytes > 0)
      parallel_for(count, std::max<int64_t>(1, grain / p.bytes), 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          std::memset(static_cast<std::byte*>(p.to) + i * p.to_stride, 0, static_cast<size_t>(p.bytes));
      });
}

void gather(const Tensor& x, const Around& d, const Tensor& index, const Tensor& y) {
  const int64_t* at = index.data<int64_t>();
  int64_t outer = d.outer, size = d.size, inner = d.inner;
  int64_t n = y.numel() / (outer * inner);
  bool whole_rows = index.numel() == n;
  dispatch_any(x.dtype(), [&]<class T>() {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    parallel_for(outer * n, std::max<int64_t>(1, grain / (16 * inner)), 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const T* block = from + r / n * size * inner;
        if (whole_rows)
          std::copy_n(block + at[r % n] * inner, inner, to + r * inner);
        else
          for (int64_t j = 0; j < inner; ++j) to[r * inner + j] = block[at[r * inner + j] * inner + j];
      }
    });
  });
}

// A thread has columns of its own, so that every sum is in the order of n.
void scatter_add(const Tensor& g, const Around& d, const Tensor& index, const Tensor& y) {
  const int64_t* at = index.data<int64_t>();
  int64_t outer = d.outer, size = d.size, inner = d.inner;
  int64_t n = g.numel() / (outer * inner), split = std::clamp<int64_t>(num_threads() / outer, 1, inner);
  bool whole_rows = index.numel() == n;
  dispatch_floating(g.dtype(), [&]<class T>() {
    const T* from = g.data<T>();
    T* to = y.mutable_data<T>();
    int64_t width = (inner + split - 1) / split;
    parallel_for(outer * split, std::max<int64_t>(1, grain / (16 * n * width)), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        int64_t o = i / split, first = i % split * width, last = std::min(inner, first + width);
        T* block = to + o * size * inner;
        for (int64_t k = 0; k < n; ++k) {
          const T* row = from + (o * n + k) * inner;
          if (whole_rows) {
            T* sum = block + at[k] * inner;
            for (int64_t j = first; j < last; ++j) sum[j] += row[j];
          } else {
            const int64_t* entries = at + (o * n + k) * inner;
            for (int64_t j = first; j < last; ++j) block[entries[j] * inner + j] += row[j];
          }
        }
      }
    });
  });
}

}  // namespace vapo::cpu
