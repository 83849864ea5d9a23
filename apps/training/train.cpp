// vapo train: a config to a folder with checkpoints, metrics.jsonl and the resolved config.

#include <fmt/format.h>

#include <csignal>
#include <optional>

#include "apps/run/contents.h"
#include "apps/run/described.h"
#include "apps/run/exit_code.h"
#include "apps/run/ranks.h"
#include "apps/run/run_folder.h"
#include "apps/training/doubts.h"
#include "apps/training/dry_run.h"
#include "apps/training/opening.h"
#include "apps/training/shared_run.h"
#include "apps/training/training_loop.h"
#include "tensor/storage.h"

namespace vapo::app {
namespace {

namespace fs = std::filesystem;

struct TrainOptions {
  bool no_graph = false;
  CommonOptions common;
  std::string config, out, from;
  std::vector<std::string> settings;
  std::optional<int64_t> seed;
  bool resume = false, dry = false;
  RanksAsked ranks;
};

RunRequest request_of(const TrainOptions& options, Device device) {
  if (!options.from.empty() && options.resume)
    throw UsageError("--from begins a new run and --resume goes on with one. Hint: leave one of them out");
  return {.config = options.config,
          .from = options.from,
          .settings = options.settings,
          .seed = options.seed,
          .resume = options.resume,
          .device = device,
          .recorded = !options.no_graph,
          .ranks = ranks().size() > 1 ? &ranks() : nullptr};
}

void tell_classes(const Dataset& dataset) {
  std::string classes = text_of_classes(class_names(dataset.contents()));
  if (!classes.empty()) note("classes: " + classes);
}

int cost(const TrainOptions& options, Device device) {
  if (options.config.empty()) throw UsageError("--dry-run needs the config: vapo train CONFIG --dry-run");
  Config config = fresh_config(request_of(options, device), options.config);
  if (int64_t asked = options.ranks.ranks; asked > 1) {
    choose_shards(config, asked);
    if (int64_t shards = config.train.parts(); shards % asked != 0 || config.train.batch_size % shards != 0)
      throw InputError(
          fmt::format("--ranks {}: train.batch_size = {} and train.shards = {} are not shared out evenly", asked,
                      config.train.batch_size, shards));
  }
  std::unique_ptr<Dataset> dataset = open_chosen(config, device, false);
  note(circumstances(device));
  for (const std::string& line : dataset->notes()) note(line);
  for (const std::string& doubt : doubts_about(config)) note(doubt);
  tell_classes(*dataset);
  Json found = {{"data", dataset->description()}};
  found.update(dataset->facts());
  if (!options.common.json) found.erase("notes");  // which have been told
  Json alone = dry_run(config, *dataset, device);
  found.update(alone);
  if (options.ranks.ranks > 1) {
    found.update(among_ranks(alone, options.ranks));
  }
  print_result(options.common.json ? found : for_a_person(found), options.common.json);
  return 0;
}

int train(const TrainOptions& options) {
  Device device = options.common.apply();
  if (options.dry) return cost(options, device);
  if (options.out.empty()) throw UsageError("--out is required. Hint: vapo train --help");
  RunFolder folder{fs::path(options.out)};
  RunRequest request = request_of(options, device);
  std::optional<Run> opened;
  if (ranks().leads()) opened.emplace(open_run(request, folder));
  Run run = share_run(ranks(), std::move(opened), request, folder);
  Trainer& trainer = *run.trainer;
  int64_t first = trainer.steps_done();
  note(circumstances(device));
  for (const std::string& line : run.dataset->notes()) note(line);
  for (const std::string& doubt : doubts_about(run.config)) note(doubt);
  note(fmt::format("{} parameters, data {}, steps {} to {}{}", trainer.parameters(), run.dataset->description(),
                   first, run.config.steps(),
                   run.config.equilibrium.steps > 0
                       ? fmt::format(", of the equilibrium phase from {} on", run.config.train.steps)
                       : ""));
  tell_classes(*run.dataset);

  Stopwatch watch;
  reset_peak_memory(device);
  expect_answers();
  int signal = ranks().leads() ? TrainingLoop(trainer, run.config, folder, device, ranks()).run()
                               : follow(trainer, run.config, device, ranks());
  int64_t step = trainer.steps_done();
  if (signal != 0) {
    note(fmt::format("stopped by {} at step {}; the checkpoint is saved. Hint: --resume goes on",
                     signal == SIGINT   ? "SIGINT"
                     : signal == SIGHUP ? "SIGHUP"
                                        : "SIGTERM",
                     step));
    return 128 + signal;
  }
  if (!ranks().leads()) return kDone;
  double seconds = watch.seconds();
  print_result({{"out", options.out},
                {"checkpoint", folder.checkpoint(step).string()},
                {"steps", step},
                {"loss", step > first ? number(trainer.last().loss) : Json(nullptr)},
                {"parameters", trainer.parameters()},
                {"seconds", seconds},
                {"steps_per_second", seconds > 0 ? static_cast<double>(step - first) / seconds : 0},
                {"peak_bytes", memory_stats(device).peak_bytes},
                {"seed", run.config.train.seed}},
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
  command
      ->add_option("--ranks", options->ranks.ranks,
                   "With --dry-run: also as so many ranks that are like this machine")
      ->check(CLI::Range(int64_t{1}, int64_t{65'536}));
  command->add_option("--gigabits", options->ranks.gigabits, "With --ranks: what each sends a second")
      ->check(real_from(1e-6, 1e6))
      ->capture_default_str();
  command
      ->add_option("--latency-ms", options->ranks.latency_ms,
                   "With --ranks: of an empty message from one to another")
      ->check(real_from(0, 1e6))
      ->capture_default_str();
  command->add_flag("--resume", options->resume, "Go on from the newest valid checkpoint in the folder");
  command->add_option("--from", options->from,
                      "Begin with the weights of this checkpoint or run, their average where there is one");
  command->add_option("--seed", options->seed, "Overrides train.seed")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}));
  command->add_flag("--no-graph", options->no_graph,
                    "On a GPU: launch every step anew instead of replaying a recorded one");
  options->common.add_to(*command);
  command->callback([options, &action] {
    if (options->config.empty() && !options->resume) throw CLI::RequiredError("CONFIG");
    if (options->ranks.ranks > 1 && !options->dry)
      throw UsageError(
          "--ranks is of --dry-run: a training has the ranks that a launcher starts. Hint: mpirun -n 4 vapo train");
    action = [options] { return train(*options); };
  });
}

}  // namespace vapo::app
