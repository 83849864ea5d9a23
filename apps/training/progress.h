#pragma once
// What a run tells while it trains, on standard error.

#include <cstdint>

#include "apps/run/command.h"
#include "vapo/training/trainer.h"

namespace vapo::app {

// On a terminal one line that is rewritten a few times a second; elsewhere a line every `log_every` steps.
class Progress {
 public:
  Progress(int64_t first_step, int64_t last_step);
  ~Progress();
  void show(int64_t step, const StepReport& report, bool is_log_step);
  double steps_per_second(int64_t step) const;
  double seconds() const { return watch_.seconds(); }
  double seconds_since_last_log();  // or since the start

 private:
  int64_t first_, last_;
  bool terminal_;
  bool line_open_ = false;
  double shown_at_ = -1, logged_at_ = 0;
  Stopwatch watch_;
};

}  // namespace vapo::app
