#pragma once
// Ranks that have a GPU each.

#include <memory>
#include <string>

#include "distributed/communicator.h"
#include "distributed/launch.h"

namespace vapo {

bool with_nccl();  // whether this was built with it; the library itself is looked for when ranks join

struct NcclOptions {
  // Where no other communicator brings NCCL's id: "HOST:PORT" of rank 0, by which NCCL itself finds the others.
  std::string address = {};
  int exit_code = 5;  // where another rank is gone, or stands still (set_patience)
};
// Joins the ranks of the launch, on the GPU of this one's local rank, which becomes Device::cuda (choose_gpu). Sums of tensors
// on it go from GPU to GPU; all else goes over `host`, which must outlive it, or without one (null) by way of the GPUs, too. Once a process. Throws
// InputError where NCCL was not built in or is not found, or refuses these ranks.
std::unique_ptr<Communicator> join_by_nccl(const Launch& launch, Communicator* host,
                                           const NcclOptions& options = {});

}  // namespace vapo
