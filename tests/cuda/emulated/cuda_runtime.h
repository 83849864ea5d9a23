#pragma once
// A stand-in for the CUDA runtime that runs kernels on the CPU, so that their arithmetic, indexing and barriers are
// tested where there is no GPU. A launch whose first thread meets a barrier runs the threads of a block as fibers
// (fibers.h), others run them one after the other. Device memory is filled with NaN when it is handed out, and what
// the CPU may touch and what the device may are kept apart (device_memory.h).

#define __CUDACC__ 1
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "device_memory.h"
#include "fibers.h"

using std::cos, std::exp, std::log, std::nextafter, std::sin, std::sqrt;

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
  unsigned count() const { return x * y * z; }
  dim3 at(unsigned i) const { return {i % x, i / x % y, i / x / y}; }
};
inline dim3 threadIdx, blockIdx, gridDim, blockDim;

namespace emulated {
inline Fibers* fibers = nullptr;  // null: threads run one after the other
inline double lanes[2048];
inline unsigned char* dynamic_shared = nullptr;  // of the block that runs

inline void pass_on() {  // to the next thread
  fibers->yield();
  threadIdx = blockDim.at(fibers->current());
}
}  // namespace emulated

inline void __syncthreads() {
  if (!emulated::fibers) emulated::give_up("a thread meets a barrier that the first one did not");
  emulated::fibers->barrier();
  emulated::pass_on();
}
// What thread `from` of the warp has, of which each is given its own number among the block's threads.
template <class T, class From>
T emulated_shuffle(T x, const From& from) {
  int thread = static_cast<int>(threadIdx.y * blockDim.x + threadIdx.x);
  __syncthreads();
  emulated::lanes[thread] = static_cast<double>(x);
  __syncthreads();
  int other = from(thread);
  return other / 32 == thread / 32 ? static_cast<T>(emulated::lanes[other]) : x;
}
template <class T>
T __shfl_down_sync(unsigned, T x, int offset) {
  return emulated_shuffle(x, [=](int thread) { return thread + offset; });
}
template <class T>
T __shfl_xor_sync(unsigned, T x, int mask) {
  return emulated_shuffle(x, [=](int thread) { return thread ^ mask; });
}

// What a captured stream would run; null: work runs at once.
struct EmulatedGraph {
  std::vector<std::function<void()>> work;
};
namespace emulated {
inline EmulatedGraph* captured = nullptr;
inline void run(const std::function<void()>& work) {
  DeviceMemory::Open open(device_memory());
  work();
}
// `work`, or what writes that it would have been run.
inline std::function<void()> work_of(const char* name, std::function<void()> work) {
  KernelTrace* trace = KernelTrace::active();
  return trace ? trace->line(name) : work;
}
inline void submit(std::function<void()> work) { captured ? captured->work.push_back(std::move(work)) : run(work); }

// Work of the first stream is run as it comes. That of another waits until the first stream waits for it, or the CPU does:
// who reads its results earlier finds them missing.
struct Stream {
  bool first;
  std::vector<std::function<void()>> waiting = {};
};
inline void submit(Stream* stream, std::function<void()> work) {
  if (!stream || stream->first) return submit(std::move(work));
  stream->waiting.push_back(std::move(work));
}
inline void flush(Stream* stream) {
  if (!stream) return;
  for (auto& work : std::exchange(stream->waiting, {})) submit(std::move(work));
}
}  // namespace emulated

template <class F>
void run_kernel(dim3 grid, dim3 block, size_t shared_bytes, const F& kernel) {
  gridDim = grid, blockDim = block;
  auto shared = std::make_unique<unsigned char[]>(shared_bytes);
  auto start_block = [&](unsigned b) {
    blockIdx = grid.at(b);
    std::memset(shared.get(), 0xff, shared_bytes);
  };
  emulated::dynamic_shared = shared.get();
  unsigned threads = block.count();
  uint64_t started = 0, ended = 0;
  emulated::Fibers fibers(threads, [&] {
    for (unsigned b = 0; b < grid.count(); ++b) {
      if (started++ % threads == 0) start_block(b);
      blockIdx = grid.at(b), threadIdx = block.at(emulated::fibers->current());
      kernel();
      if (!emulated::fibers->any_barrier()) return;  // the first thread: none of the others has begun
      uint64_t all = uint64_t{threads} * (b + 1);
      for (++ended; ended < all;) emulated::pass_on();
    }
  });
  emulated::fibers = &fibers;
  fibers.run();
  emulated::fibers = nullptr;
  if (fibers.any_barrier()) return;
  for (unsigned b = 0; b < grid.count(); ++b)
    for (unsigned t = b == 0 ? 1 : 0; t < threads; ++t) {
      if (t == 0) start_block(b);
      threadIdx = block.at(t);
      kernel();
    }
}

