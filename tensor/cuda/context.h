#pragma once
// What every file of this back end stands on: the stream, the libraries' handles, checked calls, launches.

#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cudnn.h>

#include "tensor/backend.h"
#include "tensor/binary_functions.h"
#include "tensor/step_graph.h"

namespace vapo::cuda {

// Throw, naming the call and what the library says of it.
void check(cudaError_t status, const char* call);
void check(cublasStatus_t status, const char* call);
void check(cudnnStatus_t status, const char* call);
#define VAPO_CUDA(call) ::vapo::cuda::check(call, #call)

cudaStream_t stream();  // the one stream of the process; the first use opens the device
cublasHandle_t cublas();
cudnnHandle_t cudnn();

const StepScalars* step_scalars();              // on the device; null unless a step is being recorded
void refuse_while_recording(const char* what);  // throws where it would read a result of a step that does not run
// Memory of a step that is being recorded; nullptr and false where there is none, or the block is not of it.
void* allocate_recorded(size_t bytes);
bool deallocate_recorded(void* p);
void release_spare_blocks();  // of recorded steps that are gone
void release_unused();        // gives freed memory back to the device

// Where the device finds the elements of x: a kernel that was handed a tensor on the CPU would end the program.
inline void* address(const Tensor& x) {
  VAPO_CHECK(x.device() == Device::cuda, "[cuda] an operand {} {} is on the CPU. Hint: move it with to()",
             name_of(x.dtype()), x.shape().str());
  return x.raw();
}
template <class T>
T* pointer(const Tensor& x) {
  return static_cast<T*>(address(x));
}
template <class T>
T* pointer_or_null(const Tensor& x) {
  return x.defined() ? pointer<T>(x) : nullptr;
}
// dispatch_floating, with bf16 among the types.
template <class F>
void dispatch_stored(DType t, const F& f) {
  t == DType::bf16 ? f.template operator()<BFloat16>() : dispatch_floating(t, f);
}
inline Tensor scratch(int64_t count, DType dtype) { return Tensor::empty({count}, {dtype, Device::cuda}); }

inline constexpr int block_size = 256;

#ifdef __CUDACC__
// Starts kernel(arguments…) on the stream, with `shared_bytes` of dynamic shared memory, and throws, naming `op`,
// where that fails.
template <class... Parameters, class... Arguments>
void launch_with_shared(const char* op, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                        const Arguments&... arguments) {
  if (shared_bytes > (48 << 10))  // what a kernel gets without asking
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
          op);
#ifdef VAPO_EMULATED_CUDA  // tests/cuda runs the kernels on the CPU
  (emulated::expect_no_host_addresses(arguments, op), ...);
  emulated_launch(op, kernel, grid, block, shared_bytes, [=] { kernel(arguments...); });
#else
  // clang-format off
  kernel<<<grid, block, shared_bytes, stream()>>>(arguments...);
  // clang-format on
#endif
  check(cudaGetLastError(), op);
}
template <class... Parameters, class... Arguments>
void launch(const char* op, void (*kernel)(Parameters...), dim3 grid, dim3 block, const Arguments&... arguments) {
  launch_with_shared(op, kernel, grid, block, 0, arguments...);
}
__device__ inline unsigned char* dynamic_shared() {  // aligned for 16 bytes
#ifdef VAPO_EMULATED_CUDA
  return emulated::dynamic_shared;
#else
  extern __shared__ __align__(16) unsigned char memory[];
  return memory;
#endif
}

// Blocks for n elements: enough for every multiprocessor of a Hopper GPU, the rest by strides.
inline dim3 blocks_for(int64_t n) {
  constexpr int64_t most = 132 * 32;
  int64_t blocks = (n + block_size - 1) / block_size;
  return dim3(static_cast<unsigned>(blocks < 1 ? 1 : blocks < most ? blocks : most));
}

// f(i) for this thread's share of [0, n), when all threads along the grid's x take part.
template <class F>
__device__ void stride_over(int64_t n, const F& f) {
  int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) f(i);
}
template <class F>
__global__ void for_each_kernel(int64_t n, F f) {
  stride_over(n, f);
}
// f(i) for i in [0, n), f a device function object.
template <class F>
void for_each(const char* op, int64_t n, const F& f) {
  if (n > 0) launch(op, for_each_kernel<F>, blocks_for(n), block_size, n, f);
}

// Neighbouring values that are read or written at once.
template <class T, int vec>
struct alignas(sizeof(T) * vec) Pack {
  T at[vec];
};

// Every thread's x combined over a block of `block_size` threads, in every thread of it.
template <kernel::Binary op, class T>
__device__ T over_block(T x) {
  __shared__ T parts[32];
  for (int offset = 16; offset > 0; offset /= 2) x = combine<op>(x, __shfl_down_sync(0xffffffffu, x, offset));
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  T total = parts[0];
  for (int i = 1; i < static_cast<int>(blockDim.x) / 32; ++i) total = combine<op>(total, parts[i]);
  return total;
}
template <class T>
__device__ T block_sum(T x) {
  return over_block<kernel::Binary::add>(x);
}
#endif

}  // namespace vapo::cuda
