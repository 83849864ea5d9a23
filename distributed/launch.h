#pragma once
// Who started this process beside others, and which of them it is: what launchers leave in the environment.

#include <cstdint>
#include <functional>
#include <string>

namespace vapo {

struct Launch {
  int64_t rank = 0, size = 1;
  int64_t local_rank = 0;  // among those on this machine
  std::string by = {};     // mpirun, mpiexec, srun or torchrun; empty: started alone
  bool alone() const { return by.empty(); }
};
// From the variables of Open MPI (OMPI_COMM_WORLD_*), of PMI (PMI_*, MPI_LOCALRANKID, those of MPICH and Intel), of a step of
// Slurm (SLURM_*; Open MPI's own daemons are such a step, so theirs come first), and of torchrun (RANK, WORLD_SIZE,
// LOCAL_RANK). `variable` gives a value, or null. Throws InputError naming them where one is missing or
// no number, where a rank is not below the size, and where two launchers disagree.
Launch launch_of(const std::function<const char*(const char* name)>& variable);
Launch launch_of_environment();

}  // namespace vapo
