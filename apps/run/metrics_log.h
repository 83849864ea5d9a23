#pragma once
// metrics.jsonl: what training and long runs measured, step by step.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "apps/run/command.h"

namespace vapo::app {

// One JSON object a line. Each line is one write, taken back whole where it fails; throws IoError.
class MetricsLog {
 public:
  // Keeps the lines up to `step` (a resumed run), but for those of `step` itself with the key `without`, and appends
  // after them.
  MetricsLog(const std::filesystem::path& file, int64_t step, const std::string& without = {});
  ~MetricsLog();
  MetricsLog(const MetricsLog&) = delete;
  MetricsLog& operator=(const MetricsLog&) = delete;
  void append(const Json& line);
  const std::string& machine() const { return machine_; }  // the last one that the kept lines name; or empty
  bool kept(int64_t step, const std::string& key) const;   // whether a line of that step with that key was kept

 private:
  std::filesystem::path file_;
  std::string machine_;
  std::vector<Json> last_lines_;  // of those kept, the ones of `step`
  int descriptor_ = -1;
};

}  // namespace vapo::app
