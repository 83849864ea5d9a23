#include "apps/run/ranks.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "apps/run/exit_code.h"
#include "distributed/mpi.h"
#include "distributed/nccl.h"
#include "distributed/signs_of_life.h"
#include "tensor/check.h"
#include "tensor/device.h"
#include "tensor/io/printable.h"
#include "tensor/parallel.h"

namespace vapo::app {
namespace {

std::unique_ptr<Communicator> by_mpi = alone(), of_gpus;
std::unique_ptr<SignsOfLife> signs;  // where there is no MPI
Launch launched;

// Of a rank with one that gives no sign of life, or whose part of a sum does not come: what the variable says.
std::chrono::seconds patience_or(int64_t seconds) {
  const char* text = std::getenv("VAPO_PATIENCE");
  if (text) {
    const char* end = text + std::strlen(text);
    if (auto [at, error] = std::from_chars(text, end, seconds); error != std::errc() || at != end || seconds < 2)
      throw InputError(fmt::format("VAPO_PATIENCE={}: seconds, at least 2", text));
  }
  return std::chrono::seconds(seconds);
}

// torchrun starts no MPI, which ranks on CPUs need: NCCL finds the others itself, at the port after that where torchrun has its own service.
bool joined_as_torchrun_means() {
  if (launched.by != "torchrun") return false;
  if (!cuda_available())
    throw InputError(
        fmt::format("torchrun started {} processes, and rank {} has no GPU: {}. Hint: on CPUs mpirun -n {}",
                    launched.size, launched.rank, cuda_absence(), launched.size));
  const char *host = std::getenv("MASTER_ADDR"), *text = std::getenv("MASTER_PORT");
  int port = 0;
  if (!host || !text || std::from_chars(text, text + std::strlen(text), port).ec != std::errc() || port < 1 ||
      port > 65533)
    throw InputError(
        fmt::format("torchrun started {} processes without MASTER_ADDR and MASTER_PORT (1 to 65533), where "
                    "they find each other",
                    launched.size));
  bool of_six = std::strchr(host, ':') != nullptr;
  std::string address = fmt::format(fmt::runtime(of_six ? "[{}]:{}" : "{}:{}"), host, port + 1);
  of_gpus = join_by_nccl(launched, nullptr, {.address = address, .exit_code = kIo});
  signs = std::make_unique<SignsOfLife>(
      launched, SignsOptions{.host = host, .port = port + 2, .patience = patience_or(30), .exit_code = kIo});
  return true;
}

}  // namespace

Communicator& ranks() { return of_gpus ? *of_gpus : *by_mpi; }

const Launch& launch() { return launched; }

void join_ranks() {
  launched = launch_of_environment();
  if (launched.size == 1 || joined_as_torchrun_means()) return;
  by_mpi = join_by_mpi(launched, {.patience = patience_or(30), .exit_code = kIo});
}

void take_gpus() {
  if (ranks().size() == 1 || ranks().sums_on_gpus()) return;
  of_gpus = join_by_nccl(launched, by_mpi.get(), {.exit_code = kIo});
}

// There are signs of life beside. A rank that gives them may be busy while the others wait, rank 0 with the samples of a training.
void expect_answers() {
  constexpr std::chrono::seconds long_enough{1800};
  ranks().set_patience(long_enough);
}

void expect_same(const std::string& what, const std::string& own) {
  std::vector<std::string> all = ranks().gather(own);
  for (size_t rank = 1; rank < all.size(); ++rank)
    if (all[rank] != all[0])
      throw InputError(fmt::format("{}: {} on rank 0, and {} on rank {}. Hint: the same on all", what,
                                   printable(all[0]), printable(all[rank]), rank));
}

namespace {

std::filesystem::path scratch;  // empty until it is wanted

void remove_scratch() {
  std::error_code error;
  if (!scratch.empty()) std::filesystem::remove_all(scratch, error);
}

}  // namespace

const std::filesystem::path& scratch_of_rank() {
  if (scratch.empty()) scratch = std::filesystem::temp_directory_path() / fmt::format("vapo-rank-{}", getpid());
  std::filesystem::create_directories(scratch);
  return scratch;
}

void leave_ranks() {
  remove_scratch();
  of_gpus.reset();
  if (auto by = std::exchange(signs, nullptr)) by->leave();
  by_mpi = alone();
}

void end_ranks(const std::string& message, int exit_code, void (*say)(const std::string& line)) {
  if (ranks().leads()) {
    say(message);
  } else {
    std::this_thread::sleep_for(std::chrono::seconds(3));
    say(fmt::format("rank {}: {}", ranks().rank(), message));
  }
  remove_scratch();
  ranks().abort(exit_code);
  std::_Exit(exit_code);
}

int threads_of_rank() {
  int64_t beside = ranks_on_this_machine();
  if (beside == 1 || std::getenv("OMP_NUM_THREADS")) return 0;
  int64_t cores = sysconf(_SC_NPROCESSORS_ONLN), own = num_threads();
  return static_cast<int>(std::min(own, std::max<int64_t>(1, cores / beside)));
}

}  // namespace vapo::app
