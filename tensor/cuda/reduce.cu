// Reductions. The order of additions depends on shapes alone; sums run in double.

#include <algorithm>
#include <bit>
#include <vector>

#include "tensor/cuda/vectors.h"

namespace vapo::cuda {
namespace {

// op: add, or maximum, which is NaN if there is one. A thread takes `unroll` vectors at once, so that their loads overlap.
template <kernel::Binary op>
constexpr double start = op == kernel::Binary::add ? 0 : -INFINITY;
constexpr int unroll = 4;

// Elements [begin, end) of `count` in part `part` of `parts`, in whole vectors.
struct Part {
  int64_t begin, end;
  __device__ Part(int64_t count, int width) {
    int64_t size = ((count + gridDim.y - 1) / gridDim.y + width - 1) / width * width;
    begin = blockIdx.y * size, end = begin + size;
    begin = begin < count ? begin : count, end = end < count ? end : count;
  }
};

// (outer, count, inner) → (outer, parts, inner): one block for each (outer, tile of columns) and part. Its threads are
// rows × lanes, a lane for `width` neighbouring columns, and add up along the rows, then from row to row by halves.
template <class In, class Out, kernel::Binary op, int width>
__global__ void columns_kernel(const In* x, int64_t count, int64_t inner, int lanes, int tiles, Out* y) {
  __shared__ double shared[width][block_size];
  int me = static_cast<int>(threadIdx.x), lane = me % lanes, rows = block_size / lanes;
  int64_t outer = blockIdx.x / tiles, column = (blockIdx.x % tiles * lanes + lane) * int64_t{width};
  Part part(count, 1);
  double total[width];
  for (double& t : total) t = start<op>;
  if (column < inner) {
    const In* from = x + outer * count * inner + column;
    int64_t i = part.begin + me / lanes;
    auto add = [&](Pack<In, width> v) {  // a copy: one load
#pragma unroll
      for (int j = 0; j < width; ++j) total[j] = combine<op>(total[j], static_cast<double>(v.at[j]));
    };
    for (; i + (unroll - 1) * rows < part.end; i += unroll * rows) {
      Pack<In, width> v[unroll];
#pragma unroll
      for (int k = 0; k < unroll; ++k) v[k] = pack_at<width>(from + (i + k * rows) * inner);
#pragma unroll
      for (int k = 0; k < unroll; ++k) add(v[k]);
    }
    for (; i < part.end; i += rows) add(pack_at<width>(from + i * inner));
  }
#pragma unroll
  for (int j = 0; j < width; ++j) shared[j][me] = total[j];
  __syncthreads();
  for (int reach = block_size / 2; reach >= lanes; reach /= 2) {
    if (me < reach)
#pragma unroll
      for (int j = 0; j < width; ++j) shared[j][me] = combine<op>(shared[j][me], shared[j][me + reach]);
    __syncthreads();
  }
  if (me >= lanes || column >= inner) return;
#pragma unroll
  for (int j = 0; j < width; ++j)
    y[(outer * gridDim.y + blockIdx.y) * inner + column + j] = static_cast<Out>(shared[j][me]);
}
// The same where inner is 1: all threads of a block along the row.
template <class In, class Out, kernel::Binary op, int width>
__global__ void rows_kernel(const In* x, int64_t count, Out* y) {
  Part part(count, width);
  const In* row = x + blockIdx.x * count;
  double total = start<op>;
  for (int64_t i = part.begin + threadIdx.x * width; i < part.end; i += block_size * width) {
    Pack<In, width> v = pack_at<width>(row + i);
#pragma unroll
    for (int j = 0; j < width; ++j) total = combine<op>(total, static_cast<double>(v.at[j]));
  }
  total = over_block<op>(total);
  if (threadIdx.x == 0) y[int64_t{blockIdx.x} * gridDim.y + blockIdx.y] = static_cast<Out>(total);
}

int power_of_two(int64_t least) {
  return static_cast<int>(std::bit_ceil(static_cast<uint64_t>(std::clamp<int64_t>(least, 1, block_size))));
}

template <kernel::Binary op, int width, class In, class Out>
struct Pass {
  static constexpr int least_lanes = 128 / sizeof(Pack<In, width>);  // a line of memory
  int64_t outer, count, inner;
  int lanes, tiles;
  Pass(int64_t outer_, int64_t count_, int64_t inner_) : outer(outer_), count(count_), inner(inner_) {
    int64_t packs = inner / width;
    lanes = std::min(std::max(least_lanes, block_size / power_of_two(count)), power_of_two(packs));
    tiles = static_cast<int>((packs + lanes - 1) / lanes);
  }
  // So many that a Hopper GPU's multiprocessors have four blocks each, of some rounds each.
  int64_t parts() const {
    int64_t blocks = inner == 1 ? outer : outer * tiles,
            round = inner == 1 ? block_size * width : block_size / lanes;
    return std::clamp<int64_t>(132 * 4 / blocks, 1, std::max<int64_t>(count / (16 * round), 1));
  }
  void run(const In* x, int64_t parts, Out* y) const {
    auto size = [](int64_t n) { return static_cast<unsigned>(n); };
    if (inner == 1)
      launch("reduce", rows_kernel<In, Out, op, width>, dim3(size(outer), size(parts)), block_size, x, count, y);
    else
      launch("reduce", columns_kernel<In, Out, op, width>, dim3(size(outer * tiles), size(parts)), block_size, x,
             count, inner, lanes, tiles, y);
  }
};
template <kernel::Binary op, int width, class In, class Out>
void reduce_in(const In* x, int64_t outer, int64_t count, int64_t inner, Out* y);

template <kernel::Binary op, class In, class Out>
void reduce(const In* x, int64_t outer, int64_t count, int64_t inner, Out* y) {
  constexpr int width = vector_width<In>;
  (inner == 1 ? count : inner) % width == 0 ? reduce_in<op, width>(x, outer, count, inner, y)
                                            : reduce_in<op, 1>(x, outer, count, inner, y);
}
template <kernel::Binary op, int width, class In, class Out>
void reduce_in(const In* x, int64_t outer, int64_t count, int64_t inner, Out* y) {
  Pass<op, width, In, Out> whole(outer, count, inner);
  int64_t parts = whole.parts();
  if (parts == 1) return whole.run(x, 1, y);
  Tensor partial = scratch(outer * parts * inner, DType::f64);
  Pass<op, width, In, double>(outer, count, inner).run(x, parts, pointer<double>(partial));
  reduce<op>(pointer<double>(partial), outer, parts, inner, y);
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
  auto add = [&](T x) {
    double v = static_cast<double>(x);
    total += v * v;
  };
  int64_t n = batch.count[blockIdx.y], vectors = n / vector_width<T>;
  stride_over(vectors, [&](int64_t i) {
    Vector<T> v = pack_at<vector_width<T>>(x + i * vector_width<T>);
#pragma unroll
    for (T element : v.at) add(element);
  });
  stride_over(n % vector_width<T>, [&](int64_t i) { add(x[vectors * vector_width<T> + i]); });
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
