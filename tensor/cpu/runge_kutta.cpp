// Steps of Runge–Kutta pairs, each in one pass over the state.

#include <algorithm>
#include <cmath>

#include "tensor/backend.h"

namespace vapo::cpu {
namespace {

// f(row, first element, elements, h, rtol, atol) of every row, or of all as one.
template <class F>
void for_rows(const Tensor& y, const kernel::RowSteps& s, const F& f) {
  if (!s.each.defined()) return f(0, 0, y.numel(), s.h, s.rtol, s.atol);
  int64_t width = y.numel() / y.dim(0);
  for (int64_t row = 0; row < y.dim(0); ++row) {
    const double* own = s.each.data<double>() + 3 * row;
    f(row, row * width, width, own[0], own[1], own[2]);
  }
}

}  // namespace

void runge_kutta_step(const Tensor& y, std::span<const Tensor> ks, std::span<const double> weights,
                      const kernel::RowSteps& steps, const Tensor& out) {
  dispatch_floating(y.dtype(), [&]<class T>() {
    const T *k[kernel::most_derivatives], *from = y.data<T>();
    T w[kernel::most_derivatives], *to = out.mutable_data<T>();
    for (size_t j = 0; j < ks.size(); ++j) k[j] = ks[j].data<T>();
    for_rows(y, steps, [&](int64_t, int64_t at, int64_t n, double h, double, double) {
      size_t terms = h == 0 ? 0 : ks.size();
      for (size_t j = 0; j < terms; ++j) w[j] = static_cast<T>(h * weights[j]);
      for (int64_t i = at; i < at + n; ++i) {
        T total = 0;
        for (size_t j = 0; j < terms; ++j) total += w[j] * k[j][i];
        to[i] = from[i] + total;
      }
    });
  });
}

void runge_kutta_error(const Tensor& a, const Tensor& b, std::span<const Tensor> ks,
                       std::span<const double> weights, const kernel::RowSteps& steps, const Tensor& out) {
  dispatch_floating(a.dtype(), [&]<class T>() {
    const T *k[kernel::most_derivatives], *before = a.data<T>(), *after = b.data<T>();
    for (size_t j = 0; j < ks.size(); ++j) k[j] = ks[j].data<T>();
    for_rows(a, steps, [&](int64_t row, int64_t at, int64_t n, double h, double rtol, double atol) {
      double squares = 0, not_finite = 0;
      for (int64_t i = at; i < at + n; ++i) {
        double value = 0;
        for (size_t j = 0; j < ks.size(); ++j) value += weights[j] * static_cast<double>(k[j][i]);
        double largest =
            std::max(std::abs(static_cast<double>(before[i])), std::abs(static_cast<double>(after[i])));
        double ratio = h * value / (atol + rtol * largest);
        squares += ratio * ratio;
        not_finite += !std::isfinite(after[i]);
      }
      out.mutable_data<double>()[2 * row] = squares;
      out.mutable_data<double>()[2 * row + 1] = not_finite;
    });
  });
}

}  // namespace vapo::cpu
