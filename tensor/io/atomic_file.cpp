#include "tensor/io/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tensor/check.h"

namespace vapo {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

[[noreturn]] void fail_io(const char* what, const std::filesystem::path& path, int error) {
  throw IoError(fmt::format("cannot {} '{}': {}", what, path.string(), std::strerror(error)));
}

constexpr std::string_view kMark = ".tmp-";  // between the name of a file and what tells its temporaries apart

// Of temporaries that belong to no process: of one file, or (an empty name) of any. A lock goes with its process,
// also where that was killed; where a file system has none, nothing is removed.
void remove_stale(const std::filesystem::path& folder, const std::string& name) {
  std::vector<std::filesystem::path> found;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    std::string entry = it->path().filename().string();
    size_t mark = entry.rfind(kMark);
    if (!entry.starts_with('.') || mark == entry.npos) continue;
    bool numbers = entry.find_first_not_of("0123456789-", mark + kMark.size()) == entry.npos;
    if (numbers && (name.empty() || entry.substr(1, mark - 1) == name)) found.push_back(it->path());
  }
  for (const std::filesystem::path& file : found) {
    Descriptor open(::open(file.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (open.get() >= 0 && ::flock(open.get(), LOCK_EX | LOCK_NB) == 0) ::unlink(file.c_str());
  }
}

// Whether the file is ours now; not so where another process took it for a stale one before it was locked.
bool lock(int descriptor) {
  struct stat info {};
  if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) return errno != EWOULDBLOCK;  // a file system without locks
  return ::fstat(descriptor, &info) == 0 && info.st_nlink > 0;
}

}  // namespace

TemporaryFile::TemporaryFile(const std::filesystem::path& path)
    : path_(path), folder_(path.has_parent_path() ? path.parent_path() : ".") {
  if (!path.has_filename()) throw IoError(fmt::format("cannot write '{}': no file name", path.string()));
  static std::atomic<unsigned> count = 0;
  std::string name = path.filename().string();
  remove_stale(folder_, name);
  for (;;) {  // a name may be taken by what a killed process left
    name_ = folder_ / fmt::format(".{}{}{}-{}", name, kMark, ::getpid(), count++);
    descriptor_ = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor_ >= 0 && lock(descriptor_)) return;
    if (descriptor_ < 0 && errno != EEXIST && errno != EINTR) fail_io("create a file beside", path, errno);
    if (descriptor_ >= 0) ::close(descriptor_);
  }
}

TemporaryFile::~TemporaryFile() {
  if (!placed_) ::unlink(name_.c_str());
  if (descriptor_ >= 0) ::close(descriptor_);
}

void TemporaryFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(descriptor_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_io("write", path_, n == 0 ? ENOSPC : errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void TemporaryFile::put_in_place() {
  if (::fsync(descriptor_) != 0) fail_io("flush", path_, errno);
  if (::rename(name_.c_str(), path_.c_str()) != 0) fail_io("put in place", path_, errno);
  placed_ = true;
  if (::close(std::exchange(descriptor_, -1)) != 0) fail_io("close", path_, errno);
  // The name is durable once the folder is; some file systems cannot sync one.
  Descriptor directory(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0 && ::fsync(directory.get()) != 0 && errno != EINVAL)
    fail_io("flush the folder of", path_, errno);
}

void remove_temporary_files(const std::filesystem::path& folder) { remove_stale(folder, ""); }

void write_file_atomically(const std::filesystem::path& path, std::span<const std::string_view> pieces) {
  TemporaryFile file(path);
  for (std::string_view piece : pieces) file.write(piece);
  file.put_in_place();
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
