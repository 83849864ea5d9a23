#pragma once
// Learning rate as a function of the step (counted from 0).

#include <cstdint>

#include "tensor/names.h"

namespace vapo::nn {

struct Schedule {
  enum class Kind { constant, cosine, step };
  Kind kind = Kind::constant;
  double base = 1e-3;
  int64_t warmup_steps = 0;  // linear from base/warmup_steps to base
  int64_t total_steps = 0;   // cosine: falls to `final_fraction`·base here
  double final_fraction = 0;
  int64_t step_every = 0;  // step: multiplied by `step_factor` every so many steps
  double step_factor = 0.1;

  double at(int64_t step) const;
};
constexpr auto names_of(Schedule::Kind) {
  using Kind = Schedule::Kind;
  return name_table<Kind>("schedule",
                          {{"constant", Kind::constant}, {"cosine", Kind::cosine}, {"step", Kind::step}});
}

}  // namespace vapo::nn
