// Linked where the build has no CUDA: every entry throws, naming itself.

#include "tensor/backend.h"
#include "tensor/step_graph.h"

namespace vapo::cuda {
namespace {

[[noreturn]] void no_cuda(const char* entry) { fail("[{}] this build has no CUDA backend", entry); }

}  // namespace

bool available() { return false; }
std::string why_not() { return "this build has no CUDA backend"; }
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
bool norm_in_one_pass(const NormSize&, int64_t, DType, int) { no_cuda("norm_in_one_pass"); }

#define VAPO_STUB(entry, result, ...) \
  result entry(__VA_ARGS__) { no_cuda(#entry); }
using T = const Tensor&;
using Grouping = const kernel::GroupNormOptions&;
VAPO_STUB(unary, void, int, T, const Tensor*, const Tensor*, double, T)
VAPO_STUB(unary_with_slope, void, int, T, T, T)
VAPO_STUB(affine, void, T, double, double, T)
VAPO_STUB(fill, void, double, T)
VAPO_STUB(binary, void, int, T, T, T)
VAPO_STUB(where, void, T, T, T, T)
VAPO_STUB(broadcast, void, T, T)
VAPO_STUB(reduce_middle, void, Reduction, T, int64_t, int64_t, int64_t, T)
VAPO_STUB(cumsum, void, T, int64_t, int64_t, int64_t, bool, T)
VAPO_STUB(sum_squares, void, std::span<const Tensor>, T)
VAPO_STUB(all_finite, bool, T)
VAPO_STUB(matmul, void, const MatmulSize&, T, T, T, T)
VAPO_STUB(conv2d, void, const ConvGeometry&, T, T, T, T)
VAPO_STUB(conv2d_input_grad, void, const ConvGeometry&, T, T, T)
VAPO_STUB(conv2d_weight_grad, void, const ConvGeometry&, T, T, T)
VAPO_STUB(pool_sum2d, void, T, int64_t, int64_t, double, T)
VAPO_STUB(upsample_nearest2d, void, T, int64_t, int64_t, double, T)
VAPO_STUB(pool2d, void, const ConvGeometry&, kernel::Pool, T, T)
VAPO_STUB(max_pool2d, void, const ConvGeometry&, T, T, T)
VAPO_STUB(group_norm, void, const NormSize&, T, T, T, Grouping, const kernel::Normalized&)
VAPO_STUB(group_norm_vjp, void, const NormSize&, T, T, T, T, const kernel::Normalized&, Grouping,
          const kernel::NormGrads&)
VAPO_STUB(group_norm_vjp2, void, const NormSize&, T, T, T, T, T, T, T, const kernel::Normalized&, Grouping,
          const kernel::NormGrads2&)
VAPO_STUB(softmax, void, T, int64_t, int64_t, T)
VAPO_STUB(softmax_vjp, void, T, T, int64_t, int64_t, T)
VAPO_STUB(permute, void, T, const Dims&, T)
VAPO_STUB(copy_blocks, void, const void*, int64_t, void*, int64_t, int64_t, int64_t)
VAPO_STUB(index_select, void, T, int64_t, int64_t, int64_t, T, T)
VAPO_STUB(index_add, void, T, int64_t, int64_t, int64_t, T, T)
VAPO_STUB(gather, void, T, int64_t, int64_t, int64_t, T, T)
VAPO_STUB(scatter_add, void, T, int64_t, int64_t, int64_t, T, T)
VAPO_STUB(convert, void, T, T)
VAPO_STUB(normal, void, const RandomKey&, int64_t, T)
VAPO_STUB(uniform, void, const RandomKey&, double, double, T)
VAPO_STUB(rademacher, void, const RandomKey&, T)
VAPO_STUB(bernoulli, void, const RandomKey&, double, int64_t, T)
VAPO_STUB(adam_update, void, std::span<const kernel::Slot>, const kernel::AdamUpdate&)
VAPO_STUB(sgd_update, void, std::span<const kernel::Slot>, const kernel::SgdUpdate&)
VAPO_STUB(lamb_update, void, std::span<const kernel::Slot>, const kernel::AdamUpdate&)

}  // namespace vapo::cuda

namespace vapo {

struct StepGraph::Impl {};
StepGraph::StepGraph() = default;
StepGraph::~StepGraph() = default;
void StepGraph::record(const std::function<void()>&) { cuda::no_cuda("step_graph"); }
bool StepGraph::recorded() const { return false; }
void StepGraph::replay(const StepScalars&) { cuda::no_cuda("step_graph"); }

}  // namespace vapo
