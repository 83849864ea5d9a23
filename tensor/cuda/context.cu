// The device: opened at the first use. Memory comes from the driver's own pool, which reuses freed blocks in the
// order of the stream.

#include <algorithm>
#include <atomic>
#include <mutex>

#include "tensor/cuda/context.h"
#include "tensor/upload.h"

namespace vapo::cuda {

void check(cudaError_t status, const char* call) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // a launch that failed is forgotten: the next one starts clean
  fail("[cuda] {} failed: {} ({})", call, cudaGetErrorString(status), cudaGetErrorName(status));
}
void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) fail("[cublas] {} failed: {}", call, cublasGetStatusString(status));
}
void check(cudnnStatus_t status, const char* call) {
  if (status != CUDNN_STATUS_SUCCESS) fail("[cudnn] {} failed: {}", call, cudnnGetErrorString(status));
}

namespace {

int device = 0;
bool opened = false;

struct Context {
  cudaStream_t stream = nullptr, upload = nullptr;
  cublasHandle_t cublas = nullptr;
  cudnnHandle_t cudnn = nullptr;
  cudaMemPool_t pool = nullptr;
  Context() {
    opened = true;
    VAPO_CUDA(cudaSetDevice(device));
    VAPO_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    VAPO_CUDA(cudaStreamCreateWithFlags(&upload, cudaStreamNonBlocking));
    VAPO_CUDA(cudaDeviceGetDefaultMemPool(&pool, device));
    uint64_t keep = UINT64_MAX;  // freed memory stays with the process
    VAPO_CUDA(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
    VAPO_CUDA(cublasCreate(&cublas));
    VAPO_CUDA(cublasSetStream(cublas, stream));
    VAPO_CUDA(cudnnCreate(&cudnn));
    VAPO_CUDA(cudnnSetStream(cudnn, stream));
  }
};
Context& context() {
  static Context* const the_context =
      new Context;  // never destroyed: tensors in statics may outlive any order of exit
  return *the_context;
}

struct Stats {
  std::mutex lock;
  int64_t current = 0, peak = 0, allocations = 0, limit = 0;
};
Stats& stats() {
  static Stats* const the_stats = new Stats;
  return *the_stats;
}

int64_t reserved_bytes() {
  uint64_t bytes = 0;
  VAPO_CUDA(cudaMemPoolGetAttribute(context().pool, cudaMemPoolAttrReservedMemCurrent, &bytes));
  return static_cast<int64_t>(bytes);
}

[[noreturn]] void refuse(size_t asked) {
  size_t free_bytes = 0, total = 0;
  cudaMemGetInfo(&free_bytes, &total);
  Stats& s = stats();
  int64_t room = s.limit > 0 ? s.limit : static_cast<int64_t>(total);
  int64_t left = s.limit > 0 ? std::max<int64_t>(s.limit - s.current, 0) : static_cast<int64_t>(free_bytes);
  fail(
      "[allocate] out of memory on the GPU: {} bytes asked, {} held by tensors, {} free of {}. Hint: a smaller "
      "batch",
      asked, s.current, left, room);
}

}  // namespace

cudaStream_t stream() { return context().stream; }
cublasHandle_t cublas() { return context().cublas; }
cudnnHandle_t cudnn() { return context().cudnn; }

int64_t device_count() {
  int count = 0;
  if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
  cudaGetLastError();
  return 0;
}
void choose_device(int index) {
  VAPO_CHECK(!opened || index == device, "[choose_device] device {} is in use", device);
  device = index;
}
int chosen_device() { return device; }
std::string why_not() {
  int count = 0;
  cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return "";
  return status == cudaSuccess ? "no CUDA device" : std::string("no CUDA device: ") + cudaGetErrorString(status);
}
bool available() {
  static const bool found = why_not().empty();
  return found;
}
std::string device_name() {
  cudaDeviceProp properties{};
  VAPO_CUDA(cudaGetDeviceProperties(&properties, device));
  return properties.name;
}
std::string libraries() {
  int driver = 0, runtime = 0, blas = 0;
  VAPO_CUDA(cudaDriverGetVersion(&driver));
  VAPO_CUDA(cudaRuntimeGetVersion(&runtime));
  VAPO_CUDA(cublasGetVersion(cublas(), &blas));
  return fmt::format("CUDA {}.{} (driver {}.{}), cuBLAS {}, cuDNN {}", runtime / 1000, runtime % 1000 / 10,
                     driver / 1000, driver % 1000 / 10, blas, cudnnGetVersion());
}

void* allocate(size_t bytes) {
  VAPO_CHECK(available(), "[allocate] {}", why_not());
  Stats& s = stats();
  {
    std::lock_guard guard(s.lock);
    if (s.limit > 0 && s.current + static_cast<int64_t>(bytes) > s.limit) refuse(bytes);
  }
  if (bytes == 0) return nullptr;
  void* p = allocate_recorded(bytes);
  cudaError_t status = p ? cudaSuccess : cudaMallocAsync(&p, bytes, stream());
  if (status == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    release_cached_memory();
    status = cudaMallocAsync(&p, bytes, stream());
    if (status == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      refuse(bytes);
    }
  }
  check(status, "cudaMallocAsync");
  std::lock_guard guard(s.lock);
  s.current += static_cast<int64_t>(bytes);
  s.peak = std::max(s.peak, s.current);
  ++s.allocations;
  return p;
}
void deallocate(void* p, size_t bytes) noexcept {
  if (!p) return;
  if (!deallocate_recorded(p)) cudaFreeAsync(p, context().stream);
  Stats& s = stats();
  std::lock_guard guard(s.lock);
  s.current -= static_cast<int64_t>(bytes);
}
void synchronize() {
  refuse_while_recording("a result is read");
  VAPO_CUDA(cudaStreamSynchronize(stream()));
}
void copy_bytes(void* to, Device, const void* from, Device, size_t bytes) {
  refuse_while_recording("elements are copied to or from the CPU");
  VAPO_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream()));
  synchronize();
}
MemoryStats memory_stats() {
  Stats& s = stats();
  std::lock_guard guard(s.lock);
  return {s.current, s.peak, available() ? reserved_bytes() : 0, s.allocations};
}
void reset_peak_memory() {
  Stats& s = stats();
  std::lock_guard guard(s.lock);
  s.peak = s.current;
}
void release_unused() {
  VAPO_CUDA(cudaMemPoolTrimTo(context().pool, 0));
  release_spare_blocks();
}
void release_cached_memory() {
  synchronize();
  release_unused();
}
void set_memory_limit(int64_t bytes) {
  Stats& s = stats();
  std::lock_guard guard(s.lock);
  s.limit = bytes;
}

}  // namespace vapo::cuda

namespace vapo {

void upload_beside(const Tensor& target, const Tensor& source) {
  VAPO_CHECK(target.device() == Device::cuda && source.device() == Device::cpu &&
                 target.shape() == source.shape() && target.dtype() == source.dtype(),
             "[upload_beside] {} {} on {} into {} {} on {}", name_of(source.dtype()), source.shape().str(),
             name_of(source.device()), name_of(target.dtype()), target.shape().str(), name_of(target.device()));
  cudaStream_t stream = cuda::context().upload;
  cuda::check(cudaMemcpyAsync(target.raw(), source.raw(), source.bytes(), cudaMemcpyDefault, stream),
              "cudaMemcpyAsync");
  VAPO_CUDA(cudaStreamSynchronize(stream));
  target.count_write();
}

}  // namespace vapo
