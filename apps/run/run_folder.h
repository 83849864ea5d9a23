#pragma once
// The folder of a run: config.toml, metrics.jsonl, checkpoint-STEP.safetensors, samples-STEP.png, buffer-STEP.png, event
// files, on a GPU convolutions.jsonl, and `latest`, which names the newest checkpoint.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "tensor/check.h"

namespace vapo::app {

class RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path config() const { return path_ / "config.toml"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path convolutions() const { return path_ / "convolutions.jsonl"; }
  std::filesystem::path checkpoint(int64_t step) const;
  std::filesystem::path samples(int64_t step) const;  // the grid of that step, a PNG
  std::filesystem::path buffer(int64_t step) const;   // beside it, of the chains of the equilibrium phase

  void create() const;                                      // throws IoError
  bool holds_a_run() const;                                 // a config or a checkpoint is there
  std::vector<int64_t> checkpoints() const;                 // their steps, newest first
  std::vector<int64_t> grids() const;                       // the steps of the grids of samples, oldest first
  void point_latest_to(int64_t step) const;                 // atomically
  void keep_newest(int64_t count, int64_t but = -1) const;  // removes older checkpoints, but that step's
  void remove_temporary_files() const;                      // what a killed run left behind

 private:
  std::filesystem::path path_;
};

// The checkpoint that a command's DIR|CKPT means: the file itself, or what DIR/latest names (else the newest one).
// Throws InputError where there is none.
std::filesystem::path find_checkpoint(const std::filesystem::path& dir_or_file);

// read(file) of that checkpoint; where the run goes on and removes it meanwhile, of the newer one.
template <class Read>
auto with_checkpoint(const std::filesystem::path& dir_or_file, const Read& read) {
  constexpr int most_tries = 100;
  for (int tries = 1;; ++tries) {
    std::filesystem::path file = find_checkpoint(dir_or_file);
    try {
      return read(file);
    } catch (const IoError&) {
      std::error_code error;
      if (tries == most_tries || file == dir_or_file || std::filesystem::exists(file, error)) throw;
    }
  }
}

}  // namespace vapo::app
