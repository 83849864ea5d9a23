#pragma once
// Quantiles and histograms of numbers.

#include <cstdint>
#include <span>
#include <vector>

namespace vapo::data {

// Between the order statistics around (n − 1)q, linearly. Throws InputError where there are none.
double quantile(std::vector<double> values, double q);

// `bins` equal bins from low to high; what lies beyond falls into the outermost. A density: its integral is 1.
struct Histogram {
  double low, high;
  std::vector<double> density;
  std::vector<double> outline_x() const;  // its outline as a curve, from 0 to 0
  std::vector<double> outline_y() const;
};
Histogram histogram(std::span<const double> values, double low, double high, int64_t bins);

}  // namespace vapo::data
