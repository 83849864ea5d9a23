#pragma once
// What vapo ood has scored, for its tables and figure.

#include <string>
#include <vector>

#include "apps/run/evaluation.h"

namespace vapo::app {

// The scores of one set of images, each higher for what is more like the data. All sets have the same scores in the same order.
struct SetScores {
  std::string name;
  std::vector<std::vector<double>> values;  // of each score
};

struct OodResult {
  std::vector<std::string> scores;  // their names; the first is that of the paper
  SetScores in;
  std::vector<SetScores> out;
  uint64_t seed = 0;
  std::string not_comparable_because;  // with the poster's CIFAR-10; empty where it is
};

constexpr int64_t kResamples = 1000;  // of the bootstrap

// AUROCs with their intervals as tables, the rows beside the poster's, and a figure of histograms.
void report_ood(Evaluation& evaluation, const OodResult& result);

}  // namespace vapo::app
