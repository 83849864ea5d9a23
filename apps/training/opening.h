#pragma once
// A run that is ready to take its next step: begun in a folder, or gone on with from its newest checkpoint.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/run/dataset.h"
#include "apps/run/folder_lock.h"
#include "apps/run/run_folder.h"
#include "vapo/training/trainer.h"

namespace vapo::app {

struct RunRequest {
  std::string config, from;  // files; from: whose weights to begin with
  std::vector<std::string> settings;
  std::optional<int64_t> seed;
  bool resume = false;
  Device device = Device::cpu;
  bool recorded = true;           // as Trainer takes it
  Communicator* ranks = nullptr;  // likewise
};

struct Run {
  Config config;
  std::unique_ptr<Dataset> dataset;
  std::unique_ptr<Trainer> trainer;
  std::optional<FolderLock> lock;  // of the folder
};

// The config that a new run would have: the file's, with settings, seed and paths.
Config fresh_config(const RunRequest& request, const std::filesystem::path& file);

// The data of a new run, and in the config what was auto. Throws InputError naming the key where there are no rows to
// choose by.
std::unique_ptr<Dataset> open_chosen(Config& config, Device device, bool with_trial);

// Throws UsageError where a resumed run is asked for what it cannot change, InputError where the folder holds a run
// that is not to be resumed, or one of other data, or where another process writes to it.
Run open_run(const RunRequest& request, const RunFolder& folder);

}  // namespace vapo::app
