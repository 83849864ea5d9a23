#pragma once
// What vapo density has measured, for its figures.

#include <filesystem>
#include <vector>

#include "apps/run/evaluation.h"
#include "apps/sampling/sampling.h"
#include "data/measures/statistics.h"

namespace vapo::app {

struct SgldTrace {  // every few steps of the long run
  std::vector<double> step, mean_energy, mean_squared_gradient;
};

struct DensityResult {
  data::Grid grid;
  std::vector<double> true_shares;  // empty where the density is not known
  std::string law;  // what the Langevin dynamics keep: "the marginal energy", or "Phi at temperature 0.1"
  std::vector<double> law_shares, boltzmann_shares;
  Tensor reference;                 // the points compared with, (N,2)
  Tensor sgld_samples;              // (N,2), of the law
  std::vector<Tensor> sgld_trails;  // a few chains at successive steps
  SgldTrace sgld;
};

// Draws flow.png, density.png, sgld.png and, where metrics.jsonl is there, loss.png.
void draw_figures(Evaluation& evaluation, const Model& model, const DensityResult& result, uint64_t seed,
                  const std::filesystem::path& metrics);

}  // namespace vapo::app
