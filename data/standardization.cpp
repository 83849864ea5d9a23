#include <algorithm>
#include <cmath>

#include "data/points.h"
#include "tensor/kernels.h"

namespace vapo::data {
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

Split split_rows(const Tensor& x, double held_out_fraction, uint64_t seed) {
  VAPO_CHECK(held_out_fraction >= 0 && held_out_fraction < 1, "[split_rows] fraction {} is not in [0,1)",
             held_out_fraction);
  VAPO_CHECK(x.rank() >= 1 && x.dim(0) >= (held_out_fraction > 0 ? 2 : 1),
             "[split_rows] {} has too few rows to hold out {} of them", x.shape().str(), held_out_fraction);
  int64_t n = x.dim(0), held = static_cast<int64_t>(std::llround(held_out_fraction * static_cast<double>(n)));
  held = std::clamp<int64_t>(held, held_out_fraction > 0 ? 1 : 0, n - 1);
  constexpr uint32_t stream = 0x5917;
  Tensor order = randperm(n, {.seed = seed, .stream = stream});
  return {kernel::index_select(x, 0, kernel::slice(order, 0, held, n, 1)),
          kernel::index_select(x, 0, kernel::slice(order, 0, 0, held, 1))};
}

}  // namespace vapo::data
