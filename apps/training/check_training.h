#pragma once
// Values of a config that are each in their range and make no sense together.

#include <string>
#include <vector>

#include "apps/run/config.h"

namespace vapo::app {

// Throws InputError "train.warmup_steps = 500 must be below …" for a new run that would silently learn nothing, or
// something else than it seems to say.
void check_training(const Config& config);

// What is allowed and worth a line before a run begins: steps at which nothing is learned, values that are not
// used.
std::vector<std::string> doubts_about(const Config& config);

}  // namespace vapo::app
