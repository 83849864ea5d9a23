#pragma once
// What the ways to compute a convolution agree on.

#include "tensor/convolution_plans.h"
#include "tensor/cuda/context.h"
#include "tensor/geometry.h"

namespace vapo::cuda {

// One of the three maps between x (n,h,w,c), w (o,kh,kw,cg) and y (n,oh,ow,o): `pass` says which of them is the result.
struct Convolution {
  ConvolutionPass pass;
  ConvGeometry s;
  Tensor x, w, y;
  Tensor bias = {}, add = {};  // for the result, or undefined

  DType dtype() const { return x.dtype(); }
  const Tensor& result() const {
    return pass == ConvolutionPass::forward ? y : pass == ConvolutionPass::input_grad ? x : w;
  }
  const char* op() const {
    return pass == ConvolutionPass::forward      ? "conv2d"
           : pass == ConvolutionPass::input_grad ? "conv2d_input_grad"
                                                 : "conv2d_weight_grad";
  }
};

// By a plan of cuDNN's graph API, with bias and addend; false where there is none, and why.
bool by_plan(const Convolution& c, std::string& why);
// By an algorithm of its older API, without bias and addend; false where there is none.
bool by_algorithm(const Convolution& c);
void by_plain_kernel(const Convolution& c);  // with the bias, without the addend

}  // namespace vapo::cuda
