#include "tensor/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include "tensor/check.h"

namespace vapo {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  bool close() {
    int fd = std::exchange(fd_, -1);
    return fd < 0 || ::close(fd) == 0;
  }

 private:
  int fd_;
};

[[noreturn]] void fail_io(const char* what, const std::filesystem::path& path, int error) {
  throw IoError(fmt::format("cannot {} '{}': {}", what, path.string(), std::strerror(error)));
}

// A new file beside `path`, removed again unless it was put in place.
class Temporary {
 public:
  explicit Temporary(const std::filesystem::path& path, const std::filesystem::path& folder) {
    static std::atomic<unsigned> count = 0;
    int fd = -1;
    do {  // a name may be taken by what a killed process left
      name_ = (folder / fmt::format(".{}.tmp-{}-{}", path.filename().string(), ::getpid(), count++)).string();
      fd = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    } while (fd < 0 && (errno == EEXIST || errno == EINTR));
    if (fd < 0) fail_io("create a file beside", path, errno);
    file_.emplace(fd);
  }
  ~Temporary() {
    if (!placed_) ::unlink(name_.c_str());
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  Descriptor& file() { return *file_; }
  bool rename_to(const std::filesystem::path& path) { return placed_ = ::rename(name_.c_str(), path.c_str()) == 0; }

 private:
  std::string name_;
  std::optional<Descriptor> file_;
  bool placed_ = false;
};

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::span<const std::string_view> pieces) {
  if (!path.has_filename()) throw IoError(fmt::format("cannot write '{}': no file name", path.string()));
  std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  Temporary temporary(path, folder);
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      ssize_t n = ::write(temporary.file().get(), piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail_io("write", path, n == 0 ? ENOSPC : errno);
      piece.remove_prefix(static_cast<size_t>(n));
    }
  }
  if (::fsync(temporary.file().get()) != 0) fail_io("flush", path, errno);
  if (!temporary.file().close()) fail_io("close", path, errno);
  if (!temporary.rename_to(path)) fail_io("put in place", path, errno);
  // The name is durable once the folder is; some file systems cannot sync one.
  Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0 && ::fsync(directory.get()) != 0 && errno != EINVAL)
    fail_io("flush the folder of", path, errno);
}

std::string read_whole_file(const std::filesystem::path& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) fail_io("open", path, errno);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail_io("inspect", path, errno);
  if (S_ISDIR(info.st_mode)) fail_io("read", path, EISDIR);
  try {
    // One byte more than the size: the read that finds the end needs room. Pipes, and files that grow, take more.
    std::string bytes(S_ISREG(info.st_mode) ? static_cast<size_t>(info.st_size) + 1 : 65536, '\0');
    for (size_t done = 0;;) {
      ssize_t n = ::read(file.get(), bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) fail_io("read", path, errno);
      done += static_cast<size_t>(n);
      if (n == 0) {
        bytes.resize(done);
        return bytes;
      }
      if (done == bytes.size()) bytes.resize(2 * done);
    }
  } catch (const std::bad_alloc&) {
    fail_io("read", path, ENOMEM);
  } catch (const std::length_error&) {
    fail_io("read", path, EFBIG);
  }
}

}  // namespace vapo
