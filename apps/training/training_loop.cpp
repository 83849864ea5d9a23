#include "apps/training/training_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <utility>

#include "apps/sampling/sampler_options.h"
#include "apps/sampling/sampling.h"
#include "apps/training/kept_plans.h"
#include "apps/training/shared_run.h"
#include "data/pictures/image_file.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/kernels.h"
#include "tensor/plain_convolutions.h"
#include "tensor/storage.h"

namespace vapo::app {
namespace {

volatile std::sig_atomic_t stop_signal = 0;

// The first SIGINT, SIGTERM or SIGHUP asks the loop to finish its step and save; a second SIGINT or SIGTERM kills.
// A terminal that closes may send SIGHUP twice, by its shell and by the kernel; under nohup it stays ignored.
class StopOnSignal {
 public:
  StopOnSignal() {
    for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction action = {}, before = {};
      sigaction(signal, nullptr, &before);
      if (signal == SIGHUP && before.sa_handler == SIG_IGN) continue;
      action.sa_handler = [](int received) {
        if (!stop_signal) stop_signal = received;
      };
      action.sa_flags = (signal == SIGHUP ? 0 : static_cast<int>(SA_RESETHAND)) | SA_RESTART;
      sigemptyset(&action.sa_mask);
      sigaction(signal, &action, nullptr);
    }
  }
};

// Parameters are compared where they might have parted, before they are kept for long.
void step_and_compare(Trainer& trainer, Communicator& ranks, const Config& config) {
  constexpr int64_t every = 100;
  trainer.step();
  int64_t step = trainer.steps_done();
  if (ranks.size() > 1 && (step % every == 0 || step == config.steps())) compare_ranks(ranks, trainer);
}

// Whether rank 0 is busy for a while after that step, or the next ones are of another kind.
bool ends_a_stretch(const Config& config, int64_t step) {
  auto due = [&](int64_t every) { return every > 0 && step % every == 0; };
  return due(config.run.checkpoint_every) || due(config.run.validate_every) || due(config.run.sample_every) ||
         step == config.train.steps;
}

// Leaves what can be left in the middle: sampling and validation.
struct Stopped {};
void stop_if_asked() {
  if (stop_signal) throw Stopped{};
}

}  // namespace

TrainingLoop::TrainingLoop(Trainer& trainer, const Config& config, const RunFolder& folder, Device device,
                           Communicator& ranks)
    : trainer_(trainer),
      config_(config),
      folder_(folder),
      device_(device),
      ranks_(ranks),
      // a line whose picture is not there: it is drawn again
      metrics_(folder.metrics(), trainer.steps_done(),
               std::filesystem::exists(folder.samples(trainer.steps_done())) ? "" : "grid"),
      saved_(trainer.steps_done()) {
  if (config.run.tensorboard) events_ = std::make_unique<data::EventWriter>(folder.path());
}

void TrainingLoop::save() {
  saved_ = trainer_.steps_done();
  trainer_.save(folder_.checkpoint(saved_));
  make_newest();
}

void TrainingLoop::make_newest() {
  folder_.point_latest_to(saved_);
  folder_.keep_newest(config_.run.keep_checkpoints, flow_end());
}

int64_t TrainingLoop::flow_end() const { return config_.equilibrium.steps > 0 ? config_.train.steps : -1; }

void TrainingLoop::scalar(const std::string& tag, double value) {
  if (events_) events_->scalar(tag, static_cast<float>(value), trainer_.steps_done());
}

void TrainingLoop::log(Progress& progress) {
  StepReport mean = trainer_.window().mean(trainer_.last());
  int64_t logged_steps = trainer_.window().steps;
  double seconds_per_step = progress.seconds_since_last_log() / static_cast<double>(logged_steps);
  trainer_.window() = {};
  Json terms = Json::object();
  for (const auto& [name, value] : mean.terms) terms[name] = number(value);
  Json line = {{"step", trainer_.steps_done()},
               {"loss", number(mean.loss)},
               {"terms", terms},
               {"gradient_norm", number(mean.gradient_norm)},
               {"learning_rate", mean.learning_rate},
               {"steps_per_second", progress.steps_per_second(trainer_.steps_done())},
               {"seconds_per_step", seconds_per_step},
               {"seconds", progress.seconds()},
               {"peak_bytes", memory_stats(device_).peak_bytes}};
  for (const auto& [name, value] : mean.measured) line["equilibrium"][name] = number(value);
  if (size_t plain = plain_convolutions().shapes.size(); plain > 0) line["plain_convolutions"] = plain;
  if (size_t legacy = legacy_convolutions().shapes.size(); legacy > 0) line["legacy_convolutions"] = legacy;
  if (ranks_.size() > 1) {  // since the last line
    Communicator::Traffic now = ranks_.traffic();
    auto steps = static_cast<double>(logged_steps);
    line["ranks"] = {{"count", ranks_.size()},
                     {"bytes_sent_per_step", static_cast<double>(now.bytes - traffic_.bytes) / steps},
                     {"seconds_of_sums_per_step", (now.seconds - traffic_.seconds) / steps}};
    traffic_ = now;
  }
  if (!std::exchange(machine_logged_, true)) line["machine"] = circumstances(device_);
  metrics_.append(line);
  if (!events_) return;
  scalar("loss/total", mean.loss);
  if (mean.terms.size() > 1)
    for (const auto& [name, value] : mean.terms) scalar("loss/" + name, value);
  for (const auto& [name, value] : mean.measured) scalar("equilibrium/" + name, value);
  scalar("gradient_norm", mean.gradient_norm);
  scalar("learning_rate", mean.learning_rate);
  scalar("seconds_per_step", seconds_per_step);
  events_->flush();
}

