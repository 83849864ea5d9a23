#include "apps/run/folder_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "apps/run/command.h"
#include "tensor/check.h"

namespace vapo::app {

FolderLock::FolderLock(const std::filesystem::path& folder, const std::string& option, const std::string& name) {
  std::filesystem::path file = folder / name;
  // for writing: over NFS an exclusive lock needs that
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0)
    throw IoError(
        fmt::format("{}: cannot write here: {}. Hint: another {}", folder.string(), std::strerror(errno), option));
  int outcome = 0;
  do outcome = ::flock(descriptor_, LOCK_EX | LOCK_NB);
  while (outcome != 0 && errno == EINTR);
  if (outcome == 0) return;
  int reason = errno;
  ::close(std::exchange(descriptor_, -1));
  if (reason == EWOULDBLOCK)
    throw InputError(
        fmt::format("{}: another vapo is writing to this folder. Hint: wait until it ends, or another {}",
                    folder.string(), option));
  note(fmt::format("{}: this file system has no locks ({}): see to it that no other vapo writes to it",
                   folder.string(), std::strerror(reason)));
}

FolderLock::~FolderLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace vapo::app
