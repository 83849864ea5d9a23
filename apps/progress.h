#pragma once
// What a run tells while it trains: a line on standard error and metrics.jsonl.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "apps/command.h"
#include "apps/trainer.h"

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

// metrics.jsonl: one JSON object a line. Each line is one write, taken back whole where it fails; throws IoError.
class MetricsLog {
 public:
  // Keeps the lines up to `step` (a resumed run) and appends after them.
  MetricsLog(const std::filesystem::path& file, int64_t step);
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  void append(const Json& line);
  bool kept(int64_t step, const std::string& key) const;  // whether a line of that step with that key was kept

 private:
  std::filesystem::path file_;
  std::vector<Json> last_lines_;  // of those kept, the ones of `step`
  int descriptor_ = -1;
};

}  // namespace vapo::app
