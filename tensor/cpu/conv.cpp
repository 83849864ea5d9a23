// Convolutions: which algorithm takes them, and the plain loops that f64 is computed with.

#include <algorithm>

#include "tensor/backend.h"
#include "tensor/cpu/conv_onednn.h"
#include "tensor/cpu/simd.h"
#include "tensor/cpu/winograd.h"
#include "tensor/parallel.h"
#include "tensor/precision.h"

namespace vapo::cpu {
namespace {

// f(tap row, tap column, output row, output column, input row, input column) for every tap inside the input, of the
// output rows [begin, end).
template <class F>
void for_taps(const ConvGeometry& s, int64_t begin, int64_t end, const F& f) {
  for (int64_t i = 0; i < s.kh; ++i) {
    auto rows = ConvGeometry::inside(i, s.h, s.oh, s.p.stride.h, s.p.padding.h, s.p.dilation.h);
    for (int64_t j = 0; j < s.kw; ++j) {
      auto cols = ConvGeometry::inside(j, s.w, s.ow, s.p.stride.w, s.p.padding.w, s.p.dilation.w);
      for (int64_t r = std::max(begin, rows.begin); r < std::min(end, rows.end); ++r)
        for (int64_t c = cols.begin; c < cols.end; ++c) f(i, j, r, c, s.row_of(r, i), s.col_of(c, j));
    }
  }
}

template <class T>
void plain_forward(const ConvGeometry& s, const T* x, const T* w, const T* bias, T* y) {
  parallel_for(s.n * s.oh, 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t n = row / s.oh, r0 = row % s.oh;
      T* out = y + row * s.ow * s.o;
      for (int64_t k = 0; k < s.ow * s.o; ++k) out[k] = bias ? bias[k % s.o] : T(0);
      for_taps(s, r0, r0 + 1, [&](int64_t i, int64_t j, int64_t, int64_t c, int64_t h, int64_t v) {
        const T* in = x + s.x_at(n, h, v);
        for (int64_t o = 0; o < s.o; ++o)
          out[c * s.o + o] += simd<T>().dot(in + o / s.og * s.cg, w + s.w_at(o, i, j), s.cg);
      });
    }
  });
}
template <class T>
void plain_input_grad(const ConvGeometry& s, const T* g, const T* w, T* dx) {
  parallel_for(s.n, 1, 1, [&](int64_t begin, int64_t end) {
    std::fill(dx + begin * s.h * s.w * s.c, dx + end * s.h * s.w * s.c, T(0));
    for (int64_t n = begin; n < end; ++n)
      for_taps(s, 0, s.oh, [&](int64_t i, int64_t j, int64_t r, int64_t c, int64_t h, int64_t v) {
        const T* from = g + s.y_at(n, r, c);
        T* to = dx + s.x_at(n, h, v);
        for (int64_t group = 0; group < s.p.groups; ++group)
          simd<T>().weighted_rows(from + group * s.og, 1, w + s.w_at(group * s.og, i, j), s.kh * s.kw * s.cg, s.og,
                                  to + group * s.cg, s.cg, true);
      });
  });
}
template <class T>
void plain_weight_grad(const ConvGeometry& s, const T* x, const T* g, T* dw) {
  parallel_for(s.o, 1, 1, [&](int64_t begin, int64_t end) {
    std::fill(dw + s.w_at(begin, 0, 0), dw + s.w_at(end, 0, 0), T(0));
    for (int64_t n = 0; n < s.n; ++n)
      for_taps(s, 0, s.oh, [&](int64_t i, int64_t j, int64_t r, int64_t c, int64_t h, int64_t v) {
        const T* from = g + s.y_at(n, r, c);
        const T* in = x + s.x_at(n, h, v);
        for (int64_t o = begin; o < end; ++o)
          simd<T>().weighted_rows(from + o, 1, in + o / s.og * s.cg, 0, 1, dw + s.w_at(o, i, j), s.cg, true);
      });
  });
}

enum class Algorithm { plain, direct, winograd };
Algorithm algorithm_for(const ConvGeometry& s, DType dtype) {
  if (dtype == DType::f64 || s.n == 0 || s.c == 0 || s.o == 0) return Algorithm::plain;
  return precision() == Precision::fast && winograd_is_faster(s) ? Algorithm::winograd : Algorithm::direct;
}
const float* floats_or_null(const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; }

}  // namespace

void conv2d(const ConvGeometry& s, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& add,
            const Tensor& y) {
  switch (algorithm_for(s, x.dtype())) {
    case Algorithm::winograd:
      winograd_forward(s, x.data<float>(), w.data<float>(), floats_or_null(bias), y.mutable_data<float>());
      break;
    case Algorithm::direct:
      onednn_forward(s, x.data<float>(), w.data<float>(), floats_or_null(bias), y.mutable_data<float>());
      break;
    case Algorithm::plain:
      dispatch_floating(x.dtype(), [&]<class T>() {
        plain_forward(s, x.data<T>(), w.data<T>(), bias.defined() ? bias.data<T>() : nullptr, y.mutable_data<T>());
      });
  }
  if (add.defined()) binary(kernel::Binary::add, y, add, y);
}

void conv2d_input_grad(const ConvGeometry& s, const Tensor& g, const Tensor& w, const Tensor& add,
                       const Tensor& dx) {
  switch (algorithm_for(s, g.dtype())) {
    case Algorithm::winograd:
      winograd_input_grad(s, g.data<float>(), w.data<float>(), dx.mutable_data<float>());
      break;
    case Algorithm::direct:
      onednn_input_grad(s, g.data<float>(), w.data<float>(), dx.mutable_data<float>());
      break;
    case Algorithm::plain:
      dispatch_floating(g.dtype(),
                        [&]<class T>() { plain_input_grad(s, g.data<T>(), w.data<T>(), dx.mutable_data<T>()); });
  }
  if (add.defined()) binary(kernel::Binary::add, dx, add, dx);
}

void conv2d_weight_grad(const ConvGeometry& s, const Tensor& x, const Tensor& g, const Tensor& dw) {
  switch (algorithm_for(s, x.dtype())) {
    case Algorithm::winograd:
      return winograd_weight_grad(s, x.data<float>(), g.data<float>(), dw.mutable_data<float>());
    case Algorithm::direct:
      return onednn_weight_grad(s, x.data<float>(), g.data<float>(), dw.mutable_data<float>());
    case Algorithm::plain:
      dispatch_floating(x.dtype(),
                        [&]<class T>() { plain_weight_grad(s, x.data<T>(), g.data<T>(), dw.mutable_data<T>()); });
  }
}

}  // namespace vapo::cpu
