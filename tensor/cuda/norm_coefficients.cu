// A norm's coefficients of each sample, and their vjp: small tensors, of which a network has many, so that what counts is
// the number of launches and how long the slowest thread waits for memory.

#include <algorithm>

#include "tensor/cuda/context.h"

namespace vapo::cuda {
namespace {

// A thread has a channel, of every gridDim.y-th sample.
template <class T>
__global__ void coefficients_kernel(const T* w, const T* b, const T* e, T one, int64_t n, int64_t channels, T* a,
                                    T* s) {
  int64_t c = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  for (int64_t i = blockIdx.y; i < n; i += gridDim.y) {
    T factor = e ? one + e[2 * i * channels + c] : one;
    a[i * channels + c] = w[c] * factor;
    s[i * channels + c] = e ? b[c] * factor + e[(2 * i + 1) * channels + c] : b[c] * factor;
  }
}

// A block has `lanes` channels, a sector of memory, of all samples. Its threads are rows × lanes: they add up along
// the samples, then from row to row by halves.
constexpr int lanes = 8, rows = block_size / lanes;
template <class T>
__global__ void coefficients_vjp_kernel(const T* __restrict__ w, const T* __restrict__ b, const T* __restrict__ e,
                                        const T* __restrict__ da, const T* __restrict__ ds, T one, int64_t n,
                                        int64_t channels, T* __restrict__ dw, T* __restrict__ db,
                                        T* __restrict__ de) {
  __shared__ double sums[2][block_size];
  int me = static_cast<int>(threadIdx.x);
  int64_t c = int64_t{blockIdx.x} * lanes + me % lanes;
  double to_w = 0, to_b = 0;
  if (c < channels) {
    T wc = w[c], bc = b[c];
#pragma unroll 4
    for (int64_t i = me / lanes; i < n; i += rows) {
      T a = da ? da[i * channels + c] : T(0), s = ds ? ds[i * channels + c] : T(0);
      double factor = static_cast<double>(e ? one + e[2 * i * channels + c] : one);
      if (da) to_w += static_cast<double>(a) * factor;
      if (ds) to_b += static_cast<double>(s) * factor;
      if (de) {
        de[2 * i * channels + c] = (da ? a * wc : T(0)) + (ds ? s * bc : T(0));
        de[(2 * i + 1) * channels + c] = s;
      }
    }
  }
  if (!dw) return;
  sums[0][me] = to_w, sums[1][me] = to_b;
  __syncthreads();
  for (int reach = block_size / 2; reach >= lanes; reach /= 2) {
    if (me < reach) sums[0][me] += sums[0][me + reach], sums[1][me] += sums[1][me + reach];
    __syncthreads();
  }
  if (me < lanes && c < channels) dw[c] = static_cast<T>(sums[0][me]), db[c] = static_cast<T>(sums[1][me]);
}

unsigned blocks_of(int64_t n, int64_t size) { return static_cast<unsigned>((n + size - 1) / size); }

}  // namespace

void norm_coefficients(const Tensor& w, const Tensor& b, const Tensor& e, double one,
                       const kernel::NormCoefficients& out) {
  int64_t n = out.a.dim(0), channels = w.dim(0);
  dispatch_floating(w.dtype(), [&]<class T>() {
    dim3 grid(blocks_of(channels, block_size), static_cast<unsigned>(std::min<int64_t>(n, 1024)));
    launch("norm_coefficients", coefficients_kernel<T>, grid, block_size, pointer<T>(w), pointer<T>(b),
           pointer_or_null<T>(e), static_cast<T>(one), n, channels, pointer<T>(out.a), pointer<T>(out.s));
  });
}

void norm_coefficients_vjp(const Tensor& w, const Tensor& b, const Tensor& e, const Tensor& da, const Tensor& ds,
                           double one, const kernel::CoefficientGrads& out) {
  int64_t n = (da.defined() ? da : ds).dim(0), channels = w.dim(0);
  dispatch_floating(w.dtype(), [&]<class T>() {
    launch("norm_coefficients_vjp", coefficients_vjp_kernel<T>, blocks_of(channels, lanes), block_size,
           pointer<T>(w), pointer<T>(b), pointer_or_null<T>(e), pointer_or_null<T>(da), pointer_or_null<T>(ds),
           static_cast<T>(one), n, channels, pointer_or_null<T>(out.dw), pointer_or_null<T>(out.db),
           pointer_or_null<T>(out.de));
  });
}

}  // namespace vapo::cuda
