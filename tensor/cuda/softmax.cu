// Softmax and its vjp: one block a row.

#include "tensor/cuda/context.h"

namespace vapo::cuda {
namespace {

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
    launch("softmax", softmax_kernel<T>, static_cast<unsigned>(count), block_size, pointer<T>(x), n, pointer<T>(y));
  });
}
void softmax_vjp(const Tensor& y, const Tensor& g, int64_t count, int64_t n, const Tensor& dx) {
  if (count == 0) return;
  dispatch_stored(y.dtype(), [&]<class T>() {
    launch("softmax_vjp", softmax_vjp_kernel<T>, static_cast<unsigned>(count), block_size, pointer<T>(y),
           pointer<T>(g), n, pointer<T>(dx));
  });
}

}  // namespace vapo::cuda
