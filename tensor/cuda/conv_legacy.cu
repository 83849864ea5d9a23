// Convolutions by an algorithm of cuDNN's older API, chosen once per shape by its heuristics.

#include <array>
#include <map>

#include "tensor/cuda/conv.h"
#include "tensor/precision.h"

namespace vapo::cuda {
namespace {

template <class Handle, auto create, auto destroy>
class Descriptor {
 public:
  Descriptor() { VAPO_CUDA(create(&handle_)); }
  ~Descriptor() { destroy(handle_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator Handle() const { return handle_; }

 private:
  Handle handle_;
};
using TensorDescriptor =
    Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using FilterDescriptor =
    Descriptor<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ConvolutionDescriptor =
    Descriptor<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;

constexpr size_t most_workspace = size_t{1} << 30;

// One pass for one shape: descriptors and the algorithm. `found` is false where cuDNN has none that fits.
struct Plan {
  TensorDescriptor x, y;
  FilterDescriptor w;
  ConvolutionDescriptor conv;
  int algorithm = -1;
  size_t workspace = 0;
  bool found = false;

  Plan(ConvolutionPass pass, const ConvGeometry& s, DType t, Precision policy) {
    cudnnDataType_t type = t == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    auto size = [](int64_t n) { return static_cast<int>(n); };
    VAPO_CUDA(cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NHWC, type, size(s.n), size(s.c), size(s.h), size(s.w)));
    VAPO_CUDA(cudnnSetTensor4dDescriptor(y, CUDNN_TENSOR_NHWC, type, size(s.n), size(s.o), size(s.oh), size(s.ow)));
    VAPO_CUDA(
        cudnnSetFilter4dDescriptor(w, type, CUDNN_TENSOR_NHWC, size(s.o), size(s.cg), size(s.kh), size(s.kw)));
    VAPO_CUDA(cudnnSetConvolution2dDescriptor(conv, size(s.p.padding.h), size(s.p.padding.w), size(s.p.stride.h),
                                              size(s.p.stride.w), size(s.p.dilation.h), size(s.p.dilation.w),
                                              CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    VAPO_CUDA(cudnnSetConvolutionGroupCount(conv, size(s.p.groups)));
    VAPO_CUDA(cudnnSetConvolutionMathType(conv, t == DType::bf16 ? CUDNN_TENSOR_OP_MATH
                                                : policy == Precision::strict
                                                    ? CUDNN_FMA_MATH
                                                    : CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION));
    int count = 0;
    if (pass == ConvolutionPass::forward) {
      std::array<cudnnConvolutionFwdAlgoPerf_t, CUDNN_CONVOLUTION_FWD_ALGO_COUNT> list;
      VAPO_CUDA(cudnnGetConvolutionForwardAlgorithm_v7(cudnn(), x, w, conv, y, size(std::ssize(list)), &count,
                                                       list.data()));
      choose(list, count);
    } else if (pass == ConvolutionPass::input_grad) {
      std::array<cudnnConvolutionBwdDataAlgoPerf_t, CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT> list;
      VAPO_CUDA(cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnn(), w, y, conv, x, size(std::ssize(list)), &count,
                                                            list.data()));
      choose(list, count);
    } else {
      std::array<cudnnConvolutionBwdFilterAlgoPerf_t, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT> list;
      VAPO_CUDA(cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnn(), x, y, conv, w, size(std::ssize(list)),
                                                              &count, list.data()));
      choose(list, count);
    }
  }

 private:
  // The library's order is by expected time: the first that gives the same bits every time and fits the workspace.
  template <class List>
  void choose(const List& list, int count) {
    for (int i = 0; i < count && !found; ++i) {
      const auto& a = list[static_cast<size_t>(i)];
      if (a.status != CUDNN_STATUS_SUCCESS || a.memory > most_workspace || a.determinism != CUDNN_DETERMINISTIC)
        continue;
      algorithm = static_cast<int>(a.algo), workspace = a.memory, found = true;
    }
  }
};

const Plan& plan_for(ConvolutionPass pass, const ConvGeometry& s, DType t) {
  struct Key {
    ConvolutionPass pass;
    DType t;
    Precision policy;
    ConvGeometry s;
    auto operator<=>(const Key&) const = default;
  };
  static thread_local std::map<Key, Plan> plans;
  Key key{pass, t, precision(), s};
  auto found = plans.find(key);
  if (found == plans.end())
    found = plans
                .emplace(std::piecewise_construct, std::forward_as_tuple(key),
                         std::forward_as_tuple(pass, s, t, precision()))
                .first;
  return found->second;
}

}  // namespace

bool by_algorithm(const Convolution& c) {
  const Plan& p = plan_for(c.pass, c.s, c.dtype());
  if (!p.found) return false;
  Tensor space = scratch(static_cast<int64_t>(p.workspace), DType::u8);
  void *x = address(c.x), *w = address(c.w), *y = address(c.y), *at = address(space);
  float one = 1, zero = 0;
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  switch (c.pass) {
    case ConvolutionPass::forward:
      status = cudnnConvolutionForward(cudnn(), &one, p.x, x, p.w, w, p.conv,
                                       static_cast<cudnnConvolutionFwdAlgo_t>(p.algorithm), at, p.workspace, &zero,
                                       p.y, y);
      break;
    case ConvolutionPass::input_grad:
      status = cudnnConvolutionBackwardData(cudnn(), &one, p.w, w, p.y, y, p.conv,
                                            static_cast<cudnnConvolutionBwdDataAlgo_t>(p.algorithm), at,
                                            p.workspace, &zero, p.x, x);
      break;
    case ConvolutionPass::weight_grad:
      status = cudnnConvolutionBackwardFilter(cudnn(), &one, p.x, x, p.y, y, p.conv,
                                              static_cast<cudnnConvolutionBwdFilterAlgo_t>(p.algorithm), at,
                                              p.workspace, &zero, p.w, w);
  }
  if (status != CUDNN_STATUS_SUCCESS)
    fail("[{}] cuDNN failed for input {}, weight {}: {}", c.op(), c.x.shape().str(), c.w.shape().str(),
         cudnnGetErrorString(status));
  return true;
}

}  // namespace vapo::cuda
