#include "data/measures/frechet.h"

#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "data/readers/npz.h"
#include "tensor/check.h"
#include "tensor/kernels.h"

namespace vapo::data {
namespace {

constexpr int64_t kBlock = 1024;  // rows converted and multiplied at a time

// Calls f on the rows of x (N,D) in f64, in blocks (n,D).
template <class F>
void for_blocks(const Tensor& x, F&& f) {
  for (int64_t begin = 0; begin < x.dim(0); begin += kBlock) {
    int64_t end = std::min(x.dim(0), begin + kBlock);
    f(kernel::slice(x, 0, begin, end, 1).to(DType::f64), begin);
  }
}

void check_finite(const Tensor& rows, int64_t first) {
  if (kernel::all_finite(rows)) return;
  int64_t i = 0;
  while (std::isfinite(rows.at(i))) ++i;
  throw InputError(fmt::format("[frechet] features, row {}, column {}: the value is {}",
                               first + i / rows.dim(1) + 1, i % rows.dim(1) + 1, rows.at(i)));
}

// S = GᵀG, by Cholesky's decomposition with the largest pivot first. It ends where none is above D ε max S_ii: what
// is left then is rounding's, and taken for 0; else a covariance of few samples would have roots of some √ε where
// it has none.
struct Factor {
  Tensor rows;  // G (rank,D)
  double trace = 0, clamped = 0;
};

Factor factor_of(const Tensor& covariance) {
  int64_t d = covariance.dim(0);
  int n = static_cast<int>(d), rank = 0;
  Tensor work = covariance.clone();  // symmetric, so that LAPACK's columns may be our rows
  double* l = work.mutable_data<double>();
  std::vector<int> order(static_cast<size_t>(d));
  int info = LAPACKE_dpstrf(LAPACK_COL_MAJOR, 'L', n, l, n, order.data(), &rank, -1);
  VAPO_CHECK(info >= 0, "[frechet] no decomposition of a covariance {}: dpstrf returned {}",
             covariance.shape().str(), info);
  Factor out{.rows = Tensor::zeros({rank, d}, DType::f64)};
  double* g = out.rows.mutable_data<double>();
  for (int64_t i = 0; i < d; ++i) {  // row i of L belongs to row order[i] of S
    int64_t column = order[static_cast<size_t>(i)] - 1;
    double variance = covariance.at(column * d + column), left = variance;
    out.trace += variance;
    for (int64_t k = 0; k < std::min<int64_t>(i + 1, rank); ++k) {
      double x = l[k * d + i];
      g[k * d + column] = x;
      left -= x * x;
    }
    if (i >= rank) out.clamped += std::abs(left);
  }
  return out;
}

// tr √(S₁S₂) = Σ√eig(S₁^½ S₂ S₁^½), which are the singular values of S₁^½ S₂^½, and so of G₁G₂ᵀ: roots of S differ
// by rotations from the left.
double trace_of_root(const Factor& a, const Factor& b) {
  if (a.rows.numel() == 0 || b.rows.numel() == 0) return 0;
  Tensor product = kernel::matmul(a.rows, b.rows, {.transpose_b = true});
  int n = static_cast<int>(product.dim(0)), m = static_cast<int>(product.dim(1));
  std::vector<double> singular(static_cast<size_t>(std::min(m, n)));
  int info = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', m, n, product.mutable_data<double>(), m, singular.data(),
                            nullptr, 1, nullptr, 1);
  VAPO_CHECK(info == 0, "[frechet] no singular values of {}: dgesdd returned {}", product.shape().str(), info);
  double sum = 0;
  for (double s : singular) sum += s;
  return sum;
}

void check_statistics(const FeatureStatistics& s) {
  bool fits = s.mean.defined() && s.covariance.defined() && s.mean.rank() == 1 && s.mean.dim(0) >= 1 &&
              s.covariance.shape() == Shape({s.mean.dim(0), s.mean.dim(0)}) && s.mean.dtype() == DType::f64 &&
              s.covariance.dtype() == DType::f64;
  VAPO_CHECK(fits, "[frechet] statistics are a mean (D) and a covariance (D,D), both f64");
}

}  // namespace

