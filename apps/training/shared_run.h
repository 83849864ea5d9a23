#pragma once
// One run of several ranks: rank 0 has the folder, the others its state.

#include <filesystem>
#include <optional>

#include "apps/run/command.h"
#include "apps/training/opening.h"
#include "distributed/communicator.h"

namespace vapo::app {

// What a launcher's ranks need of a config that does not say it: train.shards. Tells it.
void choose_shards(Config& config, int64_t ranks);

// Rank 0's run, which it has opened, on the other ranks too: config, data that they open themselves, and the state of the
// checkpoint at which it stands. Throws InputError naming the rank where one was asked for something else, or is another
// build.
Run share_run(Communicator& ranks, std::optional<Run> opened, const RunRequest& request, const RunFolder& folder);

// Throws DivergedError, on all ranks, naming one whose parameters are not those of rank 0.
void compare_ranks(Communicator& ranks, const Trainer& trainer);

// Which of SIGINT, SIGTERM and SIGHUP any rank had, on all of them at the same step. Ranks ask each other some twice a second, or
// after every step where that takes longer: a message a step would cost more than many a step does.
class SignalOfAny {
 public:
  explicit SignalOfAny(Communicator& ranks) : ranks_(ranks) {}
  // Called by all before every step; soon: ask now, for what was done since took long. 0: none.
  int operator()(int own, bool soon);

 private:
  Communicator& ranks_;
  int64_t left_ = 0, steps_ = 1, made_ = 0;  // until they ask, from one time to the next, since they asked
  Stopwatch since_;
};

}  // namespace vapo::app
