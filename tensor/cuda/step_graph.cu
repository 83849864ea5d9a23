// Whole steps as CUDA graphs. Memory taken while recording comes from blocks of the graph: the one stream runs
// everything in the order of the program, so a freed block can be handed out again at once.

#include <map>
#include <unordered_map>
#include <vector>

#include "tensor/cuda/context.h"

namespace vapo {

struct StepGraph::Impl {
  cudaGraphExec_t executable = nullptr;
  StepScalars* scalars = nullptr;  // on the device
  std::multimap<size_t, void*> free;
  std::vector<void*> blocks;
  WritesOfStep writes;

  ~Impl();
};

namespace cuda {
namespace {

StepGraph::Impl* recording = nullptr;
std::vector<void*> freed_meanwhile;  // blocks from before: freed when the recording is over
std::unordered_map<void*, StepGraph::Impl*> owners;

__global__ void set_scalars_kernel(StepScalars scalars, StepScalars* to) { *to = scalars; }

}  // namespace

bool is_recording() { return recording != nullptr; }
const StepScalars* step_scalars() { return recording ? recording->scalars : nullptr; }
void refuse_while_recording(const char* what) {
  if (recording)
    fail("[step_graph] {} while a step is recorded. Hint: do it before or after the step, or record none", what);
}

void* allocate_recorded(size_t bytes) {
  if (!recording) return nullptr;
  size_t size = (bytes + 511) / 512 * 512;
  void* p = nullptr;
  auto block = recording->free.lower_bound(size);
  if (block != recording->free.end() && block->first <= size + size / 8) {
    p = block->second;
    recording->free.erase(block);
  } else {
    cudaError_t status = cudaMalloc(&p, size + size / 8);
    if (status == cudaErrorMemoryAllocation) {  // what launched steps have left to the pool
      cudaGetLastError();
      trim_pool();
      status = cudaMalloc(&p, size + size / 8);
    }
    check(status, "cudaMalloc of memory for a recorded step");
    recording->blocks.push_back(p);
  }
  owners[p] = recording;
  return p;
}
bool deallocate_recorded(void* p, size_t bytes) {
  auto owner = owners.find(p);
  if (owner != owners.end()) {
    owner->second->free.emplace((bytes + 511) / 512 * 512, p);
    owners.erase(owner);
    return true;
  }
  if (recording) freed_meanwhile.push_back(p);
  return recording != nullptr;
}

}  // namespace cuda

StepGraph::Impl::~Impl() {
  if (!executable && blocks.empty() && !scalars) return;
  cudaStreamSynchronize(cuda::stream());
  if (executable) cudaGraphExecDestroy(executable);
  for (void* p : blocks) {
    cuda::owners.erase(p);
    cudaFree(p);
  }
  cudaFree(scalars);
}
StepGraph::StepGraph() : impl_(std::make_unique<Impl>()) {}
StepGraph::~StepGraph() = default;
bool StepGraph::recorded() const { return impl_->executable != nullptr; }

void StepGraph::record(const std::function<void()>& body) {
  VAPO_CHECK(cuda::available(), "[step_graph] {}", cuda::why_not());
  VAPO_CHECK(!cuda::recording && !recorded(), "[step_graph] a step is recorded already");
  auto check = [](cudaError_t status, const char* call) { cuda::check(status, call); };
  if (!impl_->scalars)
    check(cudaMalloc(reinterpret_cast<void**>(&impl_->scalars), sizeof(StepScalars)), "cudaMalloc");
  cuda::cublas(), cuda::cudnn();
  cuda::synchronize();  // so that all freed memory is the pool's
  check(cudaStreamBeginCapture(cuda::stream(), cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  cuda::recording = impl_.get();
  impl_->writes.start();
  std::exception_ptr thrown;
  try {
    body();
  } catch (...) {
    thrown = std::current_exception();
  }
  cuda::recording = nullptr;
  impl_->writes.stop();
  cudaGraph_t graph = nullptr;
  cudaError_t ended = cudaStreamEndCapture(cuda::stream(), &graph);
  for (void* p : cuda::freed_meanwhile) cudaFreeAsync(p, cuda::stream());
  cuda::freed_meanwhile.clear();
  if (thrown) {
    cudaGetLastError();
    if (graph) cudaGraphDestroy(graph);
    std::rethrow_exception(thrown);
  }
  check(ended, "cudaStreamEndCapture");
  cudaError_t made = cudaGraphInstantiate(&impl_->executable, graph, 0);
  cudaGraphDestroy(graph);
  check(made, "cudaGraphInstantiate");
}

void StepGraph::replay(const StepScalars& scalars) {
  VAPO_CHECK(recorded(), "[step_graph] replayed before a step was recorded");
  // as an argument of a kernel: a copy would wait until the step before is over
  cuda::launch("step_scalars", cuda::set_scalars_kernel, 1, 1, scalars, impl_->scalars);
  VAPO_CUDA(cudaGraphLaunch(impl_->executable, cuda::stream()));
  impl_->writes.count_again();
}

}  // namespace vapo
