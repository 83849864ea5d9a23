// Convolutions: cuDNN in f32 and bf16, channels last, the algorithm chosen once per shape; plain kernels in f64 and
// where cuDNN has none.

#include <array>
#include <map>

#include "tensor/cuda/context.h"
#include "tensor/plain_convolutions.h"
#include "tensor/precision.h"

namespace vapo::cuda {
namespace {

// ---- plain kernels

template <class T>
struct PlainForward {
  ConvGeometry s;
  const T *x, *w, *bias;
  T* y;
  __device__ void operator()(int64_t index) const {
    int64_t o = index % s.o, c = index / s.o % s.ow, r = index / s.o / s.ow % s.oh, n = index / s.o / s.ow / s.oh;
    Compute<T> total = bias ? Compute<T>(bias[o]) : Compute<T>(0);
    for (int64_t i = 0; i < s.kh; ++i)
      for (int64_t j = 0; j < s.kw; ++j) {
        int64_t h = s.row_of(r, i), v = s.col_of(c, j);
        if (h < 0 || h >= s.h || v < 0 || v >= s.w) continue;
        const T* in = x + s.x_at(n, h, v) + o / s.og * s.cg;
        const T* weights = w + s.w_at(o, i, j);
        for (int64_t k = 0; k < s.cg; ++k) total += in[k] * weights[k];
      }
    y[index] = static_cast<T>(total);
  }
};

// The output position that input position `at` meets through tap `k`, or −1.
__device__ inline int64_t output_of(int64_t at, int64_t k, int64_t out, int64_t stride, int64_t padding,
                                    int64_t dilation) {
  int64_t distance = at + padding - k * dilation;
  return distance >= 0 && distance % stride == 0 && distance / stride < out ? distance / stride : -1;
}
template <class T>
struct PlainInputGrad {
  ConvGeometry s;
  const T *g, *w;
  T* dx;
  __device__ void operator()(int64_t index) const {
    int64_t k = index % s.c, v = index / s.c % s.w, h = index / s.c / s.w % s.h, n = index / s.c / s.w / s.h;
    int64_t group = k / s.cg;
    Compute<T> total = 0;
    for (int64_t i = 0; i < s.kh; ++i) {
      int64_t r = output_of(h, i, s.oh, s.p.stride.h, s.p.padding.h, s.p.dilation.h);
      if (r < 0) continue;
      for (int64_t j = 0; j < s.kw; ++j) {
        int64_t c = output_of(v, j, s.ow, s.p.stride.w, s.p.padding.w, s.p.dilation.w);
        if (c < 0) continue;
        const T* from = g + s.y_at(n, r, c);
        for (int64_t o = group * s.og; o < (group + 1) * s.og; ++o)
          total += from[o] * w[s.w_at(o, i, j) + k % s.cg];
      }
    }
    dx[index] = static_cast<T>(total);
  }
};
template <class T>
struct PlainWeightGrad {
  ConvGeometry s;
  const T *x, *g;
  T* dw;
  __device__ void operator()(int64_t index) const {
    int64_t k = index % s.cg, j = index / s.cg % s.kw, i = index / s.cg / s.kw % s.kh,
            o = index / s.cg / s.kw / s.kh;
    int64_t channel = o / s.og * s.cg + k;
    Compute<T> total = 0;
    for (int64_t n = 0; n < s.n; ++n)
      for (int64_t r = 0; r < s.oh; ++r) {
        int64_t h = s.row_of(r, i);
        if (h < 0 || h >= s.h) continue;
        for (int64_t c = 0; c < s.ow; ++c) {
          int64_t v = s.col_of(c, j);
          if (v < 0 || v >= s.w) continue;
          total += g[s.y_at(n, r, c) + o] * x[s.x_at(n, h, v) + channel];
        }
      }
    dw[index] = static_cast<T>(total);
  }
};

// ---- cuDNN

enum class Pass { forward, input_grad, weight_grad };

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

