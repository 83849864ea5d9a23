#pragma once
// What stands for "auto" (vapo/keys.h) in the training on a table: chosen from its rows.

#include <functional>
#include <string>

#include "vapo/recipe.h"
#include "vapo/training/point_batches.h"

namespace vapo {

// How rows are shown.
struct PointView {
  Standardize standardize;
  double jitter;
  bool operator==(const PointView&) const = default;
};

// From the numbers of rows and columns alone.
struct PointSizes {
  std::vector<int64_t> hidden;
  int64_t batch_size;
  int64_t most_steps;  // of which fewer may do
  std::vector<PointView>
      views;  // to be tried; jitters are shares of Scott's bandwidth N^(−1/(D+4)) of a kernel estimate
};
PointSizes sizes_for(int64_t rows, int64_t columns);

struct PointTrial {
  PointView view;
  int64_t steps = 0;
  double nats = 0;  // mean log-likelihood of the rows left out, in their own units
};

// Sets what is auto among model.hidden, train.batch_size, standardize, jitter and train.steps. The last three by trial:
// trainings on four fifths of the rows, and the likelihood of the others after more and more steps. The schedule of the
// learning rate stays that of the most steps. Returns a sentence on what was chosen, "" where nothing was auto. `before_trial` is
// told how many trainings there will be; with none nothing is tried: the most steps.
std::string choose_auto(Recipe& recipe, PointOptions& options, const Tensor& rows, Device device,
                        const std::function<void(int64_t trainings)>& before_trial);

}  // namespace vapo
