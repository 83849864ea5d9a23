#pragma once
// A stand-in for the CUDA runtime that runs kernels on the CPU, so that their arithmetic, indexing and barriers are
// tested where there is no GPU. A launch runs its threads one after the other; the first barrier it meets starts it
// again with a thread of its own for each. Device memory is filled with NaN when it is handed out.

#define __CUDACC__ 1
#define __global__
#define __device__
#define __host__
#define __shared__ static

#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

using std::cos, std::exp, std::log, std::nextafter, std::sin, std::sqrt;

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  unsigned count() const { return x * y * z; }
  dim3 at(unsigned i) const { return {i % x, i / x % y, i / x / y}; }
};
inline thread_local dim3 threadIdx, blockIdx;
inline dim3 gridDim, blockDim;

namespace emulated {
struct MeetsBarrier {};
inline std::barrier<>* barrier = nullptr;  // null: threads run one after the other
inline double lanes[2048];
}  // namespace emulated

inline void __syncthreads() {
  if (!emulated::barrier) throw emulated::MeetsBarrier();
  emulated::barrier->arrive_and_wait();
}
template <class T>
T __shfl_down_sync(unsigned, T x, int offset) {
  int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  __syncthreads();
  emulated::lanes[thread] = static_cast<double>(x);
  __syncthreads();
  return thread % 32 + offset < 32 ? static_cast<T>(emulated::lanes[thread + offset]) : x;
}

// What a captured stream would run; null: work runs at once.
struct EmulatedGraph {
  std::vector<std::function<void()>> work;
};
namespace emulated {
inline EmulatedGraph* captured = nullptr;
inline void submit(std::function<void()> work) { captured ? captured->work.push_back(std::move(work)) : work(); }
}  // namespace emulated

template <class F>
void run_kernel(dim3 grid, dim3 block, const F& kernel) {
  gridDim = grid, blockDim = block;
  try {
    for (unsigned b = 0; b < grid.count(); ++b)
      for (unsigned t = 0; t < block.count(); ++t) {
        blockIdx = grid.at(b), threadIdx = block.at(t);
        kernel();
      }
    return;
  } catch (const emulated::MeetsBarrier&) {  // at the first thread's first barrier: nothing has been written yet
  }
  std::barrier<> inside(block.count()), after(block.count());
  emulated::barrier = &inside;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < block.count(); ++t)
    threads.emplace_back([&, t] {
      threadIdx = block.at(t);
      for (unsigned b = 0; b < grid.count(); ++b) {
        blockIdx = grid.at(b);
        kernel();
        after.arrive_and_wait();
      }
    });
  for (std::thread& t : threads) t.join();
  emulated::barrier = nullptr;
}

enum cudaError_t { cudaSuccess = 0, cudaErrorMemoryAllocation = 2, cudaErrorInvalidConfiguration = 9 };
namespace emulated {
inline cudaError_t last_error = cudaSuccess;
}

template <class F>
void emulated_launch(dim3 grid, dim3 block, const F& kernel) {
  bool possible = grid.x >= 1 && grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 &&
                  grid.z <= 65535 && block.count() >= 1 && block.count() <= 1024;
  if (!possible) {
    emulated::last_error = cudaErrorInvalidConfiguration;
    return;
  }
  emulated::submit([=] { run_kernel(grid, block, kernel); });
}

enum cudaMemcpyKind { cudaMemcpyDefault, cudaMemcpyDeviceToDevice };
enum { cudaStreamNonBlocking, cudaMemPoolAttrReleaseThreshold, cudaMemPoolAttrReservedMemCurrent };
using cudaStream_t = void*;
using cudaMemPool_t = void*;
struct cudaDeviceProp {
  char name[256];
};

inline cudaError_t cudaGetLastError() { return std::exchange(emulated::last_error, cudaSuccess); }
inline const char* cudaGetErrorString(cudaError_t e) {
  return e == cudaErrorInvalidConfiguration ? "invalid configuration argument" : "emulated";
}
inline const char* cudaGetErrorName(cudaError_t) { return "emulated"; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  return std::strcpy(p->name, "emulated"), cudaSuccess;
}
inline cudaError_t cudaDriverGetVersion(int* v) { return *v = 0, cudaSuccess; }
inline cudaError_t cudaRuntimeGetVersion(int* v) { return *v = 0, cudaSuccess; }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t*, unsigned) { return cudaSuccess; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t*, int) { return cudaSuccess; }
inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, int, void*) { return cudaSuccess; }
inline cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, int, void*) { return cudaSuccess; }
inline cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
inline cudaError_t cudaMemGetInfo(size_t* left, size_t* total) {
  return *left = *total = size_t{1} << 30, cudaSuccess;
}
inline cudaError_t cudaMallocAsync(void** p, size_t bytes, cudaStream_t) {
  *p = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  if (!*p) return cudaErrorMemoryAllocation;
  std::memset(*p, 0xff, bytes);
  return cudaSuccess;
}
inline cudaError_t cudaFreeAsync(void* p, cudaStream_t) { return std::free(p), cudaSuccess; }
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  emulated::submit([=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                                     size_t height, cudaMemcpyKind, cudaStream_t) {
  if (to_pitch < width || from_pitch < width) std::abort();  // what the runtime refuses
  emulated::submit([=] {
    for (size_t i = 0; i < height; ++i)
      std::memcpy(static_cast<char*>(to) + i * to_pitch, static_cast<const char*>(from) + i * from_pitch, width);
  });
  return cudaSuccess;
}

using cudaGraph_t = EmulatedGraph*;
using cudaGraphExec_t = EmulatedGraph*;
enum { cudaStreamCaptureModeRelaxed };
inline cudaError_t cudaMalloc(void** p, size_t bytes) { return cudaMallocAsync(p, bytes, nullptr); }
inline cudaError_t cudaFree(void* p) { return std::free(p), cudaSuccess; }
inline cudaError_t cudaStreamBeginCapture(cudaStream_t, int) {
  return emulated::captured = new EmulatedGraph, cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  return *graph = std::exchange(emulated::captured, nullptr), cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t* out, cudaGraph_t graph, unsigned) {
  return *out = new EmulatedGraph(*graph), cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return delete graph, cudaSuccess; }
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) { return delete graph, cudaSuccess; }
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t) {
  for (const auto& work : graph->work) work();
  return cudaSuccess;
}
