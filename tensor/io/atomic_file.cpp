#include "tensor/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

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

// Removes the temporary file unless it was renamed.
struct Temporary {
  std::string name;
  bool keep = false;
  ~Temporary() {
    if (!keep) ::unlink(name.c_str());
  }
};

}  // namespace

void write_file_atomically(const std::filesystem::path& path, std::span<const std::string_view> pieces) {
  std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::string pattern = (folder / ("." + path.filename().string() + ".tmp-XXXXXX")).string();
  Descriptor file(::mkostemp(pattern.data(), O_CLOEXEC));
  if (file.get() < 0) fail_io("create a file beside", path, errno);
  Temporary temporary{pattern};
  mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(file.get(), 0666 & ~mask);
  for (std::string_view piece : pieces) {
    while (!piece.empty()) {
      ssize_t n = ::write(file.get(), piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail_io("write", path, n == 0 ? ENOSPC : errno);
      piece.remove_prefix(static_cast<size_t>(n));
    }
  }
  if (::fsync(file.get()) != 0) fail_io("flush", path, errno);
  if (!file.close()) fail_io("close", path, errno);
  if (::rename(pattern.c_str(), path.c_str()) != 0) fail_io("put in place", path, errno);
  temporary.keep = true;
  // the name is durable once the folder is
  Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0 && ::fsync(directory.get()) != 0 && errno != EINVAL) fail_io("flush the folder of", path, errno);
}

std::string read_whole_file(const std::filesystem::path& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) fail_io("open", path, errno);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail_io("inspect", path, errno);
  if (S_ISDIR(info.st_mode)) fail_io("read", path, EISDIR);
  std::string bytes;
  bytes.resize(S_ISREG(info.st_mode) ? static_cast<size_t>(info.st_size) : 0);
  size_t done = 0;
  for (;;) {
    if (done == bytes.size()) bytes.resize(done + (done < 65536 ? 65536 : done / 2));  // pipes, and files that grow
    ssize_t n = ::read(file.get(), bytes.data() + done, bytes.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_io("read", path, errno);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace vapo
