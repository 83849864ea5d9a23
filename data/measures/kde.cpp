#include "data/measures/kde.h"

#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "tensor/check.h"
#include "tensor/parallel.h"

namespace vapo::data {
namespace {

// The lower triangle L of the rows' covariance (divisor N−1): LLᵀ = C. LAPACK takes rows for columns: its Lᵀ.
Tensor covariance_cholesky(const Tensor& rows) {
  int64_t n = rows.dim(0), d = rows.dim(1);
  std::vector<double> mean(static_cast<size_t>(d));
  for (int64_t i = 0; i < n * d; ++i) mean[i % d] += rows.at(i) / static_cast<double>(n);
  Tensor out = Tensor::zeros({d, d}, DType::f64);
  double* l = out.mutable_data<double>();
  for (int64_t r = 0; r < n; ++r)
    for (int64_t i = 0; i < d; ++i)
      for (int64_t j = 0; j <= i; ++j)
        l[i * d + j] +=
            (rows.at(r * d + i) - mean[i]) * (rows.at(r * d + j) - mean[j]) / static_cast<double>(n - 1);
  auto size = static_cast<lapack_int>(d);
  if (LAPACKE_dpotrf(LAPACK_COL_MAJOR, 'U', size, l, size) != 0)
    throw InputError(
        "kernel density estimate: the rows' covariance is singular (a constant or repeated column, "
        "or fewer rows than columns)");
  return out;
}

}  // namespace

GaussianKde::GaussianKde(const Tensor& rows, double factor) : factor_(factor) {
  VAPO_CHECK(rows.rank() == 2 && rows.dim(0) >= 2, "[kde] needs at least 2 rows (N,D), not {}", rows.shape().str());
  VAPO_CHECK(factor > 0, "[kde] the bandwidth factor is {}: must be positive", factor);
  dims_ = rows.dim(1);
  cholesky_ = covariance_cholesky(rows);
  rows_ = whiten(rows);
  double d = static_cast<double>(dims_);
  log_constant_ = -0.5 * d * std::log(2 * std::numbers::pi) - d * std::log(factor);
  for (int64_t i = 0; i < dims_; ++i) log_constant_ -= std::log(cholesky_.at(i * dims_ + i));
}

double GaussianKde::scott_factor(int64_t rows, int64_t dims) {
  return std::pow(static_cast<double>(rows), -1.0 / static_cast<double>(dims + 4));
}

double GaussianKde::cross_validated_factor(const Tensor& rows) {
  double scott = scott_factor(rows.dim(0), rows.dim(1)), best = scott, best_score = -INFINITY;
  for (int rung = -20; rung <= 6; ++rung) {
    double factor = scott * std::pow(1.1, rung), score = 0;
    Tensor log_p = GaussianKde(rows, factor).leave_one_out();
    for (int64_t i = 0; i < log_p.numel(); ++i) score += log_p.at(i);
    if (score > best_score) std::tie(best, best_score) = std::pair(factor, score);
  }
  return best;
}

// L⁻¹x per row: distances are then those of the covariance.
Tensor GaussianKde::whiten(const Tensor& x) const {
  Tensor out = x.to(DType::f64).clone();
  auto d = static_cast<lapack_int>(dims_), n = static_cast<lapack_int>(x.dim(0));
  int info = LAPACKE_dtrtrs(LAPACK_COL_MAJOR, 'U', 'T', 'N', d, n, cholesky_.data<double>(), d,
                            out.mutable_data<double>(), d);
  VAPO_CHECK(info == 0, "[kde] LAPACK's dtrtrs gives {}", info);
  return out;
}

Tensor GaussianKde::log_density_of_whitened(const Tensor& x, bool skip_self) const {
  int64_t n = rows_.dim(0), m = x.dim(0), d = dims_;
  Tensor out = Tensor::empty({m}, DType::f64);
  double* result = out.mutable_data<double>();
  const double *a = rows_.data<double>(), *b = x.data<double>();
  double scale = -0.5 / (factor_ * factor_);
  double count = static_cast<double>(skip_self ? n - 1 : n);
  auto one_point = [&](int64_t i) {
    std::vector<double> exponents(static_cast<size_t>(n));
    double top = -INFINITY;
    for (int64_t r = 0; r < n; ++r) {
      double squares = 0;
      for (int64_t k = 0; k < d; ++k) squares += (b[i * d + k] - a[r * d + k]) * (b[i * d + k] - a[r * d + k]);
      exponents[r] = skip_self && r == i ? -INFINITY : scale * squares;
      top = std::max(top, exponents[r]);
    }
    double sum = 0;
    for (double e : exponents) sum += std::exp(e - top);
    result[i] = log_constant_ + top + std::log(sum / count);
  };
  parallel_for(m, 4, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) one_point(i);
  });
  return out;
}

Tensor GaussianKde::log_density(const Tensor& x) const {
  VAPO_CHECK(x.rank() == 2 && x.dim(1) == dims_, "[kde] needs points (N,{}), not {}", dims_, x.shape().str());
  return log_density_of_whitened(whiten(x), false);
}

Tensor GaussianKde::leave_one_out() const { return log_density_of_whitened(rows_, true); }

}  // namespace vapo::data
