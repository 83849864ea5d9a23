#pragma once
// What a run would cost, told from two small steps of its own network on this machine.

#include "apps/run/command.h"
#include "apps/run/dataset.h"

namespace vapo::app {

// Parameters, FLOPs of a step (products and convolutions, by the definition), bytes at the peak of a step beside
// the data set, seconds of a step and of all. Writes nothing.
Json dry_run(const Config& config, Dataset& dataset, Device device);

}  // namespace vapo::app
