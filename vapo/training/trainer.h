#pragma once
// The training of a potential as its recipe says, step by step.

#include <filesystem>
#include <functional>
#include <string>

#include "vapo/model.h"
#include "vapo/streams.h"
#include "vapo/training/batch_source.h"
#include "vapo/training/equilibrium.h"
#include "vapo/training/training_step.h"

namespace vapo {

// Means over the steps since it was last emptied; saved with the training, so that a log that goes on is the same.
struct Window {
  int64_t steps = 0;
  std::vector<double> sums;  // loss, gradient norm, terms, what is measured beside
  void add(const StepReport& report);
  StepReport mean(const StepReport& last) const;
};

struct TrainerOptions {
  Device device = Device::cpu;
  bool recorded = true;  // StepOptions
  // Which share the parts of every batch (train.shards), and of which all hold what is trained; kept by pointer.
  Communicator* ranks = nullptr;
  std::string config = {};  // text that the checkpoint keeps in the recipe's place: a config that holds it
};

class Trainer {
 public:
  // The source is kept by reference. Throws InputError naming the key where recipe and source do not fit. What makes
  // no sense in a recipe by itself is told by check(recipe), for a training that begins.
  Trainer(const Recipe& recipe, BatchSource& source, TrainerOptions options = {});

  // Everything random in step k is a function of (seed, k). Step train.steps and those after it are updates of the
  // equilibrium phase, where the recipe has one: it begins with the averaged weights, where there are any. Throws
  // DivergedError where loss or gradient is not finite, and as EquilibriumPhase does.
  const StepReport& step();
  int64_t steps_done() const { return step_; }
  int64_t parameters() const;
  // The loss of held-out samples (at most 1024), by the averaged weights where there are any, with the same times
  // and noises at every call; NaN where nothing is held out. Its times are uniform, whatever the training's are: a
  // loss of one training says something beside that of another. `before` is called before each batch.
  bool validates() const { return source_.held_out_count() > 1; }
  double validation_loss(const std::function<void()>& before = {}) const;
  // The potential with the averaged weights, which it shares: it changes as training goes on.
  const Model& averaged() const { return averaged_; }
  Window& window() { return window_; }
  const StepReport& last() const { return equilibrium_begun() ? equilibrium_->last() : training_.last(); }
  // Null in a recipe without; begun: an update was made.
  const EquilibriumPhase* equilibrium() const { return equilibrium_.get(); }
  bool equilibrium_begun() const { return equilibrium_ && step_ > recipe_.train.steps; }

  // Throws DivergedError, and writes nothing, where a parameter is not finite.
  void save(const std::filesystem::path& file);
  void load(const nn::CheckpointReader& checkpoint);  // all but the source's state: BatchSource::restore first
  // Its weights alone, the averages where there are any, also as the averages to begin with. Throws InputError
  // naming the first parameter that does not fit. With `moments` also what its optimizer knows of the gradients, of
  // which an equilibrium phase without a flow phase before it is in need.
  void start_from(const nn::CheckpointReader& checkpoint, bool moments = false);

 private:
  void check_recipe() const;
  void check_ranks(const TrainingOptions& t) const;
  void share_averages();
  struct Shown {  // of one step: x̄ and its classes
    int64_t step = -1;
    Tensor data, labels;
  };
  Shown batch_of(int64_t step);
  void load_batch();
  void stage_next();
  Tensor shown_labels(const Tensor& labels, int64_t step) const;
  // The samples in the order of path.coupling, beside the noise of the key and within these labels.
  Tensor coupled(const Tensor& x, const Tensor& labels, RandomKey noise) const;
  RandomKey key(Stream stream) const;  // of the step at hand
  void compute(const TrainingStep::Add& add, double fade = 1) const;
  const StepReport& equilibrium_update();
  std::string why_not_finite(const StepReport& report) const;

  Recipe recipe_;
  TrainerOptions options_;
  BatchSource& source_;
  nn::Schedule schedule_;
  std::unique_ptr<Potential> potential_;
  TrainingStep training_;
  std::unique_ptr<EquilibriumPhase> equilibrium_;
  Model averaged_;
  int64_t step_ = 0;
  Tensor data_, labels_;  // x̄ of the step and its classes, on the device, where a recorded step finds them
  Shown staged_[2];       // on a GPU: copied there while the step before runs; of even steps, of odd ones
  Window window_;
};

}  // namespace vapo
