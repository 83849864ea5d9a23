#include "data/measures/histogram.h"

#include <algorithm>
#include <cmath>

#include "tensor/check.h"

namespace vapo::data {

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

}  // namespace vapo::data
