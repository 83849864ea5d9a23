// Convolutions by the definition: f64, and where cuDNN has nothing.

#include "tensor/cuda/conv.h"

namespace vapo::cuda {
namespace {

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

}  // namespace

void by_plain_kernel(const Convolution& c) {
  dispatch_stored(c.dtype(), [&]<class T>() {
    T *x = pointer<T>(c.x), *w = pointer<T>(c.w), *y = pointer<T>(c.y);
    int64_t n = c.result().numel();
    switch (c.pass) {
      case ConvolutionPass::forward:
        return for_each(c.op(), n, PlainForward<T>{c.s, x, w, pointer_or_null<T>(c.bias), y});
      case ConvolutionPass::input_grad:
        return for_each(c.op(), n, PlainInputGrad<T>{c.s, y, w, x});
      case ConvolutionPass::weight_grad:
        return for_each(c.op(), n, PlainWeightGrad<T>{c.s, x, y, w});
    }
  });
}

}  // namespace vapo::cuda
