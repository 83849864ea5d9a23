#pragma once
// A file that appears under its name whole or not at all.

#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace vapo {

// An empty file ".NAME.tmp-…" beside the path, locked while this lives, and removed with it unless it was put in
// place. What killed processes left beside the path of theirs is removed. Throws IoError naming the path.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& path);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  const std::filesystem::path& name() const { return name_; }
  void write(std::string_view bytes);
  void put_in_place();  // fsyncs, renames to the path, fsyncs the folder

 private:
  std::filesystem::path path_, folder_, name_;
  int descriptor_ = -1;
  bool placed_ = false;
};
// Removes what killed processes left of files that were to appear in the folder: all that no process has locked.
void remove_temporary_files(const std::filesystem::path& folder);

// Writes the pieces to a temporary file in the same folder, fsyncs, renames, fsyncs the folder. Throws IoError
// naming the path and the system's reason; the temporary file is removed on failure.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::string_view> pieces);
// The whole file. Throws IoError naming the path.
std::string read_whole_file(const std::filesystem::path& path);

}  // namespace vapo