  Plan(Pass pass, const ConvGeometry& s, DType t, Precision policy) {
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
    if (pass == Pass::forward) {
      std::array<cudnnConvolutionFwdAlgoPerf_t, CUDNN_CONVOLUTION_FWD_ALGO_COUNT> list;
      VAPO_CUDA(cudnnGetConvolutionForwardAlgorithm_v7(cudnn(), x, w, conv, y, size(std::ssize(list)), &count,
                                                       list.data()));
      choose(list, count);
    } else if (pass == Pass::input_grad) {
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

const Plan& plan_for(Pass pass, const ConvGeometry& s, DType t) {
  struct Key {
    Pass pass;
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

std::string description(Pass pass, const ConvGeometry& s, DType t) {
  const char* what = pass == Pass::forward      ? "convolution"
                     : pass == Pass::input_grad ? "input grad"
                                                : "weight grad";
  return fmt::format("{} of ({},{},{},{}) by ({},{},{},{}), stride ({},{}), dilation ({},{}), groups {}, {}", what,
                     s.n, s.h, s.w, s.c, s.o, s.kh, s.kw, s.cg, s.p.stride.h, s.p.stride.w, s.p.dilation.h,
                     s.p.dilation.w, s.p.groups, name_of(t));
}
bool use_cudnn(Pass pass, const ConvGeometry& s, DType t) {
  if (t == DType::f64 || s.n == 0 || s.c == 0 || s.o == 0) return false;
  if (plan_for(pass, s, t).found) return true;
  count_plain_convolution(description(pass, s, t));
  return false;
}
void checked(cudnnStatus_t status, const char* call, const ConvGeometry& s) {
  if (status != CUDNN_STATUS_SUCCESS)
    fail("[{}] cuDNN failed for input ({},{},{},{}), weight ({},{},{},{}): {}", call, s.n, s.h, s.w, s.c, s.o, s.kh,
         s.kw, s.cg, cudnnGetErrorString(status));
}

}  // namespace

namespace {
void add_to(const Tensor& y, const Tensor& add) {
  if (add.defined()) binary(kernel::Binary::add, y, add, y);
}
}  // namespace

void conv2d(const ConvGeometry& s, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& add,
            const Tensor& y) {
  if (use_cudnn(Pass::forward, s, x.dtype())) {
    const Plan& p = plan_for(Pass::forward, s, x.dtype());
    Tensor space = scratch(static_cast<int64_t>(p.workspace), DType::u8);
    float one = 1, zero = 0;
    checked(cudnnConvolutionForward(cudnn(), &one, p.x, address(x), p.w, address(w), p.conv,
                                    static_cast<cudnnConvolutionFwdAlgo_t>(p.algorithm), address(space),
                                    p.workspace, &zero, p.y, address(y)),
            "conv2d", s);
    if (bias.defined()) add_bias("conv2d", bias, y);
    return add_to(y, add);
  }
  dispatch_stored(x.dtype(), [&]<class T>() {
    for_each("conv2d", y.numel(),
             PlainForward<T>{s, pointer<T>(x), pointer<T>(w), pointer_or_null<T>(bias), pointer<T>(y)});
  });
  add_to(y, add);
}

void conv2d_input_grad(const ConvGeometry& s, const Tensor& g, const Tensor& w, const Tensor& add,
                       const Tensor& dx) {
  if (use_cudnn(Pass::input_grad, s, g.dtype())) {
    const Plan& p = plan_for(Pass::input_grad, s, g.dtype());
    Tensor space = scratch(static_cast<int64_t>(p.workspace), DType::u8);
    float one = 1, zero = 0;
    checked(cudnnConvolutionBackwardData(cudnn(), &one, p.w, address(w), p.y, address(g), p.conv,
                                         static_cast<cudnnConvolutionBwdDataAlgo_t>(p.algorithm), address(space),
                                         p.workspace, &zero, p.x, address(dx)),
            "conv2d_input_grad", s);
    return add_to(dx, add);
  }
  dispatch_stored(g.dtype(), [&]<class T>() {
    for_each("conv2d_input_grad", dx.numel(), PlainInputGrad<T>{s, pointer<T>(g), pointer<T>(w), pointer<T>(dx)});
  });
  add_to(dx, add);
}

void conv2d_weight_grad(const ConvGeometry& s, const Tensor& x, const Tensor& g, const Tensor& dw) {
  if (use_cudnn(Pass::weight_grad, s, x.dtype())) {
    const Plan& p = plan_for(Pass::weight_grad, s, x.dtype());
    Tensor space = scratch(static_cast<int64_t>(p.workspace), DType::u8);
    float one = 1, zero = 0;
    return checked(cudnnConvolutionBackwardFilter(cudnn(), &one, p.x, address(x), p.y, address(g), p.conv,
                                                  static_cast<cudnnConvolutionBwdFilterAlgo_t>(p.algorithm),
                                                  address(space), p.workspace, &zero, p.w, address(dw)),
                   "conv2d_weight_grad", s);
  }
  dispatch_stored(x.dtype(), [&]<class T>() {
    for_each("conv2d_weight_grad", dw.numel(), PlainWeightGrad<T>{s, pointer<T>(x), pointer<T>(g), pointer<T>(dw)});
  });
}

}  // namespace vapo::cuda
