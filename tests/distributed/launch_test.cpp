// What launchers leave in the environment.

#include "distributed/launch.h"

#include <doctest/doctest.h>

#include <map>

#include "tensor/check.h"

using namespace vapo;

namespace {

using Variables = std::map<std::string, std::string>;

Launch launch(const Variables& variables) {
  return launch_of([&](const char* name) {
    auto it = variables.find(name);
    return it == variables.end() ? nullptr : it->second.c_str();
  });
}
void check(const Launch& found, const char* by, int64_t rank, int64_t size, int64_t local_rank) {
  CHECK(found.by == by);
  CHECK(found.rank == rank);
  CHECK(found.size == size);
  CHECK(found.local_rank == local_rank);
}
std::string refused(const Variables& variables) {
  try {
    launch(variables);
  } catch (const InputError& e) {
    return e.what();
  }
  return "taken";
}

const Variables open_mpi = {
    {"OMPI_COMM_WORLD_RANK", "3"}, {"OMPI_COMM_WORLD_SIZE", "8"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}};

}  // namespace

TEST_CASE("each launcher's variables are understood") {
  CHECK(launch({}).alone());
  check(launch({}), "", 0, 1, 0);
  check(launch(open_mpi), "mpirun", 3, 8, 1);
  check(launch({{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}}), "mpiexec", 2, 4, 2);
  check(launch({{"PMI_RANK", "2"}, {"PMI_SIZE", "4"}, {"MPI_LOCALRANKID", "0"}}), "mpiexec", 2, 4, 0);
  check(launch({{"SLURM_PROCID", "5"}, {"SLURM_STEP_NUM_TASKS", "6"}, {"SLURM_LOCALID", "1"}}), "srun", 5, 6, 1);
  check(launch({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "a"}}), "torchrun", 1, 2,
        1);
}

TEST_CASE("the script of a Slurm job is no rank, and Open MPI's ranks below a step of it are its own") {
  CHECK(launch({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_LOCALID", "0"}}).alone());
  Variables both = open_mpi;
  both.merge(Variables{{"SLURM_PROCID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}});
  check(launch(both), "mpirun", 3, 8, 1);
}

TEST_CASE("what contradicts itself is told") {
  CHECK(refused({{"RANK", "1"}}).starts_with("RANK is set and WORLD_SIZE is not"));
  CHECK(
      refused({{"OMPI_COMM_WORLD_SIZE", "2"}}).starts_with("OMPI_COMM_WORLD_SIZE is set and OMPI_COMM_WORLD_RANK"));
  CHECK(refused({{"RANK", "2"}, {"WORLD_SIZE", "2"}}) == "RANK=2 is not below WORLD_SIZE=2");
  CHECK(refused({{"RANK", "x"}, {"WORLD_SIZE", "2"}}) == "RANK=x: not a number of processes");
  CHECK(refused({{"PMI_RANK", "0"}, {"PMI_SIZE", "-2"}}) == "PMI_SIZE=-2: not a number of processes");
  Variables both = open_mpi;
  both.merge(Variables{{"RANK", "0"}, {"WORLD_SIZE", "2"}});
  CHECK(refused(both).starts_with(
      "OMPI_COMM_WORLD_RANK=3 of OMPI_COMM_WORLD_SIZE=8, and RANK=0 of WORLD_SIZE=2: which launcher"));
  both["RANK"] = "3", both["WORLD_SIZE"] = "8";  // told twice, and alike
  check(launch(both), "mpirun", 3, 8, 1);
}
