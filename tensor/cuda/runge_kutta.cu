// Steps of Runge–Kutta pairs, each in one pass over the state; their errors in double, in an order that depends on the
// size of a row alone.

#include <algorithm>

#include "tensor/cuda/context.h"

namespace vapo::cuda {
namespace {

template <class T>
struct Derivatives {
  const T* k[kernel::most_derivatives];
  double w[kernel::most_derivatives];
  int count;
  Derivatives(std::span<const Tensor> ks, std::span<const double> weights) : k{}, w{} {
    count = static_cast<int>(ks.size());
    for (size_t j = 0; j < ks.size(); ++j) k[j] = pointer<T>(ks[j]), w[j] = weights[j];
  }
};

struct Steps {
  double h, rtol, atol;
  const double* each;  // or null
  int64_t width;       // elements of a row
  Steps(const kernel::RowSteps& s, const Tensor& y)
      : h(s.h),
        rtol(s.rtol),
        atol(s.atol),
        each(pointer_or_null<double>(s.each)),
        width(s.each.defined() ? y.numel() / y.dim(0) : y.numel()) {}
};

template <class T>
struct Step {
  const T* y;
  Derivatives<T> d;
  Steps s;
  T* out;
  __device__ void operator()(int64_t i) const {
    double h = s.each ? s.each[3 * (i / s.width)] : s.h;
    T total = 0;
    if (h != 0) {
#pragma unroll
      for (int j = 0; j < static_cast<int>(kernel::most_derivatives); ++j)
        if (j < d.count) total += static_cast<T>(h * d.w[j]) * d.k[j][i];
    }
    out[i] = y[i] + total;
  }
};

// One block for each part of a row.
template <class T>
__global__ void error_kernel(const T* a, const T* b, Derivatives<T> d, Steps s, int64_t parts, double* out) {
  int64_t row = blockIdx.x / parts, part = blockIdx.x % parts, size = (s.width + parts - 1) / parts;
  int64_t begin = part * size, end = begin + size < s.width ? begin + size : s.width;
  double h = s.each ? s.each[3 * row] : s.h, rtol = s.each ? s.each[3 * row + 1] : s.rtol,
         atol = s.each ? s.each[3 * row + 2] : s.atol, squares = 0, not_finite = 0;
  for (int64_t i = row * s.width + begin + threadIdx.x; i < row * s.width + end; i += block_size) {
    double value = 0, before = static_cast<double>(a[i]), after = static_cast<double>(b[i]);
#pragma unroll
    for (int j = 0; j < static_cast<int>(kernel::most_derivatives); ++j)
      if (j < d.count) value += d.w[j] * static_cast<double>(d.k[j][i]);
    before = before < 0 ? -before : before, not_finite += after - after == 0 ? 0 : 1;
    after = after < 0 ? -after : after;
    double ratio = h * value / (atol + rtol * (before < after ? after : before));
    squares += ratio * ratio;
  }
  squares = block_sum(squares), not_finite = block_sum(not_finite);
  if (threadIdx.x == 0) out[2 * blockIdx.x] = squares, out[2 * blockIdx.x + 1] = not_finite;
}

}  // namespace

void runge_kutta_step(const Tensor& y, std::span<const Tensor> ks, std::span<const double> weights,
                      const kernel::RowSteps& steps, const Tensor& out) {
  dispatch_floating(y.dtype(), [&]<class T>() {
    for_each("runge_kutta_step", y.numel(), Step<T>{pointer<T>(y), {ks, weights}, {steps, y}, pointer<T>(out)});
  });
}

void runge_kutta_error(const Tensor& a, const Tensor& b, std::span<const Tensor> ks,
                       std::span<const double> weights, const kernel::RowSteps& steps, const Tensor& out) {
  constexpr int64_t enough = 16 * block_size, most_parts = 512;  // elements that a block does, blocks of a row
  Steps s(steps, a);
  int64_t rows = out.dim(0), parts = std::clamp<int64_t>(s.width / enough, 1, most_parts);
  Tensor sums = parts == 1 ? out : scratch(rows * parts * 2, DType::f64);
  dispatch_floating(a.dtype(), [&]<class T>() {
    launch("runge_kutta_error", error_kernel<T>, static_cast<unsigned>(rows * parts), block_size, pointer<T>(a),
           pointer<T>(b), Derivatives<T>(ks, weights), s, parts, pointer<double>(sums));
  });
  if (parts > 1) reduce_middle(Reduction::sum, sums, {.outer = rows, .size = parts, .inner = 2}, out);
}

}  // namespace vapo::cuda
