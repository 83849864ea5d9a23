#pragma once
// What a run would cost, told from two small steps of its own network on this machine.

#include "apps/run/command.h"
#include "apps/run/dataset.h"

namespace vapo::app {

// Parameters, FLOPs of a step (products and convolutions, by the definition), bytes at the peak of a step beside
// the data set, seconds of a step and of all. Writes nothing.
Json dry_run(const Config& config, Dataset& dataset, Device device);

// Ranks that each compute as this machine does, and what is between them: bits a second that each sends while it receives as
// many, and the time of an empty message.
struct RanksAsked {
  int64_t ranks = 1;
  double gigabits = 10, latency_ms = 0.05;
};
// What dry_run found of a run, divided among ranks: no sum begins before the last part's gradient is there.
Json among_ranks(const Json& alone, const RanksAsked& asked);

}  // namespace vapo::app