namespace emulated {
// __shfl_xor_sync of many values at once.
template <class T>
T shuffle_xor(const T& x, int reach) {
  static std::vector<T> all(1024);
  unsigned thread = threadIdx.x;
  __syncthreads();
  all[thread] = x;
  __syncthreads();
  return all[thread ^ static_cast<unsigned>(reach)];
}
}  // namespace emulated

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9
};
namespace emulated {
inline cudaError_t last_error = cudaSuccess;
constexpr size_t shared_without_asking = 48 << 10, most_shared = 227 << 10;  // of a block on a Hopper GPU
inline std::map<const void*, size_t> shared_asked;                           // kernel -> bytes
}  // namespace emulated

enum { cudaFuncAttributeMaxDynamicSharedMemorySize };
enum cudaDeviceAttr { cudaDevAttrMaxSharedMemoryPerBlockOptin, cudaDevAttrMultiProcessorCount };
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr which, int) {
  return *value = which == cudaDevAttrMultiProcessorCount ? 3 : static_cast<int>(emulated::most_shared),
         cudaSuccess;
}
template <class Kernel>
cudaError_t cudaFuncSetAttribute(Kernel* kernel, int, int bytes) {
  if (bytes < 0 || static_cast<size_t>(bytes) > emulated::most_shared)
    return emulated::last_error = cudaErrorInvalidValue;
  return emulated::shared_asked[reinterpret_cast<const void*>(kernel)] = static_cast<size_t>(bytes), cudaSuccess;
}

// `op`: for whom; `function`: of which `run` is a call
template <class Kernel, class F>
void emulated_launch(const char* op, Kernel* function, dim3 grid, dim3 block, size_t shared_bytes, const F& run) {
  const void* kernel = reinterpret_cast<const void*>(function);
  bool possible = grid.x >= 1 && grid.x <= 0x7fffffffu && grid.y >= 1 && grid.y <= 65535 && grid.z >= 1 &&
                  grid.z <= 65535 && block.count() >= 1 && block.count() <= 1024;
  if (!possible) {
    emulated::last_error = cudaErrorInvalidConfiguration;
    return;
  }
  if (shared_bytes > std::max(emulated::shared_without_asking, emulated::shared_asked[kernel])) {
    emulated::last_error = cudaErrorInvalidValue;
    return;
  }
  if (emulated::KernelTrace* trace = emulated::KernelTrace::active())
    return emulated::submit(
        trace->line(emulated::name_of(op, typeid(Kernel)), grid.count(), block.count(), shared_bytes));
  emulated::submit([=] { run_kernel(grid, block, shared_bytes, run); });
}

enum cudaMemcpyKind { cudaMemcpyDefault, cudaMemcpyDeviceToDevice };
enum { cudaStreamNonBlocking, cudaMemPoolAttrReleaseThreshold, cudaMemPoolAttrReservedMemCurrent };
using cudaStream_t = emulated::Stream*;
using cudaMemPool_t = void*;
struct cudaDeviceProp {
  char name[256];
};

