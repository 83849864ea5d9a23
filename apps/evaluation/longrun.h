#pragma once
// What vapo longrun has run, for its tables and figures.

#include <string>
#include <vector>

#include "apps/evaluation/long_chain.h"
#include "apps/run/evaluation.h"

namespace vapo::app {

struct LongRun {
  std::string name, start;  // name: of its files
  double temperature = 0;   // of SGLD
  Chain chain;
  Tensor denoised = {};  // like chain.shown, carried on to t = 1; undefined where that was not asked for
};
struct LongRuns {
  bool ode = false, of_images = true;
  std::string function;  // what is followed, as text: "Phi", "4 Phi - |x|^2", …
  double unit = 1;       // time, or steps, of one step
  int64_t steps = 0, burn_in = 0;
  std::vector<int64_t> shown;          // the steps after which x was kept
  std::string not_comparable_because;  // with the poster's; empty where it is
  std::vector<LongRun> runs;
};

// NAME.png and NAME.npy of each run's images, curves.png, the table, and the rows beside the poster's.
void report_long_runs(Evaluation& evaluation, const LongRuns& result);

}  // namespace vapo::app
