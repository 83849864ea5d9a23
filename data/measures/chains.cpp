#include "data/measures/chains.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/check.h"

namespace vapo::data {
namespace {

double mean_of(std::span<const double> x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

// Autocovariance at a lag, divisor S.
double autocovariance(const std::vector<double>& centred, size_t lag) {
  double sum = 0;
  for (size_t s = 0; s + lag < centred.size(); ++s) sum += centred[s] * centred[s + lag];
  return sum / static_cast<double>(centred.size());
}

}  // namespace

ChainStatistics chain_statistics(const Chains& chains) {
  size_t count = chains.size(), length = count ? chains[0].size() : 0;
  if (length < 4) throw InputError(fmt::format("{} chains of {} values: too few", count, length));
  std::vector<std::vector<double>> centred = chains;
  std::vector<double> means;
  double within = 0;  // Σ over chains of the variance with divisor S − 1
  auto s = static_cast<double>(length), c = static_cast<double>(count);
  for (std::vector<double>& x : centred) {
    double mean = mean_of(x);
    if (x.size() != length || !std::isfinite(mean))
      throw InputError(fmt::format("chains of {} and {} values with mean {}", length, x.size(), mean));
    for (double& v : x) v -= mean;
    means.push_back(mean);
    within += autocovariance(x, 0) * s / (s - 1);
  }
  within /= c;
  double between = 0, all = mean_of(means);
  for (double m : means) between += (m - all) * (m - all) / std::max(c - 1, 1.0);
  double total = within * (s - 1) / s + between;  // var⁺

  ChainStatistics out{NAN, NAN, NAN, {}};
  if (!(total > 0)) return out;
  out.r_hat = std::sqrt(total / within);
  auto rho = [&](size_t lag) {
    double mean = 0;
    for (const std::vector<double>& x : centred) mean += autocovariance(x, lag) / c;
    return 1 - (within - mean) / total;
  };
  double sum = 0, last = INFINITY;
  for (size_t lag = 0; lag + 1 < length; lag += 2) {
    double even = lag == 0 ? 1 : rho(lag), odd = rho(lag + 1), pair = even + odd;
    if (!(pair > 0)) break;
    out.autocorrelation.insert(out.autocorrelation.end(), {even, odd});
    last = std::min(last, pair);
    sum += last;
  }
  out.autocorrelation_time = std::max(2 * sum - 1, 1 / std::log10(c * s));
  out.effective_samples = c * s / out.autocorrelation_time;
  return out;
}

bool Drift::is_seen() const { return std::abs(mean) > 2 * standard_error; }

Drift drift(const Chains& chains) {
  std::vector<double> moved;
  for (const std::vector<double>& x : chains) {
    if (x.size() < 4 || x.size() != chains[0].size())
      throw InputError(fmt::format("drift: a chain of {} values, of {}", x.size(), chains[0].size()));
    std::span<const double> all = x;
    moved.push_back(mean_of(all.subspan(x.size() - x.size() / 2)) - mean_of(all.first(x.size() / 2)));
    if (!std::isfinite(moved.back())) throw InputError("drift: a value is not finite");
  }
  if (moved.empty()) throw InputError("drift: no chains");
  double n = static_cast<double>(moved.size()), mean = mean_of(moved), squares = 0;
  for (double d : moved) squares += (d - mean) * (d - mean);
  return {mean, n > 1 ? std::sqrt(squares / (n - 1) / n) : NAN};
}

bool Trend::level() const { return std::abs(slope) <= 2 * standard_error; }

Trend trend(std::span<const double> values, int64_t blocks) {
  auto n = static_cast<int64_t>(values.size());
  blocks = std::min(blocks, n);
  if (blocks < 4) throw InputError(fmt::format("trend: {} values in {} blocks, at least 4 are needed", n, blocks));
  double b = static_cast<double>(blocks), centre = (b - 1) / 2, products = 0, squares = b * (b * b - 1) / 12;
  std::vector<double> means;
  for (int64_t i = 0; i < blocks; ++i) {
    int64_t begin = n * i / blocks, end = n * (i + 1) / blocks;
    means.push_back(mean_of(values.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin))));
    products += (static_cast<double>(i) - centre) * means.back();
  }
  double slope = products / squares, mean = mean_of(means), residuals = 0;
  if (!std::isfinite(mean)) throw InputError("trend: a value is not finite");
  for (int64_t i = 0; i < blocks; ++i) {
    double r = means[static_cast<size_t>(i)] - mean - slope * (static_cast<double>(i) - centre);
    residuals += r * r;
  }
  double per_value = b / static_cast<double>(n);  // blocks a value
  return {slope * per_value, std::sqrt(residuals / (b - 2) / squares) * per_value};
}

}  // namespace vapo::data
