// Softmax over rows, its vjp and the vjp of that.

#include <algorithm>

#include "tensor/backend.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {

using kernel::Binary;

// f(at): where each row begins.
template <class F>
void for_rows(const SoftmaxSize& s, const F& f) {
  constexpr int64_t grain = 1 << 12;  // elements a thread at least
  parallel_for(s.rows, std::max<int64_t>(1, grain / s.n), 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i * s.n);
  });
}
// y = op(a, b), of n elements each
template <class T>
void pairwise(Binary op, const T* a, const T* b, T* y, int64_t n) {
  simd<T>().of(op)({a, b, y, 1, n, 0, 1, 0, 1});
}

}  // namespace

void softmax(const SoftmaxSize& s, const Tensor& x, const Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>() {
    const auto& loops = simd<T>();
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    int64_t n = s.n;
    for_rows(s, [&](int64_t at) {
      const T* from = px + at;
      T* row = py + at;
      if (s.scale != 1) loops.affine(from, row, n, s.scale, 0, false), from = row;
      loops.affine(from, row, n, 1, -static_cast<double>(loops.maximum(from, n)), false);
      loops.unary[Functions::index_of<Exp>()](row, row, n, 0, false);
      loops.affine(row, row, n, 1 / loops.sum(row, n), 0, false);
    });
  });
}

void softmax_vjp(const SoftmaxSize& s, const Tensor& y, const Tensor& g, const Tensor& dx) {
  dispatch_floating(y.dtype(), [&]<class T>() {
    const auto& loops = simd<T>();
    const T *py = y.data<T>(), *pg = g.data<T>();
    T* out = dx.mutable_data<T>();
    for_rows(s, [&](int64_t at) {
      double inner = static_cast<double>(loops.dot(py + at, pg + at, s.n));
      loops.affine(pg + at, out + at, s.n, s.scale, -s.scale * inner, false);
      pairwise(Binary::mul, out + at, py + at, out + at, s.n);
    });
  });
}

void softmax_vjp2(const SoftmaxSize& s, const Tensor& y, const Tensor& g, const Tensor& u,
                  const kernel::SoftmaxGrads2& add, const kernel::SoftmaxGrads2& grads) {
  dispatch_floating(y.dtype(), [&]<class T>() {
    const auto& loops = simd<T>();
    const T *py = y.data<T>(), *pg = g.data<T>(), *pu = u.data<T>();
    T *dy = grads.dy.mutable_data<T>(), *dg = grads.dg.mutable_data<T>();
    int64_t n = s.n;
    for_rows(s, [&](int64_t at) {
      double yu = static_cast<double>(loops.dot(py + at, pu + at, n)),
             yg = static_cast<double>(loops.dot(py + at, pg + at, n));
      T minus_yu = static_cast<T>(-s.scale * yu);
      loops.affine(pg + at, dy + at, n, s.scale, -s.scale * yg, false);
      pairwise(Binary::mul, dy + at, pu + at, dy + at, n);
      loops.weighted_rows(&minus_yu, 1, pg + at, n, 1, dy + at, n, true);
      loops.affine(pu + at, dg + at, n, s.scale, -s.scale * yu, false);
      pairwise(Binary::mul, dg + at, py + at, dg + at, n);
      if (add.dy.defined()) pairwise(Binary::add, dy + at, add.dy.data<T>() + at, dy + at, n);
      if (add.dg.defined()) pairwise(Binary::add, dg + at, add.dg.data<T>() + at, dg + at, n);
    });
  });
}

}  // namespace vapo::cpu
