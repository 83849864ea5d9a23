// Reductions. The order of additions depends on shapes alone; sums run in double.

#include <algorithm>
#include <vector>

#include "tensor/cuda/context.h"

namespace vapo::cuda {
namespace {

// One block for each (outer, inner-tile, part): 32 neighbouring columns by 8 rows of threads, or, where inner is 1,
// all threads along the row. Results (outer, parts, inner). op: add, or maximum, which is NaN if there is one.
template <kernel::Binary op>
constexpr double start = op == kernel::Binary::add ? 0 : -INFINITY;
template <class In, class Out, kernel::Binary op>
__global__ void columns_kernel(const In* x, int64_t count, int64_t inner, int64_t parts, Out* y) {
  __shared__ double shared[8][33];
  int64_t outer = blockIdx.z, part = blockIdx.y, column = static_cast<int64_t>(blockIdx.x) * 32 + threadIdx.x;
  int64_t size = (count + parts - 1) / parts, begin = part * size,
          end = begin + size < count ? begin + size : count;
  double total = start<op>;
  if (column < inner)
    for (int64_t i = begin + threadIdx.y; i < end; i += 8)
      total = combine<op>(total, static_cast<double>(x[(outer * count + i) * inner + column]));
  shared[threadIdx.y][threadIdx.x] = total;
  __syncthreads();
  if (threadIdx.y != 0 || column >= inner) return;
  for (int i = 1; i < 8; ++i) total = combine<op>(total, shared[i][threadIdx.x]);
  y[(outer * parts + part) * inner + column] = static_cast<Out>(total);
}
template <class In, class Out, kernel::Binary op>
__global__ void rows_kernel(const In* x, int64_t count, int64_t parts, Out* y) {
  __shared__ double shared[block_size];
  int64_t outer = blockIdx.x, part = blockIdx.y;
  int64_t size = (count + parts - 1) / parts, begin = part * size,
          end = begin + size < count ? begin + size : count;
  double total = start<op>;
  for (int64_t i = begin + threadIdx.x; i < end; i += block_size)
    total = combine<op>(total, static_cast<double>(x[outer * count + i]));
  shared[threadIdx.x] = total;
  __syncthreads();
  for (int half = block_size / 2; half > 0; half /= 2) {
    if (static_cast<int>(threadIdx.x) < half)
      shared[threadIdx.x] = combine<op>(shared[threadIdx.x], shared[threadIdx.x + half]);
    __syncthreads();
  }
  if (threadIdx.x == 0) y[outer * parts + part] = static_cast<Out>(shared[0]);
}

constexpr int64_t most_z = 65535;

template <kernel::Binary op, class In, class Out>
void pass(const In* x, int64_t outer, int64_t count, int64_t inner, int64_t parts, Out* y) {
  if (inner == 1) {
    return launch("reduce", rows_kernel<In, Out, op>,
                  dim3(static_cast<unsigned>(outer), static_cast<unsigned>(parts)), block_size, x, count, parts, y);
  }
  for (int64_t o = 0; o < outer; o += most_z) {
    dim3 grid(static_cast<unsigned>((inner + 31) / 32), static_cast<unsigned>(parts),
              static_cast<unsigned>(std::min(most_z, outer - o)));
    launch("reduce", columns_kernel<In, Out, op>, grid, dim3(32, 8), x + o * count * inner, count, inner, parts,
           y + o * parts * inner);
  }
}

template <kernel::Binary op, class T>
void reduce(const T* x, int64_t outer, int64_t count, int64_t inner, T* y) {
  int64_t tiles = outer * ((inner + 31) / 32);
  int64_t parts =
      std::clamp<int64_t>(1024 / std::max<int64_t>(tiles, 1), 1, std::max<int64_t>((count + 2047) / 2048, 1));
  if (parts == 1) return pass<op>(x, outer, count, inner, 1, y);
  Tensor partial = scratch(outer * parts * inner, DType::f64);
  pass<op>(x, outer, count, inner, parts, pointer<double>(partial));
  pass<op>(pointer<double>(partial), outer, parts, inner, 1, y);
}

// Σx² of each of up to `most` tensors in `gridDim.x` parts.
constexpr size_t most = 128;
template <class T>
struct Batch {
  const T* x[most];
  int64_t count[most];
};
template <class T>
__global__ void squares_kernel(Batch<T> batch, double* parts) {
  const T* x = batch.x[blockIdx.y];
  double total = 0;
  stride_over(batch.count[blockIdx.y], [&](int64_t i) {
    double v = static_cast<double>(x[i]);
    total += v * v;
  });
  total = block_sum(total);
  if (threadIdx.x == 0) parts[static_cast<int64_t>(blockIdx.y) * gridDim.x + blockIdx.x] = total;
}

// Running sums down a column: one thread each.
template <class T>
struct RunColumn {
  const T* x;
  int64_t count, inner;
  bool reverse;
  T* y;
  __device__ void operator()(int64_t i) const {
    int64_t at = (i / inner * count + (reverse ? count - 1 : 0)) * inner + i % inner;
    double total = 0;
    for (int64_t k = 0; k < count; ++k, at += reverse ? -inner : inner)
      y[at] = static_cast<T>(total += static_cast<double>(x[at]));
  }
};
// Along a row: one block each, block_size elements at a time, whose sums double their reach in every round.
template <class T>
__global__ void run_row_kernel(const T* x, int64_t count, bool reverse, T* y) {
  __shared__ double sums[block_size];
  int64_t row = static_cast<int64_t>(blockIdx.x) * count;
  int me = static_cast<int>(threadIdx.x);
  double before = 0;
  for (int64_t start = 0; start < count; start += block_size) {
    int64_t k = start + me, at = row + (reverse ? count - 1 - k : k);
    sums[me] = k < count ? static_cast<double>(x[at]) : 0;
    __syncthreads();
    for (int reach = 1; reach < block_size; reach *= 2) {
      double more = me >= reach ? sums[me - reach] : 0;
      __syncthreads();
      sums[me] += more;
      __syncthreads();
    }
    if (k < count) y[at] = static_cast<T>(before + sums[me]);
    before += sums[block_size - 1];
    __syncthreads();
  }
}

template <class T>
struct TimesZero {  // NaN exactly where x is not finite
  const T* x;
  T* y;
  __device__ void operator()(int64_t i) const { y[i] = static_cast<T>(x[i] * Compute<T>(0)); }
};

}  // namespace

void reduce_middle(Reduction r, const Tensor& x, const Around& d, const Tensor& y) {
  if (y.numel() == 0) return;
  if (d.size == 0) return fill(0, y);
  dispatch_stored(x.dtype(), [&]<class T>() {
    if (r == Reduction::sum)
      reduce<kernel::Binary::add>(pointer<T>(x), d.outer, d.size, d.inner, pointer<T>(y));
    else
      reduce<kernel::Binary::maximum>(pointer<T>(x), d.outer, d.size, d.inner, pointer<T>(y));
  });
}

void cumsum(const Tensor& x, const Around& d, bool reverse, const Tensor& y) {
  dispatch_stored(x.dtype(), [&]<class T>() {
    if (d.inner == 1)
      launch("cumsum", run_row_kernel<T>, static_cast<unsigned>(d.outer), block_size, pointer<T>(x), d.size,
             reverse, pointer<T>(y));
    else
      for_each("cumsum", d.outer * d.inner, RunColumn<T>{pointer<T>(x), d.size, d.inner, reverse, pointer<T>(y)});
  });
}

void sum_squares(std::span<const Tensor> xs, const Tensor& y) {
  if (xs.empty()) return fill(0, y);
  constexpr int64_t most_blocks = 256;
  Tensor parts = scratch(static_cast<int64_t>(xs.size()) * most_blocks, DType::f64);
  int64_t at = 0;
  for (DType t : {DType::f32, DType::f64, DType::bf16})
    dispatch_stored(t, [&]<class T>() {
      Batch<T> batch{};
      size_t used = 0;
      int64_t longest = 0;
      auto flush = [&] {
        if (used == 0) return;
        dim3 grid(static_cast<unsigned>(std::clamp<int64_t>((longest + 4095) / 4096, 1, most_blocks)),
                  static_cast<unsigned>(used));
        launch("sum_squares", squares_kernel<T>, grid, block_size, batch, pointer<double>(parts) + at);
        at += int64_t{grid.x} * grid.y, used = 0, longest = 0;
      };
      for (const Tensor& x : xs) {
        if (x.dtype() != t) continue;
        batch.x[used] = pointer<T>(x), batch.count[used] = x.numel(), longest = std::max(longest, x.numel());
        if (++used == most) flush();
      }
      flush();
    });
  reduce<kernel::Binary::add>(pointer<double>(parts), 1, at, 1, pointer<double>(y));
}

bool all_finite(const Tensor& x) {
  if (x.numel() == 0) return true;
  Tensor products = scratch(x.numel(), x.dtype()), sum = scratch(1, x.dtype());
  dispatch_stored(x.dtype(), [&]<class T>() {
    for_each("all_finite", x.numel(), TimesZero<T>{pointer<T>(x), pointer<T>(products)});
    reduce<kernel::Binary::add>(pointer<T>(products), 1, x.numel(), 1, pointer<T>(sum));
  });
  return sum.item() == 0;
}

}  // namespace vapo::cuda
