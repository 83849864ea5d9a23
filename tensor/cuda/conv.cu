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

constexpr int tile = 32, rows_at_once = 8;
int64_t tiles(int64_t n) { return (n + tile - 1) / tile; }

// w (o,kh,kw,cg) → turned (c,kh,kw,og), weights as the adjoint meets them: by half a turn, inputs and outputs of each group
// exchanged. A block moves a tile of one tap, neighbours to neighbours on both sides.
template <class T>
__global__ void turn_kernel(ConvGeometry s, int64_t tiles_o, const T* w, T* turned) {
  __shared__ T part[tile][tile + 1];
  int64_t place = blockIdx.x % tiles_o * tile, tap = blockIdx.x / tiles_o % (s.kh * s.kw),
          group = blockIdx.x / tiles_o / (s.kh * s.kw), first = int64_t{blockIdx.y} * tile;
  int64_t i = tap / s.kw, j = tap % s.kw, x = threadIdx.x;
  for (int64_t row = threadIdx.y; row < tile; row += rows_at_once)
    if (place + row < s.og && first + x < s.cg)
      part[row][x] = w[s.w_at(group * s.og + place + row, i, j) + first + x];
  __syncthreads();
  for (int64_t row = threadIdx.y; row < tile; row += rows_at_once)
    if (first + row < s.cg && place + x < s.og)
      turned[(((group * s.cg + first + row) * s.kh + s.kh - 1 - i) * s.kw + s.kw - 1 - j) * s.og + place + x] =
          part[x][row];
}

// With stride 1 the input gradient is a convolution by the turned weights. cuDNN compiles a kernel that adds a tensor
// to an input gradient when it is asked for one, in a second or so; of convolutions it brings them.
std::optional<Convolution> as_forward(const Convolution& c) {
  const ConvGeometry& s = c.s;
  kernel::Conv2dOptions p = s.p;
  p.padding = {s.p.dilation.h * (s.kh - 1) - s.p.padding.h, s.p.dilation.w * (s.kw - 1) - s.p.padding.w};
  if (s.p.stride.h != 1 || s.p.stride.w != 1 || p.padding.h < 0 || p.padding.w < 0) return {};
  Tensor turned = Tensor::empty({s.c, s.kh, s.kw, s.og}, c.w.options());
  dim3 grid(static_cast<unsigned>(tiles(s.og) * s.kh * s.kw * s.p.groups), static_cast<unsigned>(tiles(s.cg)));
  dispatch_stored(c.dtype(), [&]<class T>() {
    launch(c.op(), turn_kernel<T>, grid, dim3(tile, rows_at_once), s, tiles(s.og), pointer<T>(c.w),
           pointer<T>(turned));
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
