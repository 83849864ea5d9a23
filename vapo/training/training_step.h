#pragma once
// One step of training any module: gradients of the loss's parts, clip, update, average. The only place where these meet.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/ema.h"
#include "nn/optimizer.h"
#include "nn/rounded.h"
#include "tensor/step_graph.h"
#include "vapo/loss.h"
#include "vapo/training/gradient_sum.h"

namespace vapo {

struct StepReport {
  double loss = 0, gradient_norm = 0, learning_rate = 0;
  std::vector<std::pair<std::string, double>> terms;  // of the loss, weights applied
  std::vector<std::pair<std::string, double>> measured =
      {};                  // beside the loss; NaN where there was nothing to measure
  bool is_finite() const;  // loss and gradient
};

struct StepOptions {
  nn::OptimizerOptions optimizer = {};
  nn::ClipOptions clip = {};
  double ema_decay = 0;  // 0: no average
  bool ema_ramp = true;
  Device device = Device::cpu;
  Replicas replicas = {};  // what `losses` hands over are this rank's parts
  bool recorded = true;    // on a GPU the third step is recorded, and that and all later ones are replays of it
};

// (1 + terms): the total and its terms, without their history.
Tensor values_of(const LossTerms& loss);

class TrainingStep {
 public:
  // Moves the module, which it keeps by reference, to the device.
  TrainingStep(nn::Module& module, const StepOptions& options);

  // What takes the losses of a batch's parts: one, or loss(0) … loss(count − 1), which may be computed side by side.
  class Add {
   public:
    using One = std::function<void(const LossTerms& of_a_part)>;
    using Loss = std::function<LossTerms(int64_t part)>;
    using SideBySide = std::function<void(int64_t count, const Loss& loss)>;
    Add(One one, SideBySide side_by_side = {}) : one_(std::move(one)), side_by_side_(std::move(side_by_side)) {}
    void operator()(const LossTerms& of_a_part) const { one_(of_a_part); }
    void side_by_side(int64_t count, const Loss& loss) const {
      if (side_by_side_) return side_by_side_(count, loss);
      for (int64_t part = 0; part < count; ++part) one_(loss(part));
    }

   private:
    One one_;
    SideBySide side_by_side_;
  };
  // `losses` hands the loss of each part of the batch to `add`: their gradients and values sum. Where it is
  // recorded it runs once, with this step's number in its keys, and must read its data where that will lie later.
  // Where loss or gradient is not finite nothing is written and no step is counted. `meanwhile` is called when all of
  // the step is started and before its end is waited for.
  const StepReport& operator()(int64_t step, double learning_rate, const std::function<void(const Add&)>& losses,
                               const std::function<void()>& meanwhile = {});

  const std::vector<Var>& parameters() const { return parameters_; }
  nn::Optimizer& optimizer() { return *optimizer_; }
  nn::Ema* ema() const { return ema_.get(); }  // null without averaging
  const StepReport& last() const { return report_; }

 private:
  // Loss, gradients and update; what it reports into the tensors below.
  void compute(double learning_rate, const std::function<void(const Add&)>& losses);

  StepOptions options_;
  std::vector<Var> parameters_;
  std::unique_ptr<nn::Optimizer> optimizer_;
  nn::RoundedParameters rounded_;
  std::unique_ptr<nn::Ema> ema_;
  Tensor results_;  // f64: the loss, its terms, and ‖g‖², which are read at once
  std::vector<std::string> term_names_;
  std::unique_ptr<StepGraph> graph_;
  int64_t first_replayed_ = 0;  // the step that was recorded
  int64_t eager_steps_ = 0;
  StepReport report_;
};

}  // namespace vapo
