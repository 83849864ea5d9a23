#pragma once
// The Fréchet distance between the normal laws that have the mean and covariance of two sets of features
// (Dowson & Landau 1982; of the Inception network's features of images: FID, Heusel et al. 2017).

#include <filesystem>
#include <map>
#include <string>

#include "tensor/tensor.h"

namespace vapo::data {

struct FeatureStatistics {
  Tensor mean;        // (D) f64
  Tensor covariance;  // (D,D) f64, divisor N − 1
  int64_t count = 0;  // N
};
// Of features (N,D), any dtype. Throws InputError where N < 2, or naming row and column of a value that is not finite.
FeatureStatistics feature_statistics(const Tensor& features);
// .npz with arrays `mu`, `sigma` (as other programs have them) and `count`, which may be missing: 0. Throw what
// write_npz and read_npz do, InputError naming the file where the arrays are of other shapes.
void write_feature_statistics(const std::filesystem::path& file, const FeatureStatistics& statistics);
FeatureStatistics read_feature_statistics(const std::filesystem::path& file);
FeatureStatistics feature_statistics_of(const std::map<std::string, Tensor>& arrays, const std::string& file);

struct FrechetDistance {
  double value = 0;  // |m₁ − m₂|² + tr(S₁ + S₂ − 2√(S₁S₂)): the two terms below
  double means = 0;
  double covariances = 0;  // ≥ 0 but for rounding
  // What was taken for 0: of S₁ and S₂, the diagonal (Σ|·|) of what is left where no pivot of Cholesky's is above
  // rounding. More than rounding where a matrix is no covariance.
  double clamped = 0;
};
// tr √(S₁S₂) from singular values, not from eigenvalues of S₁^½ S₂ S₁^½: they are right to ε of the largest, the
// roots of small eigenvalues only to √ε. No eigenvectors are needed, and of few samples little time: the work is
// O(D r₁r₂ + min(r)·r₁r₂) for ranks r. Throws InputError where the two have other widths.
FrechetDistance frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b);

}  // namespace vapo::data
