// vapo train: a config to a folder with checkpoints, metrics.jsonl and the resolved config.

#include <fmt/format.h>

#include <csignal>
#include <optional>

#include "apps/run/command.h"
#include "apps/run/run_folder.h"
#include "apps/training/check_training.h"
#include "apps/training/dry_run.h"
#include "apps/training/training_loop.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/storage.h"

namespace vapo::app {
namespace {

namespace fs = std::filesystem;

struct TrainOptions {
  bool no_graph = false;
  CommonOptions common;
  std::string config, out;
  std::vector<std::string> settings;
  std::optional<int64_t> seed;
  bool resume = false, dry = false;
};

// Keys that a resumed run may change: they do not touch what was learned.
bool may_change_on_resume(const std::string& key) {
  for (const char* allowed : {"train.steps", "train.checkpoint_every", "train.keep_checkpoints", "train.log_every",
                              "train.sample_every", "train.validate_every", "train.tensorboard", "data.path"})
    if (key == allowed) return true;
  return key.starts_with("sample.") || key.starts_with("energy.") || key.starts_with("density.");
}

Config fresh_config(const TrainOptions& options, const fs::path& file) {
  Config config = load_config(file);
  for (const std::string& setting : options.settings) set_value(config, setting);
  if (options.seed) config.train.seed = *options.seed;
  if (!config.data.path.empty()) config.data.path = fs::absolute(config.data.path).lexically_normal().string();
  check_training(config);
  return config;
}

// A run that is ready to take its next step.
struct Run {
  Config config;
  std::unique_ptr<Dataset> dataset;
  std::unique_ptr<Trainer> trainer;
};

Run start(const TrainOptions& options, const RunFolder& folder, Device device) {
  fs::path file = options.config;
  if (options.config.empty()) {
    if (!fs::exists(folder.config())) {
      throw InputError(
          fmt::format("{}: no run to resume here. Hint: name the config: vapo train CONFIG --out DIR --resume",
                      folder.path().string()));
    }
    file = folder.config();
  }
  Run run;
  run.config = fresh_config(options, file);
  run.dataset = open_dataset(run.config);
  run.trainer = std::make_unique<Trainer>(run.config, *run.dataset, device, !options.no_graph);
  folder.create();
  folder.remove_temporary_files();
  std::string text = to_toml(run.config);
  std::string_view pieces[] = {text};
  write_file_atomically(folder.config(), pieces);
  run.trainer->save(folder.checkpoint(0));
  folder.point_latest_to(0);
  return run;
}

Run open_checkpoint(const TrainOptions& options, const fs::path& file, Device device) {
  Run run;
  nn::CheckpointReader reader(file);
  run.config = parse_config(reader.info().config, file.string() + " (its config)");
  for (const std::string& setting : options.settings) set_value(run.config, setting);
  run.dataset = open_dataset(run.config);
  run.dataset->restore(reader.info(), file.string());
  run.trainer = std::make_unique<Trainer>(run.config, *run.dataset, device, !options.no_graph);
  run.trainer->load(reader);
  return run;
}

// From the newest checkpoint that can be read whole.
Run resume(const TrainOptions& options, const RunFolder& folder, Device device) {
  if (options.seed) throw UsageError("--seed cannot change on --resume: the run goes on with its own seed");
  for (const std::string& setting : options.settings) {
    if (!may_change_on_resume(key_of(setting))) {
      throw UsageError(
          fmt::format("--set {}: cannot change on --resume. Hint: train.steps, train.checkpoint_every, "
                      "train.keep_checkpoints, train.log_every, train.sample_every, train.validate_every, "
                      "train.tensorboard, data.path, sample.*, energy.*, density.* can",
                      setting));
    }
    Config scratch;
    set_value(scratch, setting);  // its mistakes are not the checkpoint's
  }
  std::vector<int64_t> steps = folder.checkpoints();
  std::string last_error;
  for (int64_t step : steps) {
    try {
      Run run = open_checkpoint(options, folder.checkpoint(step), device);
      folder.remove_temporary_files();
      std::string text = to_toml(run.config);
      std::string_view pieces[] = {text};
      write_file_atomically(folder.config(), pieces);
      note(fmt::format("resuming {} at step {}", folder.path().string(), step));
      return run;
    } catch (const InputError& e) {
      last_error = e.what();
      if (steps.size() > 1) note(fmt::format("passing over a checkpoint: {}", last_error));
    }
  }
  throw InputError(fmt::format("{}: none of its {} checkpoints can be resumed: {}", folder.path().string(),
                               steps.size(), last_error));
}

int cost(const TrainOptions& options, Device device) {
  if (options.config.empty()) throw UsageError("--dry-run needs the config: vapo train CONFIG --dry-run");
  Config config = fresh_config(options, options.config);
  std::unique_ptr<Dataset> dataset = open_dataset(config);
  note(circumstances(device));
  for (const std::string& doubt : doubts_about(config)) note(doubt);
  print_result(dry_run(config, *dataset, device), options.common.json);
  return 0;
}

int train(const TrainOptions& options) {
  Device device = options.common.apply();
  if (options.dry) return cost(options, device);
  if (options.out.empty()) throw UsageError("--out is required. Hint: vapo train --help");
  RunFolder folder{fs::path(options.out)};
  if (!options.resume && folder.holds_a_run()) {
    throw InputError(fmt::format("{}: already holds a run. Hint: --resume goes on with it; or choose another --out",
                                 options.out));
  }
  bool resumes = options.resume && !folder.checkpoints().empty();
  Run run = resumes ? resume(options, folder, device) : start(options, folder, device);
  Trainer& trainer = *run.trainer;
  const Config::Train& c = run.config.train;
  int64_t first = trainer.steps_done();
  note(circumstances(device));
  for (const std::string& doubt : doubts_about(run.config)) note(doubt);
  note(fmt::format("{} parameters, data {}, steps {} to {}", trainer.parameters(), run.dataset->description(),
                   first, c.steps));

  Stopwatch watch;
  reset_peak_memory(device);
  int signal = TrainingLoop(trainer, run.config, folder, device).run();
  int64_t step = trainer.steps_done();
  if (signal != 0) {
    note(fmt::format("stopped by {} at step {}; the checkpoint is saved. Hint: --resume goes on",
                     signal == SIGINT ? "SIGINT" : "SIGTERM", step));
    return 128 + signal;
  }
  double seconds = watch.seconds();
  print_result({{"out", options.out},
                {"checkpoint", folder.checkpoint(step).string()},
                {"steps", step},
                {"loss", step > first ? number(trainer.last().loss) : Json(nullptr)},
                {"parameters", trainer.parameters()},
                {"seconds", seconds},
                {"steps_per_second", seconds > 0 ? static_cast<double>(step - first) / seconds : 0},
                {"peak_bytes", memory_stats(device).peak_bytes},
                {"seed", c.seed}},
               options.common.json);
  return 0;
}

}  // namespace

void add_train(CLI::App& app, Action& action) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = app.add_subcommand("train", "Train a potential as a TOML config says");
  command->add_option("CONFIG", options->config, "TOML file (with --resume: not needed, the saved config is used)");
  command->add_option("--set", options->settings, "section.key=value: overrides one key of the config; may repeat")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  command->add_option("--out", options->out, "Folder for checkpoints, metrics.jsonl, samples and config.toml");
  command->add_flag("--dry-run", options->dry,
                    "Train nothing: say how large the run is, and how long it would take on this machine");
  command->add_flag("--resume", options->resume, "Go on from the newest valid checkpoint in the folder");
  command->add_option("--seed", options->seed, "Overrides train.seed")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}));
  command->add_flag("--no-graph", options->no_graph,
                    "On a GPU: launch every step anew instead of replaying a recorded one");
  options->common.add_to(*command);
  command->callback([options, &action] {
    if (options->config.empty() && !options->resume) throw CLI::RequiredError("CONFIG");
    action = [options] { return train(*options); };
  });
}

}  // namespace vapo::app
