#include "data/scores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/check.h"
#include "tensor/parallel.h"

namespace vapo::data {
namespace {

void check_scores(std::span<const double> scores, const char* side) {
  if (scores.empty()) throw InputError(fmt::format("auroc: no scores {} distribution", side));
  for (size_t i = 0; i < scores.size(); ++i)
    if (std::isnan(scores[i]))
      throw InputError(fmt::format("auroc: score {} of those {} distribution is not a number", i, side));
}

// The distinct values of both sets in rising order, and which of them each score is.
struct Groups {
  std::vector<uint32_t> in, out;
  size_t count = 0;
};

Groups groups_of(std::span<const double> in, std::span<const double> out) {
  check_scores(in, "in");
  check_scores(out, "out of");
  std::vector<uint32_t> order(in.size() + out.size());
  std::iota(order.begin(), order.end(), 0u);
  auto value = [&](uint32_t i) { return i < in.size() ? in[i] : out[i - in.size()]; };
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return value(a) < value(b); });
  Groups g{.in = std::vector<uint32_t>(in.size()), .out = std::vector<uint32_t>(out.size())};
  for (size_t k = 0; k < order.size(); ++k) {
    if (k == 0 || value(order[k]) != value(order[k - 1])) ++g.count;
    uint32_t i = order[k], group = static_cast<uint32_t>(g.count - 1);
    (i < in.size() ? g.in[i] : g.out[i - in.size()]) = group;
  }
  return g;
}

// U/(n₁n₀) = Σ over groups, in₍g₎·(out below g + ½ out₍g₎); counts how often each value is there.
double area(const std::vector<uint32_t>& in, const std::vector<uint32_t>& out) {
  double u = 0, below = 0, n1 = 0;
  for (size_t g = 0; g < in.size(); ++g) {
    u += in[g] * (below + 0.5 * out[g]);
    below += out[g];
    n1 += in[g];
  }
  return u / (n1 * below);
}

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

double auroc(std::span<const double> in, std::span<const double> out) {
  Groups g = groups_of(in, out);
  std::vector<uint32_t> in_counts(g.count), out_counts(g.count);
  for (uint32_t i : g.in) ++in_counts[i];
  for (uint32_t i : g.out) ++out_counts[i];
  return area(in_counts, out_counts);
}

Interval auroc_interval(std::span<const double> in, std::span<const double> out, const BootstrapOptions& o) {
  if (o.resamples < 1 || !(o.confidence > 0 && o.confidence < 1))
    throw InputError(fmt::format("bootstrap: {} resamples, confidence {} (in (0,1))", o.resamples, o.confidence));
  Groups g = groups_of(in, out);
  std::vector<double> areas(static_cast<size_t>(o.resamples));
  parallel_for(o.resamples, 1, 1, [&](int64_t begin, int64_t end) {
    std::vector<uint32_t> counts[2];
    for (int64_t r = begin; r < end; ++r) {
      for (size_t side = 0; side < 2; ++side) {
        const std::vector<uint32_t>& groups = side == 0 ? g.in : g.out;
        counts[side].assign(g.count, 0);
        RandomKey key = o.key;
        key.step += static_cast<uint64_t>(2 * r) + side;
        auto n = static_cast<int64_t>(groups.size());
        Tensor drawn = randint({n}, key, n);
        for (int64_t i : std::span(drawn.data<int64_t>(), groups.size())) ++counts[side][groups[i]];
      }
      areas[static_cast<size_t>(r)] = area(counts[0], counts[1]);
    }
  });
  return {quantile(areas, (1 - o.confidence) / 2), quantile(areas, (1 + o.confidence) / 2)};
}

double quantile(std::vector<double> values, double q) {
  if (values.empty() || !(q >= 0 && q <= 1))
    throw InputError(fmt::format("quantile {} of {} values", q, values.size()));
  double place = q * static_cast<double>(values.size() - 1);
  auto k = static_cast<size_t>(place);
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(k), values.end());
  double low = values[k];
  if (k + 1 == values.size()) return low;
  double high = *std::min_element(values.begin() + static_cast<std::ptrdiff_t>(k) + 1, values.end());
  return low + (place - static_cast<double>(k)) * (high - low);
}

Histogram histogram(std::span<const double> values, double low, double high, int64_t bins) {
  VAPO_CHECK(bins >= 1 && low < high, "[histogram] {} bins from {} to {}", bins, low, high);
  Histogram h{low, high, std::vector<double>(static_cast<size_t>(bins))};
  double width = (high - low) / static_cast<double>(bins), share = 1 / (width * static_cast<double>(values.size()));
  for (double v : values) {
    double place = std::clamp((v - low) / width, 0.0, static_cast<double>(bins) - 0.5);
    h.density[static_cast<size_t>(place)] += share;
  }
  return h;
}

std::vector<double> Histogram::outline_x() const {
  std::vector<double> x = {low};
  for (size_t i = 0; i < density.size(); ++i)
    for (size_t edge : {i, i + 1})
      x.push_back(low + (high - low) * static_cast<double>(edge) / static_cast<double>(density.size()));
  x.push_back(high);
  return x;
}

std::vector<double> Histogram::outline_y() const {
  std::vector<double> y = {0};
  for (double d : density) y.insert(y.end(), 2, d);
  y.push_back(0);
  return y;
}

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