inline cudaError_t cudaGetLastError() { return std::exchange(emulated::last_error, cudaSuccess); }
inline const char* cudaGetErrorString(cudaError_t e) {
  return e == cudaErrorInvalidConfiguration ? "invalid configuration argument"
         : e == cudaErrorInvalidValue       ? "invalid argument"
                                            : "emulated";
}
inline const char* cudaGetErrorName(cudaError_t) { return "emulated"; }
namespace emulated {
inline int device = 0;  // of this process, which uses one
}
inline cudaError_t cudaSetDevice(int index) { return emulated::device = index, cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int* count) {
  const char* wanted = std::getenv("VAPO_EMULATED_DEVICES");
  return *count = wanted ? std::atoi(wanted) : 1, cudaSuccess;
}
inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  return std::strcpy(p->name, "emulated"), cudaSuccess;
}
inline cudaError_t cudaDriverGetVersion(int* v) { return *v = 0, cudaSuccess; }
inline cudaError_t cudaRuntimeGetVersion(int* v) { return *v = 0, cudaSuccess; }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  static bool first = true;
  return *stream = new emulated::Stream{std::exchange(first, false)}, cudaSuccess;
}
inline cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return emulated::flush(stream), cudaSuccess; }
inline cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t*, int) { return cudaSuccess; }
inline cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, int, void*) { return cudaSuccess; }
inline cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t, int, void*) { return cudaSuccess; }
inline cudaError_t cudaMemPoolTrimTo(cudaMemPool_t, size_t) { return cudaSuccess; }
inline cudaError_t cudaMemGetInfo(size_t* left, size_t* total) {
  return *left = *total = size_t{1} << 30, cudaSuccess;
}
inline cudaError_t cudaMallocAsync(void** p, size_t bytes, cudaStream_t) {
  return (*p = emulated::device_memory().allocate(bytes)) ? cudaSuccess : cudaErrorMemoryAllocation;
}
inline cudaError_t cudaFreeAsync(void* p, cudaStream_t) {
  return emulated::device_memory().deallocate(p), cudaSuccess;
}
namespace emulated {
inline void expect_ends_of_copy(const void* to, const void* from, cudaMemcpyKind kind) {
  if (kind != cudaMemcpyDeviceToDevice) return;
  expect_on_device(to, "a copy within the device");
  expect_on_device(from, "a copy within the device");
}
}  // namespace emulated
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream) {
  emulated::expect_ends_of_copy(to, from, kind);
  std::function<void()> copy = [=] { std::memcpy(to, from, bytes); };
  emulated::submit(stream, kind == cudaMemcpyDeviceToDevice ? emulated::work_of("copy", copy) : copy);
  return cudaSuccess;
}
inline cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                                     size_t height, cudaMemcpyKind kind, cudaStream_t) {
  emulated::expect_ends_of_copy(to, from, kind);
  if (to_pitch < width || from_pitch < width) std::abort();  // what the runtime refuses
  std::function<void()> copy = [=] {
    for (size_t i = 0; i < height; ++i)
      std::memcpy(static_cast<char*>(to) + i * to_pitch, static_cast<const char*>(from) + i * from_pitch, width);
  };
  emulated::submit(kind == cudaMemcpyDeviceToDevice ? emulated::work_of("copy", copy) : copy);
  return cudaSuccess;
}

inline cudaError_t cudaLaunchHostFunc(cudaStream_t stream, void (*f)(void*), void* of) {
  emulated::submit(stream, [=] { f(of); });
  return cudaSuccess;
}

// Of the device's time, which passes by what is run.
namespace emulated {
inline double device_microseconds = 0;
}
struct EmulatedEvent {
  double microseconds = 0;
  cudaStream_t of = nullptr;
};
using cudaEvent_t = EmulatedEvent*;
inline cudaError_t cudaEventCreate(cudaEvent_t* e) { return *e = new EmulatedEvent, cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t stream) {
  e->of = stream;
  emulated::submit(stream, [e] { e->microseconds = emulated::device_microseconds; });
  return cudaSuccess;
}
enum { cudaEventDisableTiming };
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) { return cudaEventCreate(e); }
inline cudaError_t cudaEventDestroy(cudaEvent_t e) { return delete e, cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t stream) { return delete stream, cudaSuccess; }
inline cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t e, unsigned) {
  if (stream->first) emulated::flush(e->of);  // of the first stream all has been run
  return cudaSuccess;
}
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
inline cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  return *milliseconds = static_cast<float>((to->microseconds - from->microseconds) / 1000), cudaSuccess;
}

using cudaGraph_t = EmulatedGraph*;
using cudaGraphExec_t = EmulatedGraph*;
enum { cudaStreamCaptureModeRelaxed };
inline cudaError_t cudaMalloc(void** p, size_t bytes) { return cudaMallocAsync(p, bytes, nullptr); }
inline cudaError_t cudaFree(void* p) { return cudaFreeAsync(p, nullptr); }
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
  for (const auto& work : graph->work) emulated::run(work);
  return cudaSuccess;
}
