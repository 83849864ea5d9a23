#pragma once
// One writer of a folder at a time.

#include <filesystem>
#include <string>
#include <utility>

namespace vapo::app {

// Holds FOLDER/NAME, made where it is missing, locked until destruction or the end of the process, however it ends.
// Throws InputError where another process holds it; its hint names `option`, which chooses another folder. IoError
// where nothing can be written there. On a file system without locks: a note, and no protection.
class FolderLock {
 public:
  FolderLock(const std::filesystem::path& folder, const std::string& option, const std::string& name = ".lock");
  ~FolderLock();
  FolderLock(FolderLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;

 private:
  int descriptor_ = -1;
};

}  // namespace vapo::app
