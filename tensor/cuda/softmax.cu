// Softmax and its vjp: one warp a row, which it holds in registers, or one block where a row is longer.

#include "tensor/cuda/vectors.h"

namespace vapo::cuda {
namespace {

constexpr int64_t longest_held = 1024;
template <kernel::Binary op, class C>
__device__ C over_warp(C x) {
  for (int reach = 16; reach > 0; reach /= 2) x = combine<op>(x, __shfl_xor_sync(0xffffffffu, x, reach));
  return x;
}
// A warp's row of n elements: lane l holds packs l, l + 32, …, and `beyond` where the row has ended.
template <class T, int width, int packs>
struct HeldRow {
  using C = Compute<T>;
  C at[packs * width];
  __device__ static int64_t first(int k) { return (threadIdx.x % 32 + k * 32) * width; }
  __device__ HeldRow(const T* row, int64_t n, C beyond) {
#pragma unroll
    for (int k = 0; k < packs; ++k) {
      bool inside = first(k) < n;
      Pack<T, width> v = {};
      if (inside) v = pack_at<width>(row + first(k));
#pragma unroll
      for (int j = 0; j < width; ++j) at[k * width + j] = inside ? C(v.at[j]) : beyond;
    }
  }
  __device__ void store(T* row, int64_t n) const {
#pragma unroll
    for (int k = 0; k < packs; ++k) {
      Pack<T, width> v;
#pragma unroll
      for (int j = 0; j < width; ++j) v.at[j] = static_cast<T>(at[k * width + j]);
      if (first(k) < n) pack_at<width>(row + first(k)) = v;
    }
  }
};
// The row of this thread's warp; after the last row it does as if it had no elements, as all lanes meet the shuffles.
struct OwnRow {
  int64_t at, n;
  __device__ OwnRow(int64_t count, int64_t size) {
    int64_t row = int64_t{blockIdx.x} * (block_size / 32) + threadIdx.x / 32;
    at = row * size, n = row < count ? size : 0;
  }
};
template <class T, int width, int packs>
__global__ void softmax_held_kernel(const T* x, int64_t count, int64_t size, T* y) {
  using enum kernel::Binary;
  using C = Compute<T>;
  OwnRow own(count, size);
  HeldRow<T, width, packs> row(x + own.at, own.n, -INFINITY);
  C top = -INFINITY, total = 0;
#pragma unroll
  for (C v : row.at) top = combine<maximum>(top, v);
  top = over_warp<maximum>(top);
#pragma unroll
  for (C& v : row.at) total += v = exp(v - top);
  total = over_warp<add>(total);
#pragma unroll
  for (C& v : row.at) v /= total;
  row.store(y + own.at, own.n);
}
template <class T, int width, int packs>
__global__ void softmax_vjp_held_kernel(const T* y, const T* g, int64_t count, int64_t size, T* dx) {
  using C = Compute<T>;
  OwnRow own(count, size);
  HeldRow<T, width, packs> out(y + own.at, own.n, 0), row(g + own.at, own.n, 0);
  C inner = 0;
#pragma unroll
  for (int i = 0; i < width * packs; ++i) inner += out.at[i] * row.at[i];
  inner = over_warp<kernel::Binary::add>(inner);
#pragma unroll
  for (int i = 0; i < width * packs; ++i) row.at[i] = out.at[i] * (row.at[i] - inner);
  row.store(dx + own.at, own.n);
}
// f<width, packs>() for rows of n ≤ longest_held.
template <class T, class F>
void with_row(int64_t n, const F& f) {
  auto of_width = [&]<int width>() {
    n <= 256 ? f.template operator()<width, 8 / width>() : f.template operator()<width, 32 / width>();
  };
  n % vector_width<T> == 0 ? of_width.template operator()<vector_width<T>>() : of_width.template operator()<1>();
}
inline unsigned blocks_of_rows(int64_t count) {
  return static_cast<unsigned>((count + block_size / 32 - 1) / (block_size / 32));
}

template <class T>
__global__ void softmax_kernel(const T* x, int64_t n, T* y) {
  using enum kernel::Binary;
  using C = Compute<T>;
  const T* in = x + blockIdx.x * n;
  C top = -INFINITY, total = 0;
  for (int64_t i = threadIdx.x; i < n; i += block_size) top = combine<maximum>(top, C(in[i]));
  top = over_block<maximum>(top);
  for (int64_t i = threadIdx.x; i < n; i += block_size) total += exp(C(in[i]) - top);
  total = block_sum(total);
  for (int64_t i = threadIdx.x; i < n; i += block_size)
    y[blockIdx.x * n + i] = static_cast<T>(exp(C(in[i]) - top) / total);
}
template <class T>
__global__ void softmax_vjp_kernel(const T* y, const T* g, int64_t n, T* dx) {
  const T *out = y + blockIdx.x * n, *cotangent = g + blockIdx.x * n;
  Compute<T> inner = 0;
  for (int64_t i = threadIdx.x; i < n; i += block_size) inner += out[i] * cotangent[i];
  inner = block_sum(inner);
  for (int64_t i = threadIdx.x; i < n; i += block_size)
    dx[blockIdx.x * n + i] = static_cast<T>(out[i] * (cotangent[i] - inner));
}

}  // namespace

void softmax(const Tensor& x, int64_t count, int64_t n, const Tensor& y) {
  if (count == 0) return;
  dispatch_stored(x.dtype(), [&]<class T>() {
    if (n <= longest_held)
      return with_row<T>(n, [&]<int width, int packs>() {
        launch("softmax", softmax_held_kernel<T, width, packs>, blocks_of_rows(count), block_size, pointer<T>(x),
               count, n, pointer<T>(y));
      });
    launch("softmax", softmax_kernel<T>, static_cast<unsigned>(count), block_size, pointer<T>(x), n, pointer<T>(y));
  });
}
void softmax_vjp(const Tensor& y, const Tensor& g, int64_t count, int64_t n, const Tensor& dx) {
  if (count == 0) return;
  dispatch_stored(y.dtype(), [&]<class T>() {
    if (n <= longest_held)
      return with_row<T>(n, [&]<int width, int packs>() {
        launch("softmax_vjp", softmax_vjp_held_kernel<T, width, packs>, blocks_of_rows(count), block_size,
               pointer<T>(y), pointer<T>(g), count, n, pointer<T>(dx));
      });
    launch("softmax_vjp", softmax_vjp_kernel<T>, static_cast<unsigned>(count), block_size, pointer<T>(y),
           pointer<T>(g), n, pointer<T>(dx));
  });
}

}  // namespace vapo::cuda
