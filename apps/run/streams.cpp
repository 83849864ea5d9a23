#include "apps/run/streams.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include "tensor/check.h"

namespace vapo::app {
namespace {

bool is_closed(int descriptor) { return ::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF; }

// Waits until a pipe or terminal has room; files always have.
bool has_room(int descriptor, int milliseconds) {
  pollfd asked{descriptor, POLLOUT, 0};
  int ready = 0;
  do ready = ::poll(&asked, 1, milliseconds);
  while (ready < 0 && errno == EINTR);
  return ready != 0;
}

}  // namespace

void open_standard_streams() {
  std::signal(SIGPIPE, SIG_IGN);
  for (int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (!is_closed(descriptor)) continue;
    // the lowest free number is this one; opened for reading, output fails as on a closed descriptor
    int flags = descriptor == STDERR_FILENO ? O_WRONLY : O_RDONLY;
    if (::open("/dev/null", flags) < 0) ::open("/", O_RDONLY | O_DIRECTORY);
  }
}

void write_output(std::string_view text) {
  while (!text.empty()) {
    ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n > 0) {
      text.remove_prefix(static_cast<size_t>(n));
    } else if (n < 0 && errno == EAGAIN) {  // opened as non-blocking by whoever gave it
      has_room(STDOUT_FILENO, -1);
    } else if (n == 0 || errno != EINTR) {
      throw IoError(fmt::format("standard output: {}", std::strerror(n == 0 ? ENOSPC : errno)));
    }
  }
}

void write_error(std::string_view text) noexcept {
  constexpr int patience = 200;             // milliseconds
  static std::atomic<bool> stalled{false};  // nobody read the last time: do not wait again
  while (!text.empty()) {
    if (!has_room(STDERR_FILENO, stalled ? 0 : patience)) {
      stalled = true;
      return;
    }
    stalled = false;
    // a pipe with room takes PIPE_BUF bytes without blocking
    ssize_t n = ::write(STDERR_FILENO, text.data(), std::min<size_t>(text.size(), PIPE_BUF));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<size_t>(n));
  }
}

}  // namespace vapo::app
