#include "distributed/launch.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "tensor/check.h"

namespace vapo {
namespace {

// How a launcher calls them.
struct Names {
  const char *by, *rank, *size, *local_rank;
};
constexpr Names kLaunchers[] = {
    {"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"},
    {"mpiexec", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"},
    {"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"},
    {"torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK"},
};

using Variable = std::function<const char*(const char*)>;

std::optional<int64_t> number(const Variable& variable, const char* name) {
  const char* text = variable(name);
  if (!text) return {};
  int64_t value = -1;
  const char* end = text + std::strlen(text);
  if (auto [at, error] = std::from_chars(text, end, value); error != std::errc() || at != end || value < 0)
    throw InputError(fmt::format("{}={}: not a number of processes", name, text));
  return value;
}

std::optional<Launch> launch_by(const Names& names, const Variable& variable) {
  auto rank = number(variable, names.rank), size = number(variable, names.size);
  // Of Slurm an allocation has a rank, too, and only a step has a size.
  if (!size && (!rank || std::strcmp(names.by, "srun") == 0)) return {};
  if (!rank || !size)
    throw InputError(fmt::format("{} is set and {} is not: no launcher does so. Hint: unset it",
                                 rank ? names.rank : names.size, rank ? names.size : names.rank));
  Launch out{.rank = *rank, .size = *size, .by = names.by};
  if (out.rank >= out.size)
    throw InputError(fmt::format("{}={} is not below {}={}", names.rank, out.rank, names.size, out.size));
  out.local_rank = number(variable, names.local_rank).value_or(out.rank);
  return out;
}

}  // namespace

Launch launch_of(const Variable& variable) {
  std::optional<Launch> found;
  const Names* by = nullptr;
  for (const Names& names : kLaunchers) {
    std::optional<Launch> other = launch_by(names, variable);
    if (!other) continue;
    if (!found) {
      found = other, by = &names;
      continue;
    }
    // Launchers start each other's daemons as steps of Slurm; two of the others are at odds where their numbers are.
    if (std::strcmp(names.by, "srun") == 0) continue;
    if (other->rank != found->rank || other->size != found->size)
      throw InputError(fmt::format(
          "{}={} of {}={}, and {}={} of {}={}: which launcher started this? Hint: unset the other's", by->rank,
          found->rank, by->size, found->size, names.rank, other->rank, names.size, other->size));
  }
  return found.value_or(Launch{});
}

Launch launch_of_environment() {
  return launch_of([](const char* name) { return std::getenv(name); });
}

}  // namespace vapo
