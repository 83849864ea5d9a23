#pragma once
// The ranks that this process is one of: those that a launcher started, or itself alone.

#include <filesystem>
#include <string>

#include "distributed/communicator.h"
#include "distributed/launch.h"

namespace vapo::app {

Communicator& ranks();
const Launch& launch();
// Joins the others, once, before anything is computed. Throws InputError as launch_of, join_by_mpi and join_by_nccl do.
void join_ranks();
void leave_ranks();  // waits for all
// What must be one on all ranks; called by all. Throws on rank 0, naming the rank that has another; the others go on, and are
// ended by it.
void expect_same(const std::string& what, const std::string& own);
// Of several ranks each takes a GPU, before the first use of it. Throws InputError as join_by_nccl does.
void take_gpus();
// From here on all ranks are at the same work: one that does not answer stands still, and all are ended.
void expect_answers();

// Ends all ranks, each of which may call it for a reason that all have: rank 0 says its own at once, another only where
// rank 0 has said nothing for a moment. `say` tells a line.
[[noreturn]] void end_ranks(const std::string& message, int exit_code, void (*say)(const std::string& line));

// A folder of this rank alone, for what only rank 0 keeps; gone when ranks end.
const std::filesystem::path& scratch_of_rank();

// Threads for each rank where the ranks of this machine share its cores and nothing says how many; 0: as the library has it.
int threads_of_rank();

}  // namespace vapo::app
