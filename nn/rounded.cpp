#include "nn/rounded.h"

#include <algorithm>

#include "autograd/ops.h"
#include "tensor/kernels.h"

namespace vapo::nn {
namespace {
constinit thread_local RoundedParameters* in_use = nullptr;
}  // namespace

RoundedParameters::Use::Use(RoundedParameters& all) : before_(in_use) {
  all.copies_ = kernel::convert_each(all.known_, DType::bf16);
  in_use = &all;
}
RoundedParameters::Use::~Use() {
  in_use->copies_.clear();
  in_use = before_;
}

Tensor RoundedParameters::copy_of(const Tensor& parameter) {
  auto found = std::ranges::find_if(known_, [&](const Tensor& x) { return x.raw() == parameter.raw(); });
  size_t i = static_cast<size_t>(found - known_.begin());
  if (found == known_.end()) known_.push_back(parameter);
  return i < copies_.size() ? copies_[i].reshape(parameter.shape()) : Tensor();
}

Var rounded(const Var& parameter) {
  Tensor copy = in_use && parameter.dtype() == DType::f32 ? in_use->copy_of(parameter.value()) : Tensor();
  if (!copy.defined()) return to(parameter, DType::bf16);
  return record("to", copy, {{parameter, [](const Var& g) { return to(g, DType::f32); }}});
}

}  // namespace vapo::nn
