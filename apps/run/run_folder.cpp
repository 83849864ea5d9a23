#include "apps/run/run_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "tensor/check.h"
#include "tensor/io/atomic_file.h"

namespace vapo::app {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "checkpoint-", kSuffix = ".safetensors";
constexpr std::string_view kGridPrefix = "samples-", kGridSuffix = ".png";

std::optional<int64_t> step_of(std::string_view name, std::string_view prefix = kPrefix,
                               std::string_view suffix = kSuffix) {
  if (!name.starts_with(prefix) || !name.ends_with(suffix) || name.size() < prefix.size() + suffix.size())
    return {};
  name = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  int64_t step = -1;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  if (error != std::errc() || end != name.data() + name.size() || step < 0) return {};
  return step;
}

// The steps in the names PREFIX STEP SUFFIX of a folder, in no order.
std::vector<int64_t> steps_in(const fs::path& folder, std::string_view prefix, std::string_view suffix) {
  std::vector<int64_t> steps;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (auto step = step_of(it->path().filename().string(), prefix, suffix)) steps.push_back(*step);
  }
  return steps;
}

}  // namespace

fs::path RunFolder::checkpoint(int64_t step) const { return path_ / fmt::format("{}{}{}", kPrefix, step, kSuffix); }

fs::path RunFolder::samples(int64_t step) const {
  return path_ / fmt::format("{}{}{}", kGridPrefix, step, kGridSuffix);
}

fs::path RunFolder::buffer(int64_t step) const { return path_ / fmt::format("buffer-{}{}", step, kGridSuffix); }

void RunFolder::create() const {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error || !fs::is_directory(path_, error)) {
    throw IoError(fmt::format("{}: cannot make this folder: {}. Hint: choose another --out", path_.string(),
                              error ? error.message() : "a file is in the way"));
  }
}

bool RunFolder::holds_a_run() const {
  std::error_code error;
  return fs::exists(config(), error) || !checkpoints().empty();
}

std::vector<int64_t> RunFolder::checkpoints() const {
  std::vector<int64_t> steps = steps_in(path_, kPrefix, kSuffix);
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

std::vector<int64_t> RunFolder::grids() const {
  std::vector<int64_t> steps = steps_in(path_, kGridPrefix, kGridSuffix);
  std::sort(steps.begin(), steps.end());
  return steps;
}

void RunFolder::point_latest_to(int64_t step) const {
  std::string text = checkpoint(step).filename().string() + "\n";
  std::string_view pieces[] = {text};
  write_file_atomically(path_ / "latest", pieces);
}

void RunFolder::keep_newest(int64_t count, int64_t but) const {
  std::vector<int64_t> steps = checkpoints();
  for (size_t i = static_cast<size_t>(count); i < steps.size(); ++i) {
    std::error_code ignored;
    if (steps[i] != but) fs::remove(checkpoint(steps[i]), ignored);
  }
}

void RunFolder::remove_temporary_files() const { vapo::remove_temporary_files(path_); }

fs::path find_checkpoint(const fs::path& dir_or_file) {
  std::error_code error;
  if (!fs::exists(dir_or_file, error)) {
    throw IoError(fmt::format("{}: no such file or folder", dir_or_file.string()));
  }
  if (!fs::is_directory(dir_or_file, error)) return dir_or_file;
  RunFolder folder(dir_or_file);
  if (fs::exists(dir_or_file / "latest", error)) {
    std::string name = read_whole_file(dir_or_file / "latest");
    while (!name.empty() && (name.back() == '\n' || name.back() == '\r')) name.pop_back();
    if (step_of(name) && fs::exists(dir_or_file / name, error)) return dir_or_file / name;
  }
  std::vector<int64_t> steps = folder.checkpoints();
  if (steps.empty()) {
    throw InputError(fmt::format("{}: no checkpoint here. Hint: name the folder that vapo train --out wrote",
                                 dir_or_file.string()));
  }
  return folder.checkpoint(steps.front());
}

}  // namespace vapo::app
