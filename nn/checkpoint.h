#pragma once
// One safetensors file with everything a run needs to go on: "param.NAME", "buffer.NAME", "ema.NAME",
// "optimizer.m.NAME", "optimizer.v.NAME", "extra.NAME" and metadata: format, step, seed, config (the resolved TOML
// text), optimizer_steps, ema_updates. Tensors of three and more dimensions, but for extra's, are channels first in
// the file, as in PyTorch: (O,I,kH,kW) of a weight that is (O,kH,kW,I) here. All random numbers are functions of
// (seed, stream, step): the step is the random state.

#include <filesystem>
#include <map>
#include <string>

#include "nn/ema.h"
#include "nn/module.h"
#include "nn/optimizer.h"
#include "tensor/io/safetensors.h"

namespace vapo::nn {

struct TrainingState {  // what a checkpoint covers; null = not there
  Module* module = nullptr;
  Ema* ema = nullptr;
  Optimizer* optimizer = nullptr;
  int64_t step = 0;
  uint64_t seed = 0;
  std::string config = {};
  std::map<std::string, Tensor> extra = {};  // "extra.NAME": e.g. the standardisation of the data
};

void save_checkpoint(const std::filesystem::path& path, const TrainingState& state);  // atomic; throws IoError

struct CheckpointInfo {
  int64_t step;
  uint64_t seed;
  std::string config;
  std::map<std::string, Tensor> extra;
};
// Reads the file once: metadata first (so that a caller can build the module from the config), then the tensors
// into existing objects. Throws InputError naming file and tensor where one is missing, surplus, or of another shape.
class CheckpointReader {
 public:
  explicit CheckpointReader(const std::filesystem::path& path);
  const CheckpointInfo& info() const { return info_; }
  bool has_ema() const;
  void load_parameters(Module& module) const;
  void load_ema_as_parameters(Module& module) const;  // parameters ← averages: what samplers use
  void load_moments(Optimizer& optimizer) const;      // what the optimizer knows of the gradients, and its steps
  void load_training_state(Module& module, Ema* ema, Optimizer& optimizer) const;

 private:
  std::string name_;
  TensorFile file_;
  CheckpointInfo info_;
};

}  // namespace vapo::nn
