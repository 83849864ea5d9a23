// Softmax, its vjp and the vjp of that: one warp a row, which it holds in registers, or one block where a row is longer.

#include "tensor/cuda/vectors.h"

namespace vapo::cuda {
namespace {

constexpr int64_t longest_held = 1024;
template <kernel::Binary op, class C>
__device__ C over_warp(C x) {
  for (int reach = 16; reach > 0; reach /= 2) x = combine<op>(x, __shfl_xor_sync(0xffffffffu, x, reach));
  return x;
}
// A warp's row of n elements, times `scale`: lane l holds packs l, l + 32, …, and `beyond` where the row has ended.
template <class T, int width, int packs>
struct HeldRow {
  using C = Compute<T>;
  C at[packs * width];
  __device__ static int64_t first(int k) { return (threadIdx.x % 32 + k * 32) * width; }
  __device__ HeldRow(const T* row, int64_t n, C beyond, C scale = 1) {
#pragma unroll
    for (int k = 0; k < packs; ++k) {
      bool inside = first(k) < n;
      Pack<T, width> v = {};
      if (inside) v = pack_at<width>(row + first(k));
#pragma unroll
      for (int j = 0; j < width; ++j) at[k * width + j] = inside ? C(v.at[j]) * scale : beyond;
    }
  }
  // Plus the row `add`, unless that is null.
  __device__ void store(T* row, int64_t n, const T* add = nullptr) const {
#pragma unroll
    for (int k = 0; k < packs; ++k) {
      if (first(k) >= n) continue;
      Pack<T, width> v = {};
      if (add) v = pack_at<width>(add + first(k));
#pragma unroll
      for (int j = 0; j < width; ++j) {
        C x = at[k * width + j];
        v.at[j] = static_cast<T>(add ? x + C(v.at[j]) : x);
      }
      pack_at<width>(row + first(k)) = v;
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
__global__ void softmax_held_kernel(const T* x, int64_t count, int64_t size, Compute<T> scale, T* y) {
  using enum kernel::Binary;
  using C = Compute<T>;
  OwnRow own(count, size);
  HeldRow<T, width, packs> row(x + own.at, own.n, -INFINITY, scale);
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
__global__ void softmax_vjp_held_kernel(const T* y, const T* g, int64_t count, int64_t size, Compute<T> scale,
                                        T* dx) {
  using C = Compute<T>;
  OwnRow own(count, size);
  HeldRow<T, width, packs> out(y + own.at, own.n, 0), row(g + own.at, own.n, 0);
  C inner = 0;
#pragma unroll
  for (int i = 0; i < width * packs; ++i) inner += out.at[i] * row.at[i];
  inner = over_warp<kernel::Binary::add>(inner);
#pragma unroll
  for (int i = 0; i < width * packs; ++i) row.at[i] = scale * out.at[i] * (row.at[i] - inner);
  row.store(dx + own.at, own.n);
}
// What an element of the second derivative's results becomes, `yg` and `yu` being the row's inner products.
template <class C>
struct Second {
  C scale, yg, yu;
  __device__ C dy(C g, C u) const { return scale * (u * (g - yg) - g * yu); }
  __device__ C dg(C y, C u) const { return scale * y * (u - yu); }
};
template <class T>
struct SecondOperands {
  const T *y, *g, *u, *add_dy, *add_dg;  // the addends may be null
  T *dy, *dg;
};
template <class T, int width, int packs>
__global__ void softmax_vjp2_held_kernel(SecondOperands<T> o, int64_t count, int64_t size, Compute<T> scale) {
  using C = Compute<T>;
  OwnRow own(count, size);
  HeldRow<T, width, packs> y(o.y + own.at, own.n, 0), g(o.g + own.at, own.n, 0), u(o.u + own.at, own.n, 0);
  Second<C> second{scale, 0, 0};
#pragma unroll
  for (int i = 0; i < width * packs; ++i) second.yg += y.at[i] * g.at[i], second.yu += y.at[i] * u.at[i];
  second.yg = over_warp<kernel::Binary::add>(second.yg), second.yu = over_warp<kernel::Binary::add>(second.yu);
#pragma unroll
  for (int i = 0; i < width * packs; ++i) {
    g.at[i] = second.dy(g.at[i], u.at[i]);
    y.at[i] = second.dg(y.at[i], u.at[i]);
  }
  g.store(o.dy + own.at, own.n, o.add_dy ? o.add_dy + own.at : nullptr);
  y.store(o.dg + own.at, own.n, o.add_dg ? o.add_dg + own.at : nullptr);
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
__global__ void softmax_kernel(const T* x, int64_t n, Compute<T> scale, T* y) {
  using enum kernel::Binary;
  using C = Compute<T>;
  const T* in = x + blockIdx.x * n;
  C top = -INFINITY, total = 0;
  for (int64_t i = threadIdx.x; i < n; i += block_size) top = combine<maximum>(top, C(in[i]) * scale);
  top = over_block<maximum>(top);
  for (int64_t i = threadIdx.x; i < n; i += block_size) total += exp(C(in[i]) * scale - top);
  total = block_sum(total);
  for (int64_t i = threadIdx.x; i < n; i += block_size)
    y[blockIdx.x * n + i] = static_cast<T>(exp(C(in[i]) * scale - top) / total);
}
template <class T>
__global__ void softmax_vjp_kernel(const T* y, const T* g, int64_t n, Compute<T> scale, T* dx) {
  const T *out = y + blockIdx.x * n, *cotangent = g + blockIdx.x * n;
  Compute<T> inner = 0;
  for (int64_t i = threadIdx.x; i < n; i += block_size) inner += out[i] * cotangent[i];
  inner = block_sum(inner);
  for (int64_t i = threadIdx.x; i < n; i += block_size)
    dx[blockIdx.x * n + i] = static_cast<T>(scale * out[i] * (cotangent[i] - inner));
}
template <class T>
__global__ void softmax_vjp2_kernel(SecondOperands<T> o, int64_t n, Compute<T> scale) {
  using C = Compute<T>;
  int64_t begin = blockIdx.x * n, end = begin + n;
  Second<C> second{scale, 0, 0};
  for (int64_t i = begin + threadIdx.x; i < end; i += block_size)
    second.yg += C(o.y[i]) * C(o.g[i]), second.yu += C(o.y[i]) * C(o.u[i]);
  second.yg = block_sum(second.yg), second.yu = block_sum(second.yu);
  for (int64_t i = begin + threadIdx.x; i < end; i += block_size) {
    C dy = second.dy(o.g[i], o.u[i]), dg = second.dg(o.y[i], o.u[i]);
    o.dy[i] = static_cast<T>(o.add_dy ? dy + C(o.add_dy[i]) : dy);
    o.dg[i] = static_cast<T>(o.add_dg ? dg + C(o.add_dg[i]) : dg);
  }
}

}  // namespace

void softmax(const SoftmaxSize& s, const Tensor& x, const Tensor& y) {
  if (s.rows == 0) return;
  dispatch_stored(x.dtype(), [&]<class T>() {
    auto scale = static_cast<Compute<T>>(s.scale);
    if (s.n <= longest_held)
      return with_row<T>(s.n, [&]<int width, int packs>() {
        launch("softmax", softmax_held_kernel<T, width, packs>, blocks_of_rows(s.rows), block_size, pointer<T>(x),
               s.rows, s.n, scale, pointer<T>(y));
      });
    launch("softmax", softmax_kernel<T>, static_cast<unsigned>(s.rows), block_size, pointer<T>(x), s.n, scale,
           pointer<T>(y));
  });
}
void softmax_vjp(const SoftmaxSize& s, const Tensor& y, const Tensor& g, const Tensor& dx) {
  if (s.rows == 0) return;
  dispatch_stored(y.dtype(), [&]<class T>() {
    auto scale = static_cast<Compute<T>>(s.scale);
    if (s.n <= longest_held)
      return with_row<T>(s.n, [&]<int width, int packs>() {
        launch("softmax_vjp", softmax_vjp_held_kernel<T, width, packs>, blocks_of_rows(s.rows), block_size,
               pointer<T>(y), pointer<T>(g), s.rows, s.n, scale, pointer<T>(dx));
      });
    launch("softmax_vjp", softmax_vjp_kernel<T>, static_cast<unsigned>(s.rows), block_size, pointer<T>(y),
           pointer<T>(g), s.n, scale, pointer<T>(dx));
  });
}
void softmax_vjp2(const SoftmaxSize& s, const Tensor& y, const Tensor& g, const Tensor& u,
                  const kernel::SoftmaxGrads2& add, const kernel::SoftmaxGrads2& grads) {
  if (s.rows == 0) return;
  dispatch_stored(y.dtype(), [&]<class T>() {
    auto scale = static_cast<Compute<T>>(s.scale);
    SecondOperands<T> o{pointer<T>(y),
                        pointer<T>(g),
                        pointer<T>(u),
                        pointer_or_null<T>(add.dy),
                        pointer_or_null<T>(add.dg),
                        pointer<T>(grads.dy),
                        pointer<T>(grads.dg)};
    if (s.n <= longest_held)
      return with_row<T>(s.n, [&]<int width, int packs>() {
        launch("softmax_vjp2", softmax_vjp2_held_kernel<T, width, packs>, blocks_of_rows(s.rows), block_size, o,
               s.rows, s.n, scale);
      });
    launch("softmax_vjp2", softmax_vjp2_kernel<T>, static_cast<unsigned>(s.rows), block_size, o, s.n, scale);
  });
}

}  // namespace vapo::cuda
