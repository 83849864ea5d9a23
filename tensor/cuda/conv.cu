// Convolutions, channels last: by cuDNN in f32 and bf16, by its graph API where rounding is free; by plain kernels in
// f64 and where cuDNN has nothing.

#include "tensor/cuda/conv.h"

#include <optional>

#include "tensor/plain_convolutions.h"
#include "tensor/precision.h"

namespace vapo::cuda {
namespace {

std::string description(const Convolution& c) {
  const ConvGeometry& s = c.s;
  const char* what = c.pass == ConvolutionPass::forward      ? "convolution"
                     : c.pass == ConvolutionPass::input_grad ? "input grad"
                                                             : "weight grad";
  return fmt::format("{} of {} by {}, stride ({},{}), dilation ({},{}), groups {}, {}", what, c.x.shape().str(),
                     c.w.shape().str(), s.p.stride.h, s.p.stride.w, s.p.dilation.h, s.p.dilation.w, s.p.groups,
                     name_of(c.dtype()));
}

// Weights as the adjoint meets them: turned by half a turn, inputs and outputs of each group exchanged.
template <class T>
struct Turn {
  ConvGeometry s;
  const T* w;
  T* turned;  // (c,kh,kw,og)
  __device__ void operator()(int64_t index) const {
    int64_t o = index % s.og, j = index / s.og % s.kw, i = index / s.og / s.kw % s.kh,
            c = index / s.og / s.kw / s.kh;
    turned[index] = w[s.w_at(c / s.cg * s.og + o, s.kh - 1 - i, s.kw - 1 - j) + c % s.cg];
  }
};

// With stride 1 the input gradient is a convolution by the turned weights. cuDNN compiles a kernel that adds a tensor
// to an input gradient when it is asked for one, in a second or so; of convolutions it brings them.
std::optional<Convolution> as_forward(const Convolution& c) {
  const ConvGeometry& s = c.s;
  kernel::Conv2dOptions p = s.p;
  p.padding = {s.p.dilation.h * (s.kh - 1) - s.p.padding.h, s.p.dilation.w * (s.kw - 1) - s.p.padding.w};
  if (s.p.stride.h != 1 || s.p.stride.w != 1 || p.padding.h < 0 || p.padding.w < 0) return {};
  Tensor turned = Tensor::empty({s.c, s.kh, s.kw, s.og}, c.w.options());
  dispatch_stored(c.dtype(), [&]<class T>() {
    for_each(c.op(), turned.numel(), Turn<T>{s, pointer<T>(c.w), pointer<T>(turned)});
  });
  return Convolution{
      ConvolutionPass::forward, conv_geometry(c.op(), c.y.shape(), turned.shape(), p), c.y, turned, c.x, {}, c.add};
}

// The bias and the addend by passes of their own.
void finish(const Convolution& c) {
  if (c.bias.defined()) add_bias(c.op(), c.bias, c.result());
  if (c.add.defined()) binary(kernel::Binary::add, c.result(), c.add, c.result());
}

bool by_graph(const Convolution& c, std::string& why) {
  if (c.pass == ConvolutionPass::input_grad && c.add.defined()) {
    auto forward = as_forward(c);
    if (forward && by_plan(*forward, why)) return true;
  } else if (by_plan(c, why)) {
    return true;
  }
  if (!c.bias.defined() && !c.add.defined()) return false;
  Convolution bare = c;
  bare.bias = bare.add = {};
  if (!by_plan(bare, why)) return false;
  finish(c);
  return true;
}

void convolve(const Convolution& c) {
  bool cudnn_takes = c.dtype() != DType::f64 && c.s.n > 0 && c.s.c > 0 && c.s.o > 0;
  if (cudnn_takes) {
    std::string why;
    bool exact = c.dtype() == DType::f32 && precision() == Precision::strict;
    if (!exact && by_graph(c, why)) return;
    if (by_algorithm(c)) {
      if (!exact) count_legacy_convolution(description(c), why);
      return finish(c);
    }
    count_plain_convolution(description(c));
  }
  by_plain_kernel(c);
  Convolution with_bias = c;
  with_bias.bias = {};
  finish(with_bias);
}

}  // namespace

void conv2d(const ConvGeometry& s, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& add,
            const Tensor& y) {
  convolve({ConvolutionPass::forward, s, x, w, y, bias, add});
}
void conv2d_input_grad(const ConvGeometry& s, const Tensor& g, const Tensor& w, const Tensor& add,
                       const Tensor& dx) {
  convolve({ConvolutionPass::input_grad, s, dx, w, g, {}, add});
}
void conv2d_weight_grad(const ConvGeometry& s, const Tensor& x, const Tensor& g, const Tensor& dw) {
  convolve({ConvolutionPass::weight_grad, s, x, dw, g});
}

}  // namespace vapo::cuda
