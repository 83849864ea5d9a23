// Reductions. The order of additions depends on shapes alone, not on the number of threads.

#include <algorithm>
#include <numeric>
#include <vector>

#include "tensor/backend.h"
#include "tensor/cpu/pieces.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {

constexpr int64_t chunk = 1 << 15;  // a total is a sum of sums over chunks of this size
constexpr int64_t row_block = 256;  // rows added up in one go before they join the total
constexpr int64_t grain = 1 << 16;

// Σ over parts of [0, n) of part(begin, end), parts of `chunk`.
template <class F>
double chunked_sum(int64_t n, const F& part) {
  if (n <= chunk) return n > 0 ? part(int64_t{0}, n) : 0.0;
  std::vector<double> sums(static_cast<size_t>((n + chunk - 1) / chunk));
  parallel_for(static_cast<int64_t>(sums.size()), 4, 1, [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; ++c)
      sums[static_cast<size_t>(c)] = part(c * chunk, std::min(n, (c + 1) * chunk));
  });
  double total = 0;
  for (double s : sums) total += s;
  return total;
}

template <class T>
void sum_rows(const T* x, int64_t count, int64_t inner, T* y) {  // (count, inner) → (inner)
  if (inner < 16 && count > 64) {                                // narrow: strided sums in double
    for (int64_t j = 0; j < inner; ++j) {
      double s = 0;
      for (int64_t i = 0; i < count; ++i) s += static_cast<double>(x[i * inner + j]);
      y[j] = static_cast<T>(s);
    }
    return;
  }
  parallel_for(inner, std::max<int64_t>(16, grain / std::max<int64_t>(count, 1)), 16,
               [&](int64_t begin, int64_t end) {
                 for (int64_t r = 0; r < count; r += row_block)
                   simd<T>().weighted_rows(nullptr, 0, x + r * inner + begin, inner, std::min(row_block, count - r),
                                           y + begin, end - begin, r > 0);
               });
}

template <class T>
void reduce(Reduction r, const T* x, int64_t outer, int64_t count, int64_t inner, T* y) {
  const auto& loops = simd<T>();
  if (r == Reduction::sum) {
    if (count == 0) {
      std::fill_n(y, outer * inner, T(0));
    } else if (inner == 1 && outer == 1) {
      *y = static_cast<T>(chunked_sum(count, [&](int64_t b, int64_t e) { return loops.sum(x + b, e - b); }));
    } else if (inner == 1 && count <= 8) {
      parallel_for(outer, grain / count, 16, [&](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o) {
          T s = 0;
          for (int64_t i = 0; i < count; ++i) s += x[o * count + i];
          y[o] = s;
        }
      });
    } else if (inner == 1) {
      parallel_for(outer, std::max<int64_t>(1, grain / count), 1, [&](int64_t begin, int64_t end) {
        for (int64_t o = begin; o < end; ++o) y[o] = static_cast<T>(loops.sum(x + o * count, count));
      });
    } else {
      for (int64_t o = 0; o < outer; ++o) sum_rows(x + o * count * inner, count, inner, y + o * inner);
    }
    return;
  }
  for (int64_t o = 0; o < outer; ++o) {
    const T* block = x + o * count * inner;
    if (inner == 1) {
      y[o] = loops.maximum(block, count);
      continue;
    }
    std::copy_n(block, inner, y + o * inner);
    for (int64_t i = 1; i < count; ++i) loops.max_into(block + i * inner, y + o * inner, inner);
  }
}

}  // namespace

void reduce_middle(Reduction r, const Tensor& x, const Around& d, const Tensor& y) {
  if (y.numel() == 0) return;
  dispatch_floating(x.dtype(),
                    [&]<class T>() { reduce<T>(r, x.data<T>(), d.outer, d.size, d.inner, y.mutable_data<T>()); });
}

void cumsum(const Tensor& x, const Around& d, bool reverse, const Tensor& y) {
  int64_t outer = d.outer, count = d.size, inner = d.inner;
  dispatch_floating(x.dtype(), [&]<class T>() {
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    int64_t first = reverse ? count - 1 : 0, step = reverse ? -inner : inner;
    // Runs of neighbouring columns, so that memory is read along rows.
    constexpr int64_t columns = 64;
    int64_t tiles = (inner + columns - 1) / columns;
    parallel_for(outer * tiles, std::max<int64_t>(1, grain / (count * std::min(inner, columns))), 1,
                 [&](int64_t begin, int64_t end) {
                   for (int64_t i = begin; i < end; ++i) {
                     int64_t left = i % tiles * columns, n = std::min(columns, inner - left);
                     int64_t at = (i / tiles * count + first) * inner + left;
                     double total[columns] = {};
                     for (int64_t k = 0; k < count; ++k, at += step)
                       for (int64_t j = 0; j < n; ++j)
                         to[at + j] = static_cast<T>(total[j] += static_cast<double>(from[at + j]));
                   }
                 });
  });
}

void sum_squares(std::span<const Tensor> xs, const Tensor& y) {
  std::vector<double> sums;  // of each piece
  for_pieces(
      xs.size(), [&](size_t i) { return xs[i].numel(); }, [&](size_t pieces) { sums.resize(pieces); },
      [&](const Piece& p, size_t i) {
        const Tensor& x = xs[p.tensor];
        sums[i] = dispatch_floating(
            x.dtype(), [&]<class T>() { return simd<T>().sum_squares(x.data<T>() + p.begin, p.count); });
      });
  *y.mutable_data<double>() = std::accumulate(sums.begin(), sums.end(), 0.0);
}

bool all_finite(const Tensor& x) {
  return dispatch_floating(x.dtype(), [&]<class T>() {
    const T* p = x.data<T>();
    T bad = 0;  // x·0 is NaN exactly where x is not finite
    for (int64_t i = 0; i < x.numel(); ++i) bad += p[i] * T(0);
    return bad == T(0);
  });
}

}  // namespace vapo::cpu
