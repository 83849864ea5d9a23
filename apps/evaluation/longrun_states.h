#pragma once
// Where long runs begin, and what the flow makes of where they lead.

#include <string>
#include <vector>

#include "apps/evaluation/longrun.h"
#include "apps/run/model.h"

namespace vapo::app {

// n particles of what a run begins with, in the units that the potential sees, on the model's device: "noise"; "samples"
// of the flow; or "data" that it was trained on, with noise of that deviation.
Tensor long_run_start(const Model& model, const std::string& start, int64_t n, uint64_t seed, double noise);

// States (times,N,…) of chains of the marginal energy of t in the data's scale (vapo/scores.h), carried on by the flow to
// t = 1, shaped like them. Throws DivergedError as draw_samples does.
Tensor denoised(const Model& model, const Tensor& states, double t);

// Of a run whose chains had these temperatures in turn: a run for each, named by it. What is a mean over all chains is in
// none of them.
std::vector<LongRun> by_temperature(const LongRun& together, const std::vector<double>& temperatures);

}  // namespace vapo::app
