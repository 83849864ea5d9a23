// What a killed writer leaves behind: it is removed, and what a living one writes is not.

#include "tensor/io/atomic_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <set>

using namespace vapo;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path;
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "vapo-atomic-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()));
    path = pattern;
  }
  ~Folder() { fs::remove_all(path); }
  void put(const char* name) const { std::ofstream(path / name) << "part"; }
  std::set<std::string> names() const {
    std::set<std::string> out;
    for (const auto& entry : fs::directory_iterator(path)) out.insert(entry.path().filename().string());
    return out;
  }
};

void write(const fs::path& path, std::string_view bytes) {
  std::string_view pieces[] = {bytes};
  write_file_atomically(path, pieces);
}

}  // namespace

TEST_CASE("a writer removes what killed writers of the same file left, and nothing else") {
  Folder folder;
  for (const char* name :
       {".x.npy.tmp-1-0", ".x.npy.tmp-99999999-12", ".y.npy.tmp-1-0", ".x.npy.tmp-mine", "x.npy.tmp-1-0"})
    folder.put(name);
  write(folder.path / "x.npy", "whole");
  CHECK(folder.names() == std::set<std::string>{"x.npy", ".y.npy.tmp-1-0", ".x.npy.tmp-mine", "x.npy.tmp-1-0"});
  CHECK(read_whole_file(folder.path / "x.npy") == "whole");
  remove_temporary_files(folder.path);
  CHECK(folder.names() == std::set<std::string>{"x.npy", ".x.npy.tmp-mine", "x.npy.tmp-1-0"});
  remove_temporary_files(folder.path / "missing");
}

TEST_CASE("what a living writer is at stays") {
  Folder folder;
  {
    TemporaryFile writer(folder.path / "x.npy");
    writer.write("who");
    remove_temporary_files(folder.path);
    write(folder.path / "x.npy", "another's");
    CHECK(folder.names().size() == 2);
    writer.write("le");
    writer.put_in_place();
  }
  CHECK(read_whole_file(folder.path / "x.npy") == "whole");
  CHECK(folder.names() == std::set<std::string>{"x.npy"});
  { TemporaryFile given_up(folder.path / "x.npy"); }
  CHECK(folder.names() == std::set<std::string>{"x.npy"});
}
