#pragma once
// The sizes that kernels are called with, worked out and checked once for every back end.

#include <algorithm>

#include "tensor/kernels.h"
#include "tensor/strided.h"

namespace vapo {

struct ConvGeometry {
  int64_t n, h, w, c;  // input
  int64_t oh, ow, o;   // output: rows, columns, channels
  int64_t kh, kw;      // window
  int64_t cg, og;      // input and output channels of one group
  kernel::Conv2dOptions p;

  friend auto operator<=>(const ConvGeometry&, const ConvGeometry&) = default;

  // Output rows (or columns) [begin, end) whose tap `k` falls inside an input of `size`.
  struct Range {
    int64_t begin, end;
  };
  static Range inside(int64_t k, int64_t size, int64_t out, int64_t stride, int64_t padding, int64_t dilation) {
    int64_t first = k * dilation - padding;  // of output 0
    int64_t begin = first >= 0 ? 0 : (-first + stride - 1) / stride;
    int64_t end = first >= size ? 0 : (size - first + stride - 1) / stride;
    end = std::min(out, end);
    return {std::min(begin, std::max<int64_t>(end, 0)), std::max<int64_t>(end, 0)};
  }
  // The pixels [begin, end) of a row (or column) of `size` that the window of output `i` covers.
  VAPO_FN static Range covered(int64_t i, int64_t k, int64_t size, int64_t stride, int64_t padding) {
    int64_t first = i * stride - padding;
    return {std::max<int64_t>(first, 0), std::min(first + k, size)};
  }
  // Where the channels of a pixel of x or y, or of a tap of w, begin.
  VAPO_FN int64_t x_at(int64_t i, int64_t row, int64_t col) const { return ((i * h + row) * w + col) * c; }
  VAPO_FN int64_t y_at(int64_t i, int64_t row, int64_t col) const { return ((i * oh + row) * ow + col) * o; }
  VAPO_FN int64_t w_at(int64_t out, int64_t i, int64_t j) const { return ((out * kh + i) * kw + j) * cg; }
  // The row and column of the input that tap (i,j) of output (row,col) meets, in the padding too.
  VAPO_FN int64_t row_of(int64_t row, int64_t i) const { return row * p.stride.h - p.padding.h + i * p.dilation.h; }
  VAPO_FN int64_t col_of(int64_t col, int64_t j) const { return col * p.stride.w - p.padding.w + j * p.dilation.w; }
  double flops() const {  // of one pass, taps in the padding included
    return 2.0 * static_cast<double>(n * oh * ow * o) * static_cast<double>(kh * kw * cg);
  }
};

enum class Reduction { sum, maximum };

// Products of row-major matrices y (m,n) = op(a) op(b) for every position of `batch`, whose strides count the
// matrices of a and b.
struct MatmulSize {
  bool transpose_a, transpose_b;
  int64_t m, n, k;
  Strided<2> batch = {};
};

struct SoftmaxSize {  // softmax(scale·x) of `rows` rows of n elements
  int64_t rows, n;
  double scale;
};

struct NormSize {  // x as (n, pixels, channels)
  int64_t n, pixels, channels;
};
// Group norm: the forward pass writes `stats`. The vjp reads their statistics, and from g it makes da, ds and,
// where it is defined, dx. The second derivative makes all of `grads` from g, u, ua and us, of which the last two may be
// undefined (0). To each result, what `add` has for it is added where that is defined.
struct NormCall {
  NormSize size;
  kernel::GroupNormOptions p;
  Tensor x, a, s;
  kernel::Normalized stats = {};
  Tensor g = {}, u = {}, ua = {}, us = {};
  kernel::NormGrads2 add = {}, grads = {};
};

// Throws naming `op` where x (N,H,W,C), w (O,kH,kW,C/groups) and p do not fit.
ConvGeometry conv_geometry(const char* op, const Shape& x, const Shape& w, const kernel::Conv2dOptions& p);

// Blocks of `bytes`, each side stepping by its own stride in bytes; from null: zeros.
struct BlockCopy {
  const void* from;
  int64_t from_stride;
  void* to;
  int64_t to_stride, bytes;
};

// A shape seen as (outer, size, inner) around dimension i.
struct Around {
  int64_t outer = 1, size = 1, inner = 1;
};
inline Around around(const Shape& s, int i) {
  Around r;
  for (int j = 0; j < i; ++j) r.outer *= s[j];
  r.size = s[i];
  for (int j = i + 1; j < s.rank(); ++j) r.inner *= s[j];
  return r;
}

}  // namespace vapo
