#pragma once
// The Fréchet distance between the normal laws that have the mean and covariance of two sets of features
// (Dowson & Landau 1982; of a classifier's features of images: Heusel et al. 2017).

#include <filesystem>

#include "tensor/tensor.h"

namespace vapo::data {

struct FeatureStatistics {
  Tensor mean;        // (D) f64
  Tensor covariance;  // (D,D) f64, divisor N − 1
  int64_t count = 0;  // N
};
// Of features (N,D), any dtype. Throws InputError where N < 2, or naming row and column of a value that is not
// finite.
FeatureStatistics feature_statistics(const Tensor& features);
// .npz with arrays `mu`, `sigma` (as other programs have them) and `count`, which may be missing: 0. Throw what
// write_npz and read_npz do, InputError naming the file where the arrays are of other shapes.
void write_feature_statistics(const std::filesystem::path& file, const FeatureStatistics& statistics);
FeatureStatistics read_feature_statistics(const std::filesystem::path& file);

struct FrechetDistance {
  double value = 0;  // |m₁ − m₂|² + tr(S₁ + S₂ − 2√(S₁S₂)): the two terms below
  double means = 0;
  double covariances = 0;  // ≥ 0 but for rounding
  double clamped =
      0;  // Σ|λ| of the eigenvalues of S₁ and S₂ that were taken for 0: negative, or within rounding of it
};
// Throws InputError where the two have other widths. O(D³).
FrechetDistance frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b);

}  // namespace vapo::data
