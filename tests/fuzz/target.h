#pragma once
// What the fuzz targets share: a check that stops the fuzzer, and bytes as a file, for readers that take a path.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>

#include "tensor/check.h"

namespace vapo::fuzz {

inline void require(bool good, std::string_view what) {
  if (good) return;
  std::cerr << "fuzz: " << what << '\n';
  std::abort();
}

// A file in memory that holds the bytes of the latest call; one for the whole program.
inline std::string as_file(std::string_view bytes) {
  static const int descriptor = memfd_create("input", 0);
  require(descriptor >= 0 && ftruncate(descriptor, 0) == 0 &&
              pwrite(descriptor, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()),
          "no memory for the input");
  return "/proc/self/fd/" + std::to_string(descriptor);
}

// A folder of its own for as long as the program runs, for readers of whole folders. In memory where there is such
// a file system.
class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::is_directory("/dev/shm") ? "/dev/shm/fuzz-XXXXXX" : "/tmp/fuzz-XXXXXX";
    require(mkdtemp(name.data()) != nullptr, "no folder for the input");
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  // NAME in it leads to the file `to`.
  std::string link(const std::string& to, const std::string& name) const {
    if (std::error_code exists; !std::filesystem::is_symlink(path_ / name, exists))
      std::filesystem::create_symlink(to, path_ / name);
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

// One line that names the file.
inline void require_message(const Error& error, std::string_view file) {
  std::string_view message = error.what();
  require(message.find('\n') == message.npos, "a message of several lines");
  require(message.find(file) != message.npos, "a message that does not name the file");
}

// Whether f(bytes as a file) accepts it: it returns, or throws InputError with one line that names the file.
template <class F>
bool accepts(std::string_view bytes, const F& f) {
  std::string file = as_file(bytes);
  try {
    f(file);
    return true;
  } catch (const InputError& e) {
    require_message(e, file);
    return false;
  }
}

}  // namespace vapo::fuzz

// Defined by readers.cpp and app_readers.cpp; VAPO_FUZZ says which of their functions is fuzzed.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
