#include "vapo/standardization.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensor/check.h"
#include "tensor/kernels.h"

namespace vapo {
namespace {
using kernel::Binary;

void check_columns(const Tensor& x, const Tensor& mean) {
  VAPO_CHECK(x.rank() == 2 && x.dim(1) == mean.dim(0), "[standardization] points {} for {} columns",
             x.shape().str(), mean.dim(0));
}

// 1 where the scale is 0.
Tensor divisors(const Tensor& scale) {
  Tensor out = scale.clone();
  double* d = out.mutable_data<double>();
  std::replace(d, d + out.numel(), 0.0, 1.0);
  return out;
}

// z ← L⁻¹z, of one row.
void solve(const double* l, double* z, int64_t n) {
  for (int64_t k = 0; k < n; ++k) {
    for (int64_t j = 0; j < k; ++j) z[k] -= l[k * n + j] * z[j];
    z[k] /= l[k * n + k];
  }
}

// z ← Lz, of one row.
void multiply(const double* l, double* z, int64_t n) {
  for (int64_t k = n - 1; k >= 0; --k) {
    double sum = 0;
    for (int64_t j = 0; j <= k; ++j) sum += l[k * n + j] * z[j];
    z[k] = sum;
  }
}

using RowMap = void (*)(const double* l, double* z, int64_t n);
Tensor each_row(const Tensor& x, const Tensor& l, RowMap map) {
  if (!l.defined()) return x;
  Tensor out = x.clone();
  int64_t n = x.dim(1);
  for (int64_t i = 0; i < x.dim(0); ++i) map(l.data<double>(), out.mutable_data<double>() + i * n, n);
  return out;
}

double log_determinant(const double* l, int64_t n) {
  double sum = 0;
  for (int64_t k = 0; k < n; ++k) sum += std::log(l[k * n + k]);
  return sum;
}

// L of (1 − λ)C + λ, C the mean of zzᵀ over the rows of z (N,D) but every fifth from `left_out` on (-1: over all).
Tensor shrunk_factor(const Tensor& z, double lambda, int64_t left_out) {
  int64_t n = z.dim(1), rows = 0;
  Tensor out = Tensor::zeros({n, n}, DType::f64);
  double* a = out.mutable_data<double>();
  for (int64_t i = 0; i < z.dim(0); ++i) {
    if (i % 5 == left_out) continue;
    ++rows;
    const double* row = z.data<double>() + i * n;
    for (int64_t k = 0; k < n; ++k)
      for (int64_t j = 0; j <= k; ++j) a[k * n + j] += row[k] * row[j];
  }
  for (int64_t k = 0; k < n; ++k)
    for (int64_t j = 0; j <= k; ++j) {
      double sum = (1 - lambda) * a[k * n + j] / static_cast<double>(rows) + (j == k ? lambda : 0);
      for (int64_t i = 0; i < j; ++i) sum -= a[k * n + i] * a[j * n + i];
      a[k * n + j] = j < k ? sum / a[j * n + j] : std::sqrt(std::max(sum, 1e-12));
    }
  return out;
}

// Of the rows that shrunk_factor leaves out: Σ log p by N(0, LLᵀ), up to a constant.
double log_likelihood(const Tensor& z, const Tensor& l, int64_t left_out) {
  int64_t n = z.dim(1);
  double sum = 0, log_det = log_determinant(l.data<double>(), n);
  for (int64_t i = left_out; i < z.dim(0); i += 5) {
    std::vector<double> row(z.data<double>() + i * n, z.data<double>() + (i + 1) * n);
    solve(l.data<double>(), row.data(), n);
    for (double v : row) sum -= 0.5 * v * v;
    sum -= log_det;
  }
  return sum;
}

// Of rows of columns of mean 0 and scale 1, a constant one 0.
Tensor factor_of(const Tensor& z, const Standardization& s) {
  constexpr int64_t enough_rows = 2000, many_columns = 512;
  double best = 1, best_likelihood = -INFINITY;
  if (z.dim(1) > many_columns) best = 0.1;  // trying takes too long
  Tensor some = z.dim(0) > enough_rows ? kernel::slice(z, 0, 0, enough_rows, 1) : z;
  for (double lambda : {1e-6, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0}) {
    if (z.dim(0) < 5 || z.dim(1) > many_columns) break;
    double likelihood = 0;
    for (int64_t fold = 0; fold < 5; ++fold)
      likelihood += log_likelihood(some, shrunk_factor(some, lambda, fold), fold);
    if (likelihood > best_likelihood) best = lambda, best_likelihood = likelihood;
  }
  Tensor out = shrunk_factor(z, best, -1);
  for (int64_t k = 0; k < z.dim(1); ++k)
    if (s.is_constant(k)) out.mutable_data<double>()[k * z.dim(1) + k] = 1;
  return out;
}

}  // namespace

Tensor Standardization::apply(const Tensor& x) const {
  check_columns(x, mean);
  Tensor z = kernel::binary(Binary::div, kernel::binary(Binary::sub, x.to(DType::f64), mean), divisors(scale));
  return each_row(z, factor, solve).to(x.dtype());
}

Tensor Standardization::undo(const Tensor& x) const {
  check_columns(x, mean);
  Tensor z = each_row(x.to(DType::f64), factor, multiply);
  return kernel::binary(Binary::add, kernel::binary(Binary::mul, z, scale), mean).to(x.dtype());
}

double Standardization::log_scale() const {
  double s = factor.defined() ? log_determinant(factor.data<double>(), mean.numel()) : 0;
  for (int64_t i = 0; i < scale.numel(); ++i)
    if (!is_constant(i)) s += std::log(scale.at(i));
  return s;
}

Standardization Standardization::learn(const Tensor& given, Standardize how) {
  VAPO_CHECK(given.rank() == 2 && given.dim(0) >= 1, "[standardization] points {} must be (N,D) with N ≥ 1",
             given.shape().str());
  Tensor x = given.to(DType::f64);
  int64_t rows = x.dim(0), dims = x.dim(1);
  Standardization out = identity(dims);
  if (how == Standardize::none) return out;
  for (int64_t k = 0; k < dims; ++k) {
    auto value = [&](int64_t i) { return x.data<double>()[i * dims + k]; };
    double low = value(0), high = value(0), sum = 0, squares = 0, n = static_cast<double>(rows);
    for (int64_t i = 0; i < rows; ++i)
      low = std::min(low, value(i)), high = std::max(high, value(i)), sum += value(i);
    bool constant = low == high;  // its mean is itself, without the rounding of a sum
    double mean_k = constant ? low : sum / n;
    for (int64_t i = 0; i < rows; ++i) squares += (value(i) - mean_k) * (value(i) - mean_k);
    double scale_k = std::sqrt(squares / n);
    if (!std::isfinite(mean_k) || !std::isfinite(scale_k) || (scale_k == 0 && !constant))
      throw InputError(fmt::format("column {} cannot be standardised: mean {}, standard deviation {}; rescale it",
                                   k + 1, mean_k, scale_k));
    out.mean.mutable_data<double>()[k] = mean_k;
    out.scale.mutable_data<double>()[k] = scale_k;
  }
  if (how != Standardize::columns) out.factor = factor_of(out.apply(x), out);
  return out;
}

Standardization Standardization::identity(int64_t dims) {
  return {Tensor::zeros({dims}, DType::f64), Tensor::ones({dims}, DType::f64)};
}

}  // namespace vapo
