#include "data/measures/sample_scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tensor/check.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/random.h"

namespace vapo::data {
namespace {

enum Stream : uint32_t { kFirstSubsets, kSecondSubsets, kOrder };

struct Spread {
  double mean = 0, deviation = 0;
};
Spread spread_of(const std::vector<double>& values) {
  auto n = static_cast<double>(values.size());
  Spread out;
  for (double v : values) out.mean += v / n;
  for (double v : values) out.deviation += (v - out.mean) * (v - out.mean) / n;
  out.deviation = std::sqrt(out.deviation);
  return out;
}

// Σ (⟨x_i,y_j⟩/D + 1)³ over all i, j; over i ≠ j where `apart`. x, y (m,D) f64.
double kernel_sum(const Tensor& x, const Tensor& y, bool apart) {
  Tensor products = kernel::matmul(x, y, {.transpose_b = true});
  int64_t rows = products.dim(0), cols = products.dim(1);
  auto width = static_cast<double>(x.dim(1));
  const double* p = products.data<double>();
  std::vector<double> sums(static_cast<size_t>(rows));
  parallel_for(rows, 16, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < cols; ++j) {
        double k = p[i * cols + j] / width + 1;
        sum += apart && i == j ? 0 : k * k * k;
      }
      sums[static_cast<size_t>(i)] = sum;
    }
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

Tensor some_rows(const Tensor& x, int64_t count, const RandomKey& key) {
  if (count == x.dim(0)) return x.to(DType::f64);
  Tensor chosen = kernel::slice(randperm(x.dim(0), key), 0, 0, count, 1);
  return kernel::index_select(x, 0, chosen).to(DType::f64);
}

}  // namespace

KernelDistance kernel_distance(const Tensor& x, const Tensor& y, const KernelDistanceOptions& options) {
  for (const Tensor* side : {&x, &y})
    if (side->rank() != 2 || side->dim(0) < 2 || side->dim(1) != x.dim(1) || side->dim(1) < 1)
      throw InputError(fmt::format("[kernel_distance] features {} and {} must be (N,D) and (M,D) with N, M ≥ 2",
                                   x.shape().str(), y.shape().str()));
  VAPO_CHECK(options.subsets >= 1 && options.subset_size >= 2, "[kernel_distance] {} subsets of {} rows",
             options.subsets, options.subset_size);
  int64_t size = std::min({options.subset_size, x.dim(0), y.dim(0)});
  bool of_all = size == x.dim(0) && size == y.dim(0);
  int64_t subsets = of_all ? 1 : options.subsets;
  std::vector<double> values;
  auto m = static_cast<double>(size);
  for (int64_t i = 0; i < subsets; ++i) {
    auto step = static_cast<uint64_t>(i);
    Tensor a = some_rows(x, size, {options.seed, kFirstSubsets, step}),
           b = some_rows(y, size, {options.seed, kSecondSubsets, step});
    double within = (kernel_sum(a, a, true) + kernel_sum(b, b, true)) / (m * (m - 1));
    values.push_back(within - 2 * kernel_sum(a, b, false) / (m * m));
  }
  Spread s = spread_of(values);
  return {s.mean, s.deviation, subsets, size};
}

InceptionScore inception_score(const Tensor& logits, const InceptionScoreOptions& options) {
  if (logits.rank() != 2 || logits.numel() == 0)
    throw InputError(fmt::format("[inception_score] logits {} must be (N,K)", logits.shape().str()));
  VAPO_CHECK(options.splits >= 1, "[inception_score] {} splits", options.splits);
  int64_t n = logits.dim(0), k = logits.dim(1), splits = std::min(options.splits, n);
  for (int64_t i = 0; i < n * k; ++i)
    if (float v = logits.data<float>()[i]; !std::isfinite(v))
      throw InputError(
          fmt::format("[inception_score] logits, row {}, column {}: the value is {}", i / k + 1, i % k + 1, v));
  std::vector<int64_t> order = randperm(n, {options.seed, kOrder, 0}).to_vector<int64_t>();
  std::vector<double> values;
  for (int64_t split = 0; split < splits; ++split) {
    int64_t begin = split * n / splits, end = (split + 1) * n / splits;
    auto count = static_cast<double>(end - begin);
    std::vector<double> mean(static_cast<size_t>(k)), p(static_cast<size_t>(k));
    double divergence = 0;  // E Σ p log p, and then less Σ mean log mean
    for (int64_t i = begin; i < end; ++i) {
      const float* row = logits.data<float>() + order[static_cast<size_t>(i)] * k;
      double largest = *std::max_element(row, row + k), sum = 0;
      for (size_t j = 0; j < p.size(); ++j) sum += p[j] = std::exp(row[j] - largest);
      double log_sum = std::log(sum);
      for (size_t j = 0; j < p.size(); ++j) {
        double share = p[j] / sum;
        mean[j] += share / count;
        divergence += share * (row[j] - largest - log_sum) / count;
      }
    }
    for (double m : mean) divergence -= m > 0 ? m * std::log(m) : 0;
    values.push_back(std::exp(divergence));
  }
  Spread s = spread_of(values);
  return {s.mean, s.deviation, splits};
}

}  // namespace vapo::data
