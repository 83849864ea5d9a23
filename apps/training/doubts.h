#pragma once
// What is allowed in a config and worth a line before a run begins.

#include <string>
#include <vector>

#include "apps/run/config.h"

namespace vapo::app {

// Steps at which nothing is learned, values that are not used. What makes no sense is refused by check(recipe).
std::vector<std::string> doubts_about(const Config& config);

}  // namespace vapo::app
