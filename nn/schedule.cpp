#include "nn/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace vapo::nn {

double Schedule::at(int64_t step) const {
  double rate = base;
  if (kind == Kind::cosine) {
    if (total_steps < 1)
      throw InputError(fmt::format("the cosine schedule needs its total number of steps, got {}", total_steps));
    auto length = static_cast<double>(std::max<int64_t>(1, total_steps - warmup_steps));
    double progress = std::clamp(static_cast<double>(step - warmup_steps) / length, 0.0, 1.0);
    rate *= final_fraction + (1 - final_fraction) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
  } else if (kind == Kind::step) {
    if (step_every < 1)
      throw InputError(fmt::format("the step schedule needs step_every of at least 1, got {}", step_every));
    rate *= std::pow(step_factor, static_cast<double>(step / step_every));
  }
  if (step < warmup_steps) rate *= static_cast<double>(step + 1) / static_cast<double>(warmup_steps);
  return rate;
}

}  // namespace vapo::nn
