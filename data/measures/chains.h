#pragma once
// How much a chain of dependent numbers says.

#include <cstdint>
#include <span>
#include <vector>

namespace vapo::data {

// Chains of one length ≥ 4 that should have one law: chains[c][s].
using Chains = std::vector<std::vector<double>>;
struct ChainStatistics {
  double effective_samples = 0;     // C·S/τ; NaN where nothing varies
  double autocorrelation_time = 0;  // τ, in steps
  double r_hat = 0;                 // √(var⁺/W): near 1 where the chains have one law; NaN where nothing varies
  std::vector<double> autocorrelation;  // ρ_0 = 1, ρ_1, … as far as the sum below went
};
// ρ_t of all chains together by Vehtari, Gelman, Simpson, Carpenter & Bürkner (Bayesian Analysis 2021), eq. 10:
// 1 − (W − mean autocovariance at t)/var⁺, with W the variance within the chains and var⁺ that of all; chains
// that sit in different places so count for little. τ = −1 + 2Σ_k P_k, P_k = ρ_2k + ρ_2k+1, over Geyer's initial
// monotone positive sequence (Statistical Science 1992, 3.3); at least 1/log₁₀(C·S). Throws InputError where a
// value is not finite, or lengths differ or are below 4.
ChainStatistics chain_statistics(const Chains& chains);

// Of chains of one length ≥ 4, independent of each other: the mean over them of the difference between the means of their
// second and first halves, and its standard error (NaN of one chain). A drift widens the spread within chains, and so
// flatters R̂. Throws as chain_statistics.
struct Drift {
  double mean = 0, standard_error = 0;
  bool is_seen() const;  // beyond 2 standard errors
};
Drift drift(const Chains& chains);

// Least squares through the means of `blocks` equal blocks; per value. The standard error is that of the blocks'
// residuals: right where a block is longer than the memory of the series, too small (so that more is called a
// drift) where it is not.
struct Trend {
  double slope = 0, standard_error = 0;
  bool level() const;  // |slope| ≤ 2 standard errors
};
Trend trend(std::span<const double> values, int64_t blocks = 20);  // of at least 4 finite values, else InputError

}  // namespace vapo::data
