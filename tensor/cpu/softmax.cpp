// Softmax over rows, and its vjp.

#include <algorithm>

#include "tensor/backend.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {
constexpr int64_t grain = 1 << 12;  // elements a thread at least
}

void softmax(const Tensor& x, int64_t rows, int64_t n, const Tensor& y) {
  dispatch_floating(x.dtype(), [&]<class T>() {
    const auto& loops = simd<T>();
    const T* px = x.data<T>();
    T* py = y.mutable_data<T>();
    parallel_for(rows, std::max<int64_t>(1, grain / n), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        T* row = py + i * n;
        loops.affine(px + i * n, row, n, 1, -static_cast<double>(loops.maximum(px + i * n, n)), false);
        loops.unary[Functions::index_of<Exp>()](row, row, n, 0, false);
        loops.affine(row, row, n, 1 / loops.sum(row, n), 0, false);
      }
    });
  });
}

void softmax_vjp(const Tensor& y, const Tensor& g, int64_t rows, int64_t n, const Tensor& dx) {
  dispatch_floating(y.dtype(), [&]<class T>() {
    const auto& loops = simd<T>();
    const T *py = y.data<T>(), *pg = g.data<T>();
    T* out = dx.mutable_data<T>();
    parallel_for(rows, std::max<int64_t>(1, grain / n), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        T* row = out + i * n;
        loops.affine(pg + i * n, row, n, 1, -static_cast<double>(loops.dot(py + i * n, pg + i * n, n)), false);
        loops.of(kernel::Binary::mul)({row, py + i * n, row, 1, n, 0, 1, 0, 1});
      }
    });
  });
}

}  // namespace vapo::cpu
