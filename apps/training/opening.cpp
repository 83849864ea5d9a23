#include "apps/training/opening.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "apps/run/contents.h"
#include "apps/run/exit_code.h"
#include "apps/run/metrics_log.h"
#include "apps/run/model.h"
#include "apps/training/shared_run.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/printable.h"

namespace vapo::app {
namespace {

namespace fs = std::filesystem;

void write_config(const RunFolder& folder, const Config& config) {
  std::string text = to_toml(config);
  std::string_view pieces[] = {text};
  write_file_atomically(folder.config(), pieces);
}

void apply_settings(Config& config, const RunRequest& request) {
  for (const std::string& setting : request.settings) set_value(config, setting);
  if (request.seed) config.train.seed = *request.seed;
  if (!request.from.empty()) config.run.from = request.from;
  make_paths_absolute(config);
}

[[noreturn]] void refuse_to_start_over(const RunFolder& folder) {
  throw InputError(fmt::format("{}: already holds a run. Hint: --resume goes on with it; or choose another --out",
                               folder.path().string()));
}

std::unique_ptr<Trainer> make_trainer(const Run& run, const RunRequest& request) {
  TrainerOptions options{.device = request.device,
                         .recorded = request.recorded,
                         .ranks = request.ranks,
                         .config = to_toml(run.config)};
  return std::make_unique<Trainer>(run.config, *run.dataset, options);
}

// What makes the same weights another function.
std::string other_network(const Config& theirs, const Config& ours) {
  std::string out;
  for (const Difference& d : differences(theirs, ours)) {
    std::string section = d.key.substr(0, d.key.find('.'));
    if (section == "model" || section == "path" || section == name_of(ours.potential.network))
      out += fmt::format("{}{} {} and not {}", out.empty() ? "" : ", ", d.key, d.second, d.first);
  }
  return out.empty() ? "" : "; here with " + out;
}

// Of a run that --from names the equilibrium phase alone is to follow, unless train.steps says how long to train before.
void train_no_flow_again(Config& config, const RunRequest& request) {
  bool told = std::any_of(request.settings.begin(), request.settings.end(),
                          [](const std::string& setting) { return key_of(setting) == "train.steps"; });
  if (request.from.empty() || config.equilibrium.steps == 0 || told) return;
  config.train.steps = 0;
  note("the equilibrium phase alone: train.steps = 0. Hint: --set train.steps=N trains the flow before it");
}

// Takes the weights of the checkpoint that train.from names; the line of metrics.jsonl that says so. With them what its
// optimizer knows, where the equilibrium phase begins at once.
Json take_weights(const Run& run, const nn::CheckpointReader& reader) {
  const std::string& file = run.config.run.from;
  Config theirs = parse_config(reader.info().config, file + " (its config)");
  bool moments = run.config.equilibrium.steps > 0 && run.config.train.steps == 0 &&
                 theirs.train.optimizer.kind == run.config.train.optimizer.kind;
  try {
    run.trainer->start_from(reader, moments);
  } catch (const InputError& e) {
    std::string what = e.what();
    throw InputError(
        fmt::format("{}. Hint: the config must describe the network of that checkpoint, which vapo info shows",
                    what.substr(0, what.find(". Hint:"))));
  }
  if (auto had = columns_of(stored_contents(reader.info())), has = columns_of(run.dataset->contents());
      had != has && !had.empty() && !has.empty())
    note(fmt::format("the columns of {} were {}; here they are {}", file,
                     printable(fmt::format("{}", fmt::join(had, ", "))),
                     printable(fmt::format("{}", fmt::join(has, ", ")))));
  const char* weights = reader.has_ema() ? "averaged" : "last";
  bool standardizes = run.config.data.standardize != Standardize::none && !is_of_images(run.config);
  note(fmt::format("from {}: its {} weights of step {}; {} optimizer{}{}", file, weights, reader.info().step,
                   moments ? "its" : "a fresh", standardizes ? ", columns standardised by this data" : "",
                   other_network(theirs, run.config)));
  return {{"step", 0}, {"from", file}, {"from_step", reader.info().step}, {"from_weights", weights}};
}

Run start(const RunRequest& request, const RunFolder& folder, std::optional<FolderLock> lock) {
  fs::path file = request.config;
  if (request.config.empty()) {
    if (!fs::exists(folder.config())) {
      throw InputError(
          fmt::format("{}: no run to resume here. Hint: name the config: vapo train CONFIG --out DIR --resume",
                      folder.path().string()));
    }
    file = folder.config();
  }
  Run run{fresh_config(request, file), {}, {}, std::move(lock)};
  std::optional<nn::CheckpointReader> weights;
  if (std::string& from = run.config.run.from; !from.empty()) {
    weights.emplace(with_checkpoint(fs::path(from), [&](const fs::path& checkpoint) {
      from = checkpoint.string();
      return nn::CheckpointReader(checkpoint);
    }));
  }
  if (weights) train_no_flow_again(run.config, request);
  if (request.ranks) choose_shards(run.config, request.ranks->size());
  run.dataset = open_chosen(run.config, request.device, true);
  run.trainer = make_trainer(run, request);
  Json taken;
  if (weights) taken = take_weights(run, *weights);
  folder.create();
  if (!run.lock) {
    run.lock.emplace(folder.path(), "--out");
    if (folder.holds_a_run()) refuse_to_start_over(folder);  // another process was quicker
  }
  folder.remove_temporary_files();
  write_config(folder, run.config);
  if (!taken.is_null()) MetricsLog(folder.metrics(), -1).append(taken);
  run.trainer->save(folder.checkpoint(0));
  folder.point_latest_to(0);
  return run;
}

// Keys that a resumed run may change: they do not touch what was learned.
bool may_change_on_resume(const std::string& key, bool equilibrium_begun) {
  if (equilibrium_begun && key == "train.steps") return false;
  if (key.starts_with("equilibrium.") && (!equilibrium_begun || key == "equilibrium.steps")) return true;
  for (const char* allowed :
       {"train.steps", "train.checkpoint_every", "train.keep_checkpoints", "train.log_every", "train.sample_every",
        "train.validate_every", "train.tensorboard", "train.shards", "data.path"})
    if (key == allowed) return true;
  return key.starts_with("sample.") || key.starts_with("energy.") || key.starts_with("density.");
}

void refuse_changes(const Config& saved, const Config& asked, int64_t step) {
  bool begun = saved.equilibrium.steps > 0 && step > saved.train.steps;
  if (begun && asked.equilibrium.steps == 0)
    throw UsageError(
        fmt::format("equilibrium.steps = 0: {} updates of the phase are done", step - saved.train.steps));
  if (!begun && asked.equilibrium.steps > 0 && asked.train.steps < step)
    throw UsageError(
        fmt::format("train.steps = {}: the run has done {}, and the equilibrium phase begins after the last",
                    asked.train.steps, step));
  for (const Difference& d : differences(saved, asked)) {
    if (may_change_on_resume(d.key, begun)) continue;
    throw UsageError(fmt::format(
        "{} = {}: cannot change on --resume, the run has {}. Hint: train.steps, train.checkpoint_every, "
        "train.keep_checkpoints, train.log_every, train.sample_every, train.validate_every, "
        "train.tensorboard, train.shards, data.path, sample.*, energy.*, density.* can{}",
        d.key, d.second, d.first,
        begun ? "; of the equilibrium phase, which has begun, equilibrium.steps, and train.steps cannot"
              : ", and equilibrium.* before that phase has begun"));
  }
}

void refuse_other_data(const Config& saved, const Run& run, const nn::CheckpointInfo& info,
                       const RunFolder& folder) {
  std::string change = what_changed(stored_contents(info), run.dataset->contents());
  if (!is_of_images(saved) && saved.data.path.empty() != run.config.data.path.empty()) change = "another set";
  if (change.empty()) return;
  throw InputError(fmt::format(
      "{}: not the data that {} was trained on: {}. Hint: --set data.path=PLACE names where that is now; "
      "vapo train CONFIG --from {} --out DIR begins a new run with these weights",
      run.dataset->name(), folder.path().string(), change, folder.path().string()));
}

// A config named beside --resume is not read: the saved one is. Says where they differ.
void tell_unread_config(const RunRequest& request, const Config& used) {
  Config named;
  try {
    named = fresh_config(request, request.config);
  } catch (const Error&) {
    return;
  }
  named.run.from = used.run.from;
  std::string text;
  for (const Difference& d : differences(used, named))
    text += fmt::format("{}{} = {} and not {}", text.empty() ? "" : ", ", d.key, d.first, d.second);
  if (!text.empty())
    note(fmt::format("{}: not used, the run goes on with its own config: {}", request.config, text));
}

// From the newest checkpoint that can be read whole.
Run resume(const RunRequest& request, const RunFolder& folder, FolderLock lock) {
  Config scratch;
  apply_settings(scratch, request);  // mistakes in them are not the checkpoint's
  std::vector<int64_t> steps = folder.checkpoints();
  std::string last_error;
  auto readable = [&](const auto& read) {
    try {
      read();
      return true;
    } catch (const InputError& e) {
      last_error = e.what();
      if (steps.size() > 1) note(fmt::format("passing over a checkpoint: {}", last_error));
      return false;
    }
  };
  for (int64_t step : steps) {
    std::string file = folder.checkpoint(step).string();
    std::optional<nn::CheckpointReader> reader;
    Config saved;
    bool opened = readable([&] {
      reader.emplace(file);
      saved = parse_config(reader->info().config, file + " (its config)");
    });
    if (!opened) continue;
    Run run;
    run.config = saved;
    apply_settings(run.config, request);
    if (request.ranks && request.ranks->size() > 1) choose_shards(run.config, request.ranks->size());
    const Config stored = saved;
    make_paths_absolute(saved);  // a setting may name the same place in another way
    refuse_changes(saved, run.config, reader->info().step);
    run.dataset = open_dataset(run.config);
    refuse_other_data(saved, run, reader->info(), folder);
    bool loaded = readable([&] {
      run.dataset->restore(reader->info(), file);
      run.trainer = make_trainer(run, request);
      run.trainer->load(*reader);
    });
    if (!loaded) continue;
    run.lock.emplace(std::move(lock));
    folder.remove_temporary_files();
    // or what it was told would be forgotten by a stop before the next checkpoint
    if (run.config != stored) run.trainer->save(file);
    write_config(folder, run.config);
    note(fmt::format("resuming {} at step {}", folder.path().string(), step));
    if (!request.config.empty()) tell_unread_config(request, run.config);
    return run;
  }
  throw InputError(fmt::format("{}: none of its {} checkpoints can be resumed: {}", folder.path().string(),
                               steps.size(), last_error));
}

// A constant column comes back as it is, whatever is learned.
void tell_constant_columns(const Dataset& dataset) {
  const auto* points = dynamic_cast<const PointDataset*>(&dataset);
  for (int64_t k = 0; points && k < dataset.sample_shape()[0]; ++k)
    if (const Standardization& s = points->standardization(); s.is_constant(k)) {
      const std::vector<std::string>& names = points->table().columns;
      std::string name = names.empty() ? "" : fmt::format(" '{}'", printable(names[static_cast<size_t>(k)], 64));
      note(fmt::format("{}: column {}{} is constant: samples will all have {} there", dataset.name(), k + 1, name,
                       s.mean.at(k)));
    }
}

}  // namespace

std::unique_ptr<Dataset> open_chosen(Config& config, Device device, bool with_trial) {
  Keys keys = keys_of(config);
  auto first = std::find_if(keys.begin(), keys.end(), is_auto);
  std::unique_ptr<Dataset> dataset = open_dataset(config);
  tell_constant_columns(*dataset);
  if (first == keys.end()) return dataset;
  auto* points = dynamic_cast<PointDataset*>(dataset.get());
  if (!points || !points->train_rows().defined())
    throw InputError(fmt::format("{} = 'auto': chosen from the rows of a table, and {} has none. Hint: set it",
                                 first->name, dataset->name()));
  points->choose_auto(config, device, with_trial);
  return dataset;
}

Config fresh_config(const RunRequest& request, const fs::path& file) {
  Config config = load_config(file);
  apply_settings(config, request);
  check(config);
  return config;
}

Run open_run(const RunRequest& request, const RunFolder& folder) {
  std::optional<FolderLock> lock;
  if (folder.holds_a_run()) {
    if (!request.resume) refuse_to_start_over(folder);
    lock.emplace(folder.path(), "--out");
  }
  if (request.resume && !folder.checkpoints().empty()) return resume(request, folder, std::move(*lock));
  return start(request, folder, std::move(lock));
}

}  // namespace vapo::app
