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
#include "tensor/parallel.h"

namespace vapo::app {
namespace {

std::unique_ptr<Communicator> joined = alone();
Launch launched;

// Of a rank with one that gives no sign of life: half a minute, or what the variable says.
std::chrono::seconds patience() {
  const char* text = std::getenv("VAPO_PATIENCE");
  int64_t seconds = 30;
  if (text) {
    const char* end = text + std::strlen(text);
    if (auto [at, error] = std::from_chars(text, end, seconds); error != std::errc() || at != end || seconds < 2)
      throw InputError(fmt::format("VAPO_PATIENCE={}: seconds, at least 2", text));
  }
  return std::chrono::seconds(seconds);
}

}  // namespace

Communicator& ranks() { return *joined; }

const Launch& launch() { return launched; }

void join_ranks() {
  launched = launch_of_environment();
  if (launched.size > 1) joined = join_by_mpi(launched, {.patience = patience(), .exit_code = kIo});
}

void leave_ranks() { joined = alone(); }

void end_ranks(const std::string& message, int exit_code, void (*say)(const std::string& line)) {
  if (ranks().leads()) {
    say(message);
  } else {
    std::this_thread::sleep_for(std::chrono::seconds(3));
    say(fmt::format("rank {}: {}", ranks().rank(), message));
  }
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
