// Linked where the build has no NCCL.

#include "distributed/nccl.h"
#include "tensor/check.h"

namespace vapo {

bool with_nccl() { return false; }

std::unique_ptr<Communicator> join_by_nccl(const Launch& launch, Communicator*, const NcclOptions&) {
  throw InputError(fmt::format(
      "{} started {} processes for GPUs, and this vapo is built without NCCL. Hint: --device cpu, or install "
      "NCCL's header and library and build again",
      launch.by, launch.size));
}

}  // namespace vapo
