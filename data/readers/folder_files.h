#pragma once
// Which files of a folder are images, and what else lies there.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/sets/images.h"

namespace vapo::data::detail {

// What a folder holds, in the order of names, but for what is hidden. Throws IoError.
std::vector<std::filesystem::directory_entry> entries(const std::filesystem::path& folder);

class FolderFiles {
 public:
  // The images below a folder, in the order of their paths. Throws IoError.
  std::vector<std::string> images_below(const std::filesystem::path& folder);
  // Whether an entry is an image; what is none and no folder is counted.
  bool take(const std::filesystem::directory_entry& entry);
  std::vector<LeftOut> left_out() const;           // the most frequent first
  int64_t not_followed() const { return again_; }  // links to folders that were read already

 private:
  std::map<std::string, LeftOut> left_out_;
  int64_t again_ = 0;
};

}  // namespace vapo::data::detail