void TrainingLoop::validate() {
  double loss = trainer_.validation_loss(stop_if_asked);
  if (!std::isfinite(loss) && trainer_.validates())
    note(fmt::format("the validation loss of step {} is {}: null in metrics.jsonl", trainer_.steps_done(), loss));
  metrics_.append({{"step", trainer_.steps_done()}, {"validation_loss", number(loss)}});
  scalar("loss/validation", loss);
}

// A picture, also as an event.
void TrainingLoop::picture(const char* tag, const std::filesystem::path& file, const Tensor& images) {
  Tensor grid = data::image_grid(data::to_pixels(images));
  data::write_png(file, grid);
  if (!events_) return;
  events_->image(tag, read_whole_file(file), grid.dim(0), grid.dim(1), grid.dim(2), trainer_.steps_done());
  events_->flush();
}

// samples-STEP.png and, of the equilibrium phase, buffer-STEP.png, then a line in the log that says how it was drawn: no
// line without its picture. Where a stop left no line, resuming draws the picture, with the sampler of now.
void TrainingLoop::draw_grid() {
  int64_t step = trainer_.steps_done(), n = config_.run.grid, classes = config_.classes();
  std::filesystem::path file = folder_.samples(step);
  if (metrics_.kept(step, "grid")) return;
  const vapo::Model& model = trainer_.averaged();
  SampleRequest request{.n = n, .seed = static_cast<uint64_t>(config_.train.seed), .before = stop_if_asked};
  if (classes > 0) request.labels = classes_in_turn(n, classes);
  SamplerOptions how = config_.sample.of_the_flow();
  TimedSamples drawn = timed_samples(model, how, request);
  if (!kernel::all_finite(drawn.x)) {
    note(fmt::format("the samples of step {} are not finite: no {}", step, file.string()));
    return;
  }
  picture("samples", file, drawn.x);
  if (trainer_.equilibrium_begun()) {
    Tensor chains = trainer_.equilibrium()->chains().states();
    picture("buffer", folder_.buffer(step), kernel::slice(chains, 0, 0, std::min(n, chains.dim(0)), 1));
  }
  SamplerFlags flags;
  flags.seed = config_.train.seed;
  Json facts = sampler_facts(how, flags);
  facts.update({{"n", n}, {"weights", model.averaged ? "ema" : "last"}});
  metrics_.append({{"step", step}, {"grid", facts}, {"nfe", drawn.nfe}});
}

int TrainingLoop::run() {
  const Config::Run& c = config_.run;
  auto due = [&](int64_t every) { return every > 0 && trainer_.steps_done() % every == 0; };
  bool grids = trainer_.averaged().of_images();
  StopOnSignal stop;
  KeptPlans plans(folder_.convolutions(), device_, ranks_);
  SignalOfAny signal_of_any(ranks_);
  int signal = 0;
  auto unless_stopped = [](const auto& f) {
    try {
      f();
    } catch (const Stopped&) {
    }
  };
  unless_stopped([&] {
    if (trainer_.steps_done() > 0) {  // what a stop had left undone
      if (!metrics_.machine().empty() && metrics_.machine() != circumstances(device_))
        note(fmt::format("before it ran on {}: from here on the bits may differ from those of a run without a stop",
                         metrics_.machine()));
      make_newest();
      if (due(c.validate_every) && !metrics_.kept(trainer_.steps_done(), "validation_loss")) validate();
      if (grids && due(c.sample_every)) draw_grid();
    }
  });
  Progress progress(trainer_.steps_done(), config_.steps());
  while (trainer_.steps_done() < config_.steps() &&
         !(signal = signal_of_any(stop_signal, ends_a_stretch(config_, trainer_.steps_done())))) {
    step_and_compare(trainer_, ranks_, config_);
    plans.keep();
    tell_missed_convolutions();
    int64_t step = trainer_.steps_done();
    bool turns = step == flow_end(), is_log_step = step % c.log_every == 0 || turns;
    progress.show(step, trainer_.window().mean(trainer_.last()), is_log_step);
    if (is_log_step) log(progress);
    bool validates = due(c.validate_every), draws = grids && due(c.sample_every);
    // before what takes long, so that nothing is lost where it is stopped
    if (due(c.checkpoint_every) || validates || draws || turns) save();
    unless_stopped([&] {
      if (validates) validate();
      if (draws) draw_grid();
    });
  }
  if (saved_ != trainer_.steps_done()) save();
  return signal ? signal : stop_signal;
}

int follow(Trainer& trainer, const Config& config, Device device, Communicator& ranks) {
  StopOnSignal stop;
  KeptPlans plans("rank 0's convolutions.jsonl", device, ranks);
  SignalOfAny signal_of_any(ranks);
  int signal = 0;
  while (trainer.steps_done() < config.steps() &&
         !(signal = signal_of_any(stop_signal, ends_a_stretch(config, trainer.steps_done()))))
    step_and_compare(trainer, ranks, config);
  return signal;
}

}  // namespace vapo::app
