#pragma once
// What a run's folder tells of it: config, log, the newest checkpoint, the grids of samples.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "apps/report/svg_curves.h"

namespace vapo::app {

struct GridSampler {  // how grids of samples were drawn, in words
  std::string count, seed, method, weights;
  double least_nfe = INFINITY, most_nfe = 0;
  bool draws_as(const GridSampler& other) const {
    return count == other.count && seed == other.seed && method == other.method && weights == other.weights;
  }
};

struct TrainingLog {  // metrics.jsonl
  Curve loss, validation_loss, gradient_norm, learning_rate, steps_per_second;
  std::vector<Curve> terms;  // of the loss, where it has more than one
  int64_t lines = 0, broken = 0, last_step = 0;
  double seconds = 0;                 // of all parts of a run that was resumed
  double peak_bytes = 0;              // of tensors
  std::vector<std::string> machines;  // device and precision, each once, in the order of the parts
  std::vector<GridSampler> samplers;  // of the grids, each once, in their order
};
// A line that is no object with a step is counted as broken and left out. Throws IoError.
TrainingLog read_training_log(const std::filesystem::path& file);

struct RunRecord {
  std::filesystem::path folder;
  std::string config_text;                  // TOML
  nlohmann::ordered_json config = nullptr;  // every key, by table; null where the text is no config
  bool of_images = false;                   // not of points
  TrainingLog log;
  std::string checkpoint;                       // the newest one's file name; empty where there is none
  int64_t checkpoint_step = 0, parameters = 0;  // of its network
  bool averaged = false;                        // it holds moving averages of the parameters
  std::vector<int64_t> grids;                   // steps
  std::vector<std::string> problems;            // what could not be read, one line each
  int64_t step() const { return std::max(checkpoint_step, log.last_step); }
};
// nullopt where the folder holds no run.
std::optional<RunRecord> read_run(const std::filesystem::path& folder);

}  // namespace vapo::app
