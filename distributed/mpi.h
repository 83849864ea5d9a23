#pragma once
// Ranks that a launcher of MPI started.

#include <chrono>
#include <memory>

#include "distributed/communicator.h"
#include "distributed/launch.h"

namespace vapo {

bool with_mpi();  // whether this was built with it

struct MpiOptions {
  // After so long without a sign of life from the rank before this one, which a thread beside gives, all are ended.
  std::chrono::seconds patience{30};
  int exit_code = 5;  // then
};
// Joins the ranks of the launch; its end leaves them, and waits for all. Once a process. Throws InputError where MPI was not
// built in, or where it sees other ranks than the launcher started.
std::unique_ptr<Communicator> join_by_mpi(const Launch& launch, const MpiOptions& options = {});
int64_t ranks_on_this_machine();  // of those that have joined; 1 before

}  // namespace vapo
