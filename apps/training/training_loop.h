#pragma once
// Steps until the end or a signal, and what a run writes on the way: checkpoints, metrics, events, grids of samples.

#include <memory>

#include "apps/run/config.h"
#include "apps/run/metrics_log.h"
#include "apps/run/run_folder.h"
#include "apps/training/progress.h"
#include "data/pictures/tensorboard.h"
#include "vapo/training/trainer.h"

namespace vapo::app {

class TrainingLoop {
 public:
  // All are kept by reference. The folder holds the checkpoint that the trainer stands at.
  TrainingLoop(Trainer& trainer, const Config& config, const RunFolder& folder, Device device, Communicator& ranks);
  // 0, or the SIGINT, SIGTERM or SIGHUP that ended it, with the last finished step saved. A second SIGINT or SIGTERM kills.
  int run();

 private:
  void save();
  void make_newest();  // what was saved last is what the folder means; older checkpoints go
  void log(Progress& progress);
  int64_t flow_end() const;  // the step after which the equilibrium phase begins; −1 without one
  void validate();
  void draw_grid();
  void scalar(const std::string& tag, double value);
  void picture(const char* tag, const std::filesystem::path& file, const Tensor& images);

  Trainer& trainer_;
  const Config& config_;
  const RunFolder& folder_;
  Device device_;
  Communicator& ranks_;
  Communicator::Traffic traffic_;  // at the last line of the log
  MetricsLog metrics_;
  std::unique_ptr<data::EventWriter> events_;  // null where the config wants none
  int64_t saved_;
  bool machine_logged_ = false;  // the first line after a start or a resumption names device and precision
};

// The same steps on another rank than 0, which writes nothing.
int follow(Trainer& trainer, const Config& config, Device device, Communicator& ranks);

}  // namespace vapo::app
