// Linked where the build has no CUDA: every entry throws, naming itself.

#include "tensor/backend.h"
#include "tensor/step_graph.h"
#include "tensor/upload.h"

namespace vapo::cuda {
namespace {

[[noreturn]] void no_cuda(const char* entry) { fail("[{}] this build has no CUDA backend", entry); }

}  // namespace

bool available() { return false; }
std::string why_not() { return "this build has no CUDA backend"; }
int64_t device_count() { return 0; }
void choose_device(int) { no_cuda("choose_device"); }
int chosen_device() { return 0; }
bool is_recording() { return false; }
std::string device_name() { return "none"; }
std::string libraries() { return "no CUDA"; }
void* allocate(size_t) { no_cuda("allocate"); }
void deallocate(void*, size_t) noexcept {}
void copy_bytes(void*, Device, const void*, Device, size_t) { no_cuda("copy"); }
void synchronize() {}
MemoryStats memory_stats() { return {}; }
void reset_peak_memory() {}
void release_cached_memory() {}
void set_memory_limit(int64_t) {}
std::vector<ConvolutionPlan> convolution_plans() { return {}; }
std::string convolution_plans_hold_for() { return "none"; }
bool take_convolution_plan(const ConvolutionPlan&) { return false; }
bool norm_in_one_pass(const NormSize&, int64_t, DType, int) { no_cuda("norm_in_one_pass"); }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define VAPO_ENTRY \
  { no_cuda(__func__); }
#include "tensor/backend_entries.inc"
#undef VAPO_ENTRY
#pragma GCC diagnostic pop

}  // namespace vapo::cuda

namespace vapo {

struct StepGraph::Impl {};
StepGraph::StepGraph() = default;
StepGraph::~StepGraph() = default;
void StepGraph::record(const std::function<void()>&) { cuda::no_cuda("step_graph"); }
bool StepGraph::recorded() const { return false; }
void StepGraph::replay(const StepScalars&) { cuda::no_cuda("step_graph"); }
void upload_beside(const Tensor&, const Tensor&) { cuda::no_cuda("upload_beside"); }

}  // namespace vapo
