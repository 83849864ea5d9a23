#pragma once
// How well a score tells two sets apart.

#include <span>

#include "tensor/random.h"

namespace vapo::data {

// The area under the ROC curve of a score that should be higher on `in` than on `out`: P(in > out) + ½P(in = out)
// over all pairs, Mann and Whitney's U/(n₁n₀). By ranks, O(n log n). Infinities are scores like others; throws
// InputError where a set is empty or a score is not a number.
double auroc(std::span<const double> in, std::span<const double> out);

struct BootstrapOptions {
  int64_t resamples = 1000;
  double confidence = 0.95;
  RandomKey key = {};  // resample r draws from key.step + 2r (in) and key.step + 2r + 1 (out)
};
struct Interval {
  double low, high;
};
// Percentile interval of the AUROC (Efron 1979): both sets drawn anew from themselves, with replacement. Throws as auroc does.
Interval auroc_interval(std::span<const double> in, std::span<const double> out, const BootstrapOptions& options);

}  // namespace vapo::data
