#pragma once
// Optimizers over named parameters. One call clips, updates and averages in one pass over memory.

#include <limits>
#include <span>
#include <string>
#include <vector>

#include "nn/ema.h"
#include "nn/module.h"
#include "tensor/kernels.h"
#include "tensor/names.h"

namespace vapo::nn {

struct OptimizerOptions {
  enum class Kind { adam, adamw, sgd, lamb };
  Kind kind = Kind::adam;
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double weight_decay = 0;  // adam, sgd: added to the gradient; adamw, lamb: decoupled
  double momentum = 0;      // sgd
  bool nesterov = false;    // sgd
};
constexpr auto names_of(OptimizerOptions::Kind) {
  using Kind = OptimizerOptions::Kind;
  return name_table<Kind>("optimizer",
                          {{"adam", Kind::adam}, {"adamw", Kind::adamw}, {"sgd", Kind::sgd}, {"lamb", Kind::lamb}});
}

struct ClipOptions {
  enum class Kind { none, norm, value, std };
  Kind kind = Kind::none;
  double limit =
      1;  // norm: the largest ‖all gradients‖₂; value: the largest |entry|. std needs none: ±(3·√v̂ + 0.1)
};
constexpr auto names_of(ClipOptions::Kind) {
  using Kind = ClipOptions::Kind;
  return name_table<Kind>("clipping",
                          {{"none", Kind::none}, {"norm", Kind::norm}, {"value", Kind::value}, {"std", Kind::std}});
}

class Optimizer {
 public:
  Optimizer(std::vector<NamedParameter> parameters, OptimizerOptions options);

  // Writes the new values into the parameters' storage and, where given, into the averages.
  // grads: in the parameters' order, same shapes. Returns ‖grads‖₂ before clipping. Where that is not finite
  // nothing is written and no step counted: the parameters stay the last good ones.
  double step(std::span<const Var> grads, double learning_rate, const ClipOptions& clip = {}, Ema* ema = nullptr) {
    return finish(start(grads, learning_rate, clip, ema).item(), ema);
  }
  // The same in two parts, for a step that is recorded: `start` waits for nothing and gives ‖grads‖₂²; `finish`,
  // after each replay, takes it, counts the step where it is finite, and gives the norm.
  Tensor start(std::span<const Var> grads, double learning_rate, const ClipOptions& clip = {}, Ema* ema = nullptr);
  double finish(double norm_squares, Ema* ema = nullptr);

  int64_t steps_done() const { return steps_; }
  const std::vector<NamedParameter>& parameters() const { return parameters_; }
  // State for checkpoints: "m.NAME", "v.NAME", and the count of steps.
  void state(const BufferVisitor& visit);
  void set_steps_done(int64_t n) { steps_ = n; }

 private:
  void update(const Tensor& norm_squares, double learning_rate, const ClipOptions& clip, Ema* ema);

  std::vector<NamedParameter> parameters_;
  OptimizerOptions options_;
  std::vector<Tensor> m_, v_;        // no v_ for sgd
  std::vector<kernel::Slot> slots_;  // of the step being made; kept, so that a step allocates nothing
  std::vector<Tensor> gradients_;
  int64_t steps_ = 0;
};

}  // namespace vapo::nn
