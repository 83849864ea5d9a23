// Where MPI was not found.

#include "distributed/mpi.h"
#include "tensor/check.h"

namespace vapo {

bool with_mpi() { return false; }

int64_t ranks_on_this_machine() { return 1; }

std::unique_ptr<Communicator> join_by_mpi(const Launch& launch, const MpiOptions&) {
  throw InputError(fmt::format(
      "{} started {} processes, and this vapo was built without MPI: each would do all of it. Hint: install "
      "libopenmpi-dev and openmpi-bin, and build anew",
      launch.by, launch.size));
}

}  // namespace vapo
