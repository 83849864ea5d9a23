#pragma once
// The two back ends under kernels.h. A build without CUDA links cuda_stub.cpp, whose entries throw.

#include <span>
#include <string>
#include <vector>

#include "tensor/convolution_plans.h"
#include "tensor/geometry.h"
#include "tensor/kernels.h"
#include "tensor/storage.h"

namespace vapo {

void count_flops(double flops);  // of a product or a convolution: for kernel::flop_count()
void copy_elements(const Tensor& target, const Tensor& source);  // kernel::copy_into of a target that is fresh

// The tensors from before it that a step writes while it is recorded: each replay writes them again.
class WritesOfStep {
 public:
  void start() { began_ = WriteClock::tick(), current = this; }
  void stop() { current = nullptr; }
  void add(const Tensor& x) {
    if (x.made_at() <= began_) written_.push_back(x);
  }
  void count_again() const {
    for (const Tensor& x : written_) x.count_write();
  }
  static constinit inline thread_local WritesOfStep* current = nullptr;

 private:
  uint64_t began_ = 0;
  std::vector<Tensor> written_;
};

#define VAPO_ENTRY
namespace cpu {
#include "tensor/backend_entries.inc"

std::string libraries();  // names and versions
}  // namespace cpu

namespace cuda {
#include "tensor/backend_entries.inc"

std::string libraries();
bool available();  // a device that this build can use
int64_t device_count();
void choose_device(int index);  // before the first use
int chosen_device();
std::string why_not();  // one line: "this build has no CUDA backend", "no CUDA device: …"
bool is_recording();    // a step that does not run yet: nothing of it can be read
std::string device_name();
void* allocate(size_t bytes);
void deallocate(void* p, size_t bytes) noexcept;
// Waits until it is done.
void copy_bytes(void* to, Device to_device, const void* from, Device from_device, size_t bytes);
void synchronize();
MemoryStats memory_stats();
void reset_peak_memory();
void release_cached_memory();
void set_memory_limit(int64_t bytes);
// convolution_plans.h
std::vector<ConvolutionPlan> convolution_plans();
std::string convolution_plans_hold_for();
bool take_convolution_plan(const ConvolutionPlan& plan);
// Whether group_norm (derivative 0), its vjp (1) or vjp2 (2) of unmasked operands passes once over the device's memory.
bool norm_in_one_pass(const NormSize& size, int64_t groups, DType dtype, int derivative);
}  // namespace cuda
#undef VAPO_ENTRY

}  // namespace vapo

// The entry of the back end that `device` names.
#define VAPO_ON(device, ...) \
  ((device) == ::vapo::Device::cuda ? ::vapo::cuda::__VA_ARGS__ : ::vapo::cpu::__VA_ARGS__)
