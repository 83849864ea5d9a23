#include "data/readers/folder_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <set>

#include "data/pictures/image_kinds.h"
#include "tensor/check.h"
#include "tensor/io/printable.h"

namespace vapo::data {
namespace detail {
namespace {

namespace fs = std::filesystem;

// Of other programs: thumbnails, attributes, settings.
bool is_hidden(const fs::path& path) {
  std::string name = path.filename().string();
  return name.starts_with('.') || name == "__MACOSX" || name == "@eaDir";
}

std::string first_bytes(const fs::path& file) {
  std::string out(longest_beginning, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(out.data(), static_cast<std::streamsize>(out.size()));
  out.resize(static_cast<size_t>(std::max<std::streamsize>(0, in.gcount())));
  return out;
}

}  // namespace

std::vector<fs::directory_entry> entries(const fs::path& folder) {
  std::vector<fs::directory_entry> out;
  std::error_code error;
  for (fs::directory_iterator i(folder, error); !error && i != fs::directory_iterator(); i.increment(error))
    if (!is_hidden(i->path())) out.push_back(*i);
  if (error) throw IoError(fmt::format("cannot read the folder '{}': {}", folder.string(), error.message()));
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> FolderFiles::images_below(const fs::path& folder) {
  std::set<fs::path> seen;
  std::vector<fs::path> found;
  std::function<void(const fs::path&)> walk = [&](const fs::path& at) {
    std::error_code error;
    if (!seen.insert(fs::canonical(at, error)).second) {
      ++again_;
      return;
    }
    for (const fs::directory_entry& entry : entries(at))
      if (entry.is_directory(error))
        walk(entry.path());
      else if (take(entry))
        found.push_back(entry.path());
  };
  walk(folder);
  std::sort(found.begin(), found.end());
  return {found.begin(), found.end()};
}

bool FolderFiles::take(const fs::directory_entry& entry) {
  std::error_code error;
  if (entry.is_directory(error)) return false;
  const ImageKind* kind = kind_by_ending(entry.path());
  if ((!kind || !kind->is_read()) && entry.is_regular_file(error))
    if (const ImageKind* by_bytes = kind_by_bytes(first_bytes(entry.path()), true)) kind = by_bytes;
  if (kind && kind->is_read()) return true;
  std::string ending = lower_case_ending(entry.path());
  std::string name(kind ? kind->name : ending.empty() ? "without an ending" : "");
  if (name.empty()) name = printable(ending, 20);
  LeftOut& group = left_out_[name];
  if (group.count++ == 0) group = {name, 1, entry.path().string()};
  return false;
}

std::vector<LeftOut> FolderFiles::left_out() const {
  std::vector<LeftOut> out;
  for (const auto& [kind, group] : left_out_) out.push_back(group);
  std::stable_sort(out.begin(), out.end(), [](const LeftOut& a, const LeftOut& b) { return a.count > b.count; });
  return out;
}

}  // namespace detail

std::string text_of(const std::vector<LeftOut>& left_out) {
  constexpr size_t named = 6;
  std::string out;
  for (size_t i = 0; i < std::min(left_out.size(), named); ++i)
    out += fmt::format("{}{} {}", i == 0 ? "" : ", ", left_out[i].count, left_out[i].kind);
  int64_t others = 0;
  for (size_t i = named; i < left_out.size(); ++i) others += left_out[i].count;
  return others > 0 ? out + fmt::format(", {} of other kinds", others) : out;
}

}  // namespace vapo::data
