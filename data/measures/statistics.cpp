#include "data/measures/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/check.h"
#include "tensor/parallel.h"

namespace vapo::data {
namespace {

constexpr int64_t kBlock = 512;  // points of y per block: their columns stay in the first-level cache

// Columns of x in f32, shifted by `centre` so that differences keep their digits.
std::vector<float> centred_columns(const Tensor& x, const std::vector<double>& centre) {
  int64_t n = x.dim(0), d = x.dim(1);
  std::vector<float> out(static_cast<size_t>(n * d));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < d; ++k) out[k * n + i] = static_cast<float>(x.at(i * d + k) - centre[k]);
  return out;
}

// E|X − Y| over all pairs; columns as centred_columns gives them. `same`: y is x, and each pair is looked at once.
double mean_distance(const std::vector<float>& x, const std::vector<float>& y, int64_t d, bool same) {
  int64_t n = static_cast<int64_t>(x.size()) / d, all = static_cast<int64_t>(y.size()) / d;
  std::vector<double> row_sums(static_cast<size_t>(n));  // summed in row order: the same bits for any thread count
  auto row_sum = [&](int64_t i) {
    int64_t m = same ? i : all;
    float squares[kBlock];
    double total = 0;
    for (int64_t begin = 0; begin < m; begin += kBlock) {
      int64_t count = std::min(kBlock, m - begin);
      std::fill_n(squares, count, 0.0f);
      for (int64_t k = 0; k < d; ++k) {
        float xi = x[k * n + i];
        const float* column = &y[k * all + begin];
        for (int64_t j = 0; j < count; ++j) squares[j] += (xi - column[j]) * (xi - column[j]);
      }
      // Eight partial sums of at most 64 roots each: f32 keeps 6 digits of every one, and their errors average out.
      float sums[8] = {};
      int64_t j = 0;
      for (; j + 8 <= count; j += 8)
        for (int64_t k = 0; k < 8; ++k) sums[k] += std::sqrt(squares[j + k]);
      for (; j < count; ++j) sums[0] += std::sqrt(squares[j]);
      for (float s : sums) total += s;
    }
    row_sums[i] = total;
  };
  // where `same`, a row costs as its number: the first goes with the last, and so on
  parallel_for((n + 1) / 2, 32, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      row_sum(i);
      if (n - 1 - i != i) row_sum(n - 1 - i);
    }
  });
  double sum = std::accumulate(row_sums.begin(), row_sums.end(), 0.0);
  return (same ? 2 : 1) * sum / (static_cast<double>(n) * static_cast<double>(all));
}

}  // namespace

Estimate mean_of(const Tensor& values) {
  int64_t n = values.numel();
  VAPO_CHECK(n > 0, "[mean_of] no values");
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < n; ++i) sum += values.at(i);
  double mean = sum / static_cast<double>(n);
  for (int64_t i = 0; i < n; ++i) squares += (values.at(i) - mean) * (values.at(i) - mean);
  double denominator = static_cast<double>(n) * static_cast<double>(std::max<int64_t>(n - 1, 1));
  return {mean, std::sqrt(squares / denominator)};
}

double energy_distance(const Tensor& x, const Tensor& y) {
  VAPO_CHECK(x.rank() == 2 && y.rank() == 2 && x.dim(1) == y.dim(1) && x.dim(0) > 0 && y.dim(0) > 0,
             "[energy_distance] needs two sets of points of one dimension: {} and {}", x.shape().str(),
             y.shape().str());
  int64_t d = x.dim(1);
  std::vector<double> centre(static_cast<size_t>(d));
  for (int64_t i = 0; i < x.numel(); ++i) centre[i % d] += x.at(i) / static_cast<double>(x.dim(0));
  std::vector<float> a = centred_columns(x, centre), b = centred_columns(y, centre);
  return 2 * mean_distance(a, b, d, false) - mean_distance(a, a, d, true) - mean_distance(b, b, d, true);
}

Tensor Grid::centres() const {
  Tensor out = Tensor::empty({cells * cells, 2}, DType::f64);
  double* p = out.mutable_data<double>();
  double n = static_cast<double>(cells);
  for (int64_t j = 0; j < cells; ++j) {
    for (int64_t i = 0; i < cells; ++i) {
      *p++ = x_low + (x_high - x_low) * (static_cast<double>(i) + 0.5) / n;
      *p++ = y_low + (y_high - y_low) * (static_cast<double>(j) + 0.5) / n;
    }
  }
  return out;
}

double Grid::cell_area() const { return (x_high - x_low) * (y_high - y_low) / static_cast<double>(cells * cells); }

Grid Grid::around(const Tensor& points, int64_t cells, double margin) {
  VAPO_CHECK(points.rank() == 2 && points.dim(1) == 2 && points.dim(0) > 0, "[grid] needs points (N,2), not {}",
             points.shape().str());
  double low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
  for (int64_t i = 0; i < points.numel(); ++i) {
    low[i % 2] = std::min(low[i % 2], points.at(i));
    high[i % 2] = std::max(high[i % 2], points.at(i));
  }
  for (int k = 0; k < 2; ++k) {
    double extent = high[k] > low[k] ? high[k] - low[k] : 1;
    low[k] -= margin * extent;
    high[k] += margin * extent;
  }
  return {low[0], high[0], low[1], high[1], cells};
}

std::vector<double> cell_shares(const Tensor& log_density) {
  int64_t n = log_density.numel();
  std::vector<double> p(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) p[i] = log_density.at(i);
  double top = *std::max_element(p.begin(), p.end()), sum = 0;
  for (double& v : p) sum += (v = std::exp(v - top));
  for (double& v : p) v /= sum;
  return p;
}

double log_integral(const Tensor& values, const Grid& grid) {
  double top = -INFINITY, sum = 0;
  for (int64_t i = 0; i < values.numel(); ++i) top = std::max(top, values.at(i));
  for (int64_t i = 0; i < values.numel(); ++i) sum += std::exp(values.at(i) - top);
  return top + std::log(sum * grid.cell_area());
}

double total_variation(const std::vector<double>& p, const std::vector<double>& q) {
  VAPO_CHECK(p.size() == q.size(), "[total_variation] of {} and {} cells", p.size(), q.size());
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) sum += std::abs(p[i] - q[i]);
  return sum / 2;
}

}  // namespace vapo::data
