// Whole steps as CUDA graphs. Memory taken while recording comes from blocks of the graph: the one stream runs
// everything in the order of the program, so a freed block can be handed out again at once. Blocks of a graph that is
// gone are kept for the next one.

#include <map>
#include <unordered_map>
#include <vector>

#include "tensor/cuda/context.h"

namespace vapo {

using Blocks = std::multimap<size_t, void*>;  // by their bytes

struct StepGraph::Impl {
  cudaGraphExec_t executable = nullptr;
  StepScalars* scalars = nullptr;  // on the device
  Blocks free, all;                // what the step has given back so far, and the whole of its memory
  WritesOfStep writes;

  ~Impl();
};

namespace cuda {
namespace {

StepGraph::Impl* recording = nullptr;
std::vector<void*> freed_meanwhile;  // blocks from before: freed when the recording is over
struct Owner {
  StepGraph::Impl* graph;
  size_t bytes;
};
std::unordered_map<void*, Owner> owners;  // of blocks in use
Blocks spare;                             // of graphs that are gone

// Moves the smallest block that holds so many bytes, and not many more, to `block`.
bool take(Blocks& from, size_t bytes, std::pair<size_t, void*>& block) {
  auto found = from.lower_bound(bytes);
  if (found == from.end() || found->first > bytes + bytes / 8) return false;
  block = *found;
  from.erase(found);
  return true;
}

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
  std::pair<size_t, void*> block{(bytes + 511) / 512 * 512, nullptr};
  if (!take(recording->free, block.first, block)) {
    if (!take(spare, block.first, block)) {
      cudaError_t status = cudaMalloc(&block.second, block.first);
      if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        release_unused();
        status = cudaMalloc(&block.second, block.first);
      }
      check(status, "cudaMalloc of memory for a recorded step");
    }
    recording->all.insert(block);
  }
  owners[block.second] = {recording, block.first};
  return block.second;
}
bool deallocate_recorded(void* p) {
  auto owner = owners.find(p);
  if (owner != owners.end()) {
    owner->second.graph->free.emplace(owner->second.bytes, p);
    owners.erase(owner);
    return true;
  }
  if (recording) freed_meanwhile.push_back(p);
  return recording != nullptr;
}
void release_spare_blocks() {
  for (auto [bytes, p] : spare) cudaFree(p);
  spare.clear();
}

}  // namespace cuda

StepGraph::Impl::~Impl() {
  if (!executable && all.empty() && !scalars) return;
  cudaStreamSynchronize(cuda::stream());
  if (executable) cudaGraphExecDestroy(executable);
  for (auto [bytes, p] : all) cuda::owners.erase(p);
  cuda::spare.merge(all);
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
