#include "apps/training/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "apps/run/streams.h"

namespace vapo::app {

Progress::Progress(int64_t first_step, int64_t last_step)
    : first_(first_step), last_(last_step), terminal_(isatty(STDERR_FILENO) != 0) {}

Progress::~Progress() {
  if (line_open_) write_error("\n");
}

double Progress::steps_per_second(int64_t step) const {
  double seconds = watch_.seconds();
  return seconds > 0 ? static_cast<double>(step - first_) / seconds : 0;
}

double Progress::seconds_since_last_log() {
  double now = watch_.seconds();
  return now - std::exchange(logged_at_, now);
}

void Progress::show(int64_t step, const StepReport& report, bool is_log_step) {
  constexpr double kRefreshSeconds = 0.2;
  double now = watch_.seconds();
  if (terminal_ ? now - shown_at_ < kRefreshSeconds && step != last_ : !is_log_step) return;
  shown_at_ = now;
  double speed = steps_per_second(step);
  std::string terms;
  if (report.terms.size() > 1) {
    for (const auto& [name, value] : report.terms)
      terms += fmt::format("{}{} {:.4g}", terms.empty() ? "" : ", ", name, value);
    terms = " (" + terms + ")";
  }
  std::string line =
      fmt::format("step {}/{}  loss {:.5g}{}  {:.{}f} steps/s  {:.0f} s left", step, last_, report.loss, terms,
                  speed, speed < 10 ? 2 : 0, speed > 0 ? static_cast<double>(last_ - step) / speed : 0);
  if (terminal_) {
    write_error("\r\x1b[K" + line);
    line_open_ = true;
  } else {
    note(line);
  }
}

}  // namespace vapo::app
