#pragma once
// A long run of particles: a line of JSON for every step, and a state from which it goes on with the same bits.

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/measures/chains.h"
#include "tensor/tensor.h"

namespace vapo::app {

// What is known of step k before it is made.
struct ChainStep {
  int64_t step;
  const Tensor& x;               // (N,H,W,C), or points (N,D)
  const Tensor& values;          // (N): of the function that is followed
  double mean_squared_gradient;  // of it
};
using Observe = std::function<void(const ChainStep&)>;
// Makes `count` steps from step `first` on, reporting each; returns where they lead. The same from the same x,
// however the steps are cut into calls. Throws DivergedError.
using Advance = std::function<Tensor(const Tensor& x, int64_t first, int64_t count, const Observe& observe)>;

struct ChainPlan {
  std::string name;  // of NAME.jsonl and NAME.safetensors
  std::string what;  // for people
  int64_t steps;
  std::vector<int64_t> shown;  // after so many steps x is kept, in rising order
  double save_every = 30;      // seconds between two states on disk; 0: as often as can be
};

struct Chain {
  std::vector<double> mean_squared_gradient, mean_absolute_value,
      outside;          // a number a step; NaN where not finite, or of points
  data::Chains values;  // of each particle, step by step
  Tensor shown;         // (times,N,…): as many as were reached
  std::string ended;    // why it ended before its time; empty where it did not
};

// Runs, or goes on with, or reads what is left of a chain in `folder`.
Chain run_chain(const std::filesystem::path& folder, const ChainPlan& plan, const Tensor& start,
                const Advance& advance);

}  // namespace vapo::app