FeatureStatistics feature_statistics(const Tensor& features) {
  if (features.rank() != 2 || features.dim(0) < 2 || features.dim(1) < 1)
    throw InputError(fmt::format("[frechet] features {} must be (N,D) with N ≥ 2", features.shape().str()));
  int64_t n = features.dim(0), d = features.dim(1);
  using kernel::Binary;
  Tensor mean = Tensor::zeros({d}, DType::f64), scatter = Tensor::zeros({d, d}, DType::f64);
  for_blocks(features, [&](const Tensor& rows, int64_t first) {
    check_finite(rows, first);
    mean = kernel::binary(Binary::add, mean, kernel::sum(rows, {0}, false));
  });
  mean = kernel::affine(mean, 1 / static_cast<double>(n), 0);
  for_blocks(features, [&](const Tensor& rows, int64_t) {
    Tensor centred = kernel::binary(Binary::sub, rows, mean);
    scatter = kernel::binary(Binary::add, scatter, kernel::matmul(centred, centred, {.transpose_a = true}));
  });
  return {mean, kernel::affine(scatter, 1 / static_cast<double>(n - 1), 0), n};
}

void write_feature_statistics(const std::filesystem::path& file, const FeatureStatistics& s) {
  write_npz(
      file,
      {{"mu", s.mean}, {"sigma", s.covariance}, {"count", Tensor::from(std::vector<int64_t>{s.count}, Shape{})}});
}

FeatureStatistics read_feature_statistics(const std::filesystem::path& file) {
  return feature_statistics_of(read_npz(file, {"mu", "sigma", "count"}), file.string());
}

FeatureStatistics feature_statistics_of(const Arrays& arrays, const std::string& file) {
  for (const char* name : {"mu", "sigma"})
    if (!arrays.contains(name))
      throw InputError(fmt::format("{}: no array '{}': not statistics of features", file, name));
  FeatureStatistics out{arrays.at("mu").to(DType::f64), arrays.at("sigma").to(DType::f64)};
  if (out.mean.rank() != 1 || out.mean.numel() == 0 ||
      out.covariance.shape() != Shape({out.mean.dim(0), out.mean.dim(0)}))
    throw InputError(fmt::format("{}: mu {} and sigma {}, expected (D) and (D,D)", file, out.mean.shape().str(),
                                 out.covariance.shape().str()));
  if (!kernel::all_finite(out.mean) || !kernel::all_finite(out.covariance))
    throw InputError(fmt::format("{}: not all of mu and sigma is finite", file));
  auto count = arrays.find("count");
  if (count == arrays.end()) return out;
  constexpr double kMost = 1e15;  // which f64 still counts by ones
  double n = count->second.numel() == 1 ? count->second.item() : -1;
  if (!(n >= 0 && n <= kMost))
    throw InputError(fmt::format("{}: count is no number of images. Hint: leave it out", file));
  out.count = static_cast<int64_t>(n);
  return out;
}

FrechetDistance frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b) {
  check_statistics(a);
  check_statistics(b);
  if (a.mean.dim(0) != b.mean.dim(0))
    throw InputError(fmt::format("[frechet] statistics of {} features and of {}", a.mean.dim(0), b.mean.dim(0)));
  FrechetDistance out;
  for (int64_t i = 0; i < a.mean.dim(0); ++i) {
    double difference = a.mean.at(i) - b.mean.at(i);
    out.means += difference * difference;
  }
  Factor p = factor_of(a.covariance), q = factor_of(b.covariance);
  out.covariances = p.trace + q.trace - 2 * trace_of_root(p, q);
  out.value = out.means + out.covariances;
  out.clamped = p.clamped + q.clamped;
  return out;
}

}  // namespace vapo::data
