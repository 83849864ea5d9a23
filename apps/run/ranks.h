#pragma once
// The ranks that this process is one of: those that a launcher started, or itself alone.

#include <string>

#include "distributed/communicator.h"
#include "distributed/launch.h"

namespace vapo::app {

Communicator& ranks();
const Launch& launch();
// Joins the others, once, before anything is computed. Throws InputError as launch_of, join_by_mpi and join_by_nccl do.
void join_ranks();
void leave_ranks();  // waits for all
// Of several ranks each takes a GPU, before the first use of it. Throws InputError as join_by_nccl does.
void take_gpus();

// Ends all ranks, each of which may call it for a reason that all have: rank 0 says its own at once, another only where
// rank 0 has said nothing for a moment. `say` tells a line.
[[noreturn]] void end_ranks(const std::string& message, int exit_code, void (*say)(const std::string& line));

// Threads for each rank where the ranks of this machine share its cores and nothing says how many; 0: as the library has it.
int threads_of_rank();

}  // namespace vapo::app
