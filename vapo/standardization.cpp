#include "vapo/standardization.h"

#include <algorithm>
#include <cmath>

#include "tensor/check.h"
#include "tensor/kernels.h"

namespace vapo {
namespace {
using kernel::Binary;
void check_columns(const Tensor& x, const Tensor& mean) {
  VAPO_CHECK(x.rank() == 2 && x.dim(1) == mean.dim(0), "[standardization] points {} for {} columns",
             x.shape().str(), mean.dim(0));
}
}  // namespace

Tensor Standardization::apply(const Tensor& x) const {
  check_columns(x, mean);
  return kernel::binary(Binary::div, kernel::binary(Binary::sub, x.to(DType::f64), mean), scale).to(x.dtype());
}

Tensor Standardization::undo(const Tensor& x) const {
  check_columns(x, mean);
  return kernel::binary(Binary::add, kernel::binary(Binary::mul, x.to(DType::f64), scale), mean).to(x.dtype());
}

double Standardization::log_scale() const {
  double s = 0;
  for (int64_t i = 0; i < scale.numel(); ++i) s += std::log(scale.at(i));
  return s;
}

Standardization Standardization::learn(const Tensor& given) {
  VAPO_CHECK(given.rank() == 2 && given.dim(0) >= 1, "[standardization] points {} must be (N,D) with N ≥ 1",
             given.shape().str());
  Tensor x = given.to(DType::f64);
  int64_t rows = x.dim(0), dims = x.dim(1);
  Standardization out = identity(dims);
  for (int64_t k = 0; k < dims; ++k) {
    auto value = [&](int64_t i) { return x.data<double>()[i * dims + k]; };
    double low = value(0), high = value(0), sum = 0, squares = 0, n = static_cast<double>(rows);
    for (int64_t i = 0; i < rows; ++i)
      low = std::min(low, value(i)), high = std::max(high, value(i)), sum += value(i);
    bool constant = low == high;  // its mean is itself, without the rounding of a sum
    double mean_k = constant ? low : sum / n;
    for (int64_t i = 0; i < rows; ++i) squares += (value(i) - mean_k) * (value(i) - mean_k);
    double scale_k = constant ? 1 : std::sqrt(squares / n);
    if (!std::isfinite(mean_k) || !std::isfinite(scale_k) || scale_k == 0)
      throw InputError(fmt::format("column {} cannot be standardised: mean {}, standard deviation {}; rescale it",
                                   k + 1, mean_k, scale_k));
    out.mean.mutable_data<double>()[k] = mean_k;
    out.scale.mutable_data<double>()[k] = scale_k;
  }
  return out;
}

Standardization Standardization::identity(int64_t dims) {
  return {Tensor::zeros({dims}, DType::f64), Tensor::ones({dims}, DType::f64)};
}

}  // namespace vapo
