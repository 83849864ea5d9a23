#pragma once
// Scores of samples, higher for what is more like the data; and the conventions in which likelihoods of images are given.

#include "tensor/random.h"
#include "vapo/energy.h"

namespace vapo {

// Of a log-density E at samples x (N,…), on the CPU in f64: E(x); −‖∇E(x)‖, which is small in size where the density
// is flat ("approximate mass", Grathwohl et al. 2020); and with vectors v like x, T = vᵀ∇²E(x) v. Of samples of e^E
// itself E‖∇E‖² = −E[ΔE], by parts, and T is ΔE on average: where ‖∇E‖² and T lie among those of training samples is a
// score too (SCOPED, arXiv 2510.01456).
struct EnergyScores {
  Tensor energy, mass;  // (N)
  Tensor trace = {};    // (N), of vectors
};
EnergyScores energy_scores(const Energy& energy, const Tensor& x, const Tensor& v = {});
EnergyScores energy_scores(const EnergySlope& slope, const Tensor& x);  // of several batches: recorded on a GPU
EnergyScores energy_scores(const EnergyCurvature& curvature, const Tensor& x, const Tensor& v);  // likewise

// ±1 for each number of x (N,…), like x: row i draws from key.step + index[i]. index (N) i64.
Tensor probes(const Tensor& x, RandomKey key, const Tensor& index);

// log ρ̄(μ(t)x, t): up to a constant the log-density of the data blurred by noise of deviation σ/μ, in the data's
// scale. Where σ(t) = 0 it is the data's own. Throws as marginal_energy; the potential must outlive it.
Energy blurred_data_energy(const Potential& phi, const Path& path, double t);

// −|s − mean|, where `mean` is that of the scores of training images: high-dimensional laws live where the score is
// usual, not where it is highest (Nalisnick et al. 2019). (N) f64.
Tensor typicality(const Tensor& scores, double mean);

// (x_i + x_{i+1})/2: images that are near the data and not of it. (N,…) → (N−1,…)
Tensor neighbour_means(const Tensor& x);

// Grey levels u in [0,255] → (u + U[0,1))/128 − 1 in [−1,1), f32. Row i draws from key.step + index[i]. u (N,…) of
// any dtype; index (N) i64.
Tensor dequantized(const Tensor& u, RandomKey key, const Tensor& index);

// Of u itself, from log p(x) in nats of x = u/128 − 1 with `dims` numbers: −log p/(D ln 2) + 7.
double bits_per_dim(double log_likelihood, int64_t dims);

double share_outside(const Tensor& x);  // of numbers with |x| > 1, in [0,1]

}  // namespace vapo
