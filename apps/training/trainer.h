#pragma once
// The training loop's state: one step = loss, gradients, clip + update + average.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "apps/run/dataset.h"
#include "apps/run/model.h"
#include "nn/ema.h"
#include "tensor/step_graph.h"

namespace vapo::app {

struct StepReport {
  double loss = 0, gradient_norm = 0, learning_rate = 0;
  std::vector<std::pair<std::string, double>> terms;  // of the loss, weights applied
};

// Means over the steps since the last line of the log; saved with the run, so that a resumed log goes on unchanged.
struct Window {
  int64_t steps = 0;
  std::vector<double> sums;  // loss, gradient norm, terms
  void add(const StepReport& report);
  StepReport mean(const StepReport& last) const;
};

class Trainer {
 public:
  // On a GPU the third step is recorded, and that and all later ones are replays of it.
  Trainer(const Config& config, Dataset& dataset, Device device = Device::cpu, bool recorded = true);

  // Everything random in step k is a function of (seed, k). Throws DivergedError where loss or gradient is not
  // finite.
  const StepReport& step();
  int64_t steps_done() const { return step_; }
  int64_t parameters() const;
  // The loss of held-out samples (at most 1024), by the averaged weights where there are any, with the same times
  // and noises at every call; NaN where nothing is held out.
  bool validates() const { return dataset_.held_out_count() > 1; }
  double validation_loss(const std::function<void()>& before = {}) const;
  // The potential with the averaged weights, which it shares: it changes as training goes on.
  const Model& averaged() const { return averaged_; }
  Window& window() { return window_; }
  const StepReport& last() const { return report_; }

  // Throws DivergedError, and writes nothing, where a parameter is not finite.
  void save(const std::filesystem::path& file);
  void load(const nn::CheckpointReader& checkpoint);
  // Its weights alone, the averages where there are any, also as the averages to begin with. Throws InputError
  // naming the first parameter that does not fit.
  void start_from(const nn::CheckpointReader& checkpoint);

 private:
  Config config_;
  std::string config_text_;
  Dataset& dataset_;
  Path path_;
  LossOptions loss_;
  nn::ClipOptions clip_;
  nn::Schedule schedule_;
  std::unique_ptr<Potential> potential_;
  std::vector<Var> parameters_;
  std::unique_ptr<nn::Optimizer> optimizer_;
  std::unique_ptr<nn::Ema> ema_;  // null without averaging
  Model averaged_;
  int64_t step_ = 0;
  void check_config() const;
  void share_averages();
  void load_batch();
  Tensor shown_labels(const Tensor& labels, RandomKey key) const;
  void compute();  // one step's loss, gradients and update; what it reports into the tensors below
  std::string why_not_finite() const;
  // Adds the loss of a part of the batch, and its gradients, to the sums.
  void compute_part(const LossTerms& loss, std::vector<Var>& gradients, Tensor& values);

  Device device_;
  bool recorded_;
  Tensor data_, labels_;     // x̄ of the step and its classes, on the device, where a recorded step finds them
  Tensor loss_values_;       // f64: the total and every term
  Tensor gradient_squares_;  // ‖g‖²
  std::vector<std::string> term_names_;
  std::unique_ptr<StepGraph> graph_;
  int64_t first_replayed_ = 0;  // the step that was recorded
  int64_t eager_steps_ = 0;
  StepReport report_;
  Window window_;
};

}  // namespace vapo::app
