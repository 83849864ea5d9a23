#include "apps/report/report_run.h"

#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "apps/report/html.h"
#include "apps/run/command.h"
#include "apps/run/model.h"
#include "apps/run/run_folder.h"
#include "tensor/check.h"
#include "tensor/io/atomic_file.h"
#include "tensor/io/safetensors.h"

namespace vapo::app {
namespace fs = std::filesystem;
namespace {

// The value of a key: NaN where it is null, which stands for a number that was not finite.
std::optional<double> number_in(const Json& line, const char* key) {
  auto it = line.find(key);
  if (it == line.end()) return {};
  if (it->is_null()) return NAN;
  if (!it->is_number()) return {};
  return it->get<double>();
}

void append(Curve& curve, double step, std::optional<double> value) {
  constexpr double kMost = 1e300;  // what is larger counts as infinite: axes need room around it
  if (!value) return;
  curve.x.push_back(step);
  curve.y.push_back(std::abs(*value) < kMost ? *value : NAN);
}

void append_terms(std::vector<Curve>& terms, double step, const Json& line) {
  auto given = line.find("terms");
  if (given == line.end() || !given->is_object()) return;
  for (const auto& [name, value] : given->items()) {
    auto it = std::find_if(terms.begin(), terms.end(), [&name = name](const Curve& c) {
      return c.label == name;
    });  // Clang captures no binding
    if (it == terms.end()) it = terms.insert(it, Curve{name, {}, {}});
    append(*it, step, number_in(*given, name.c_str()));
  }
}

// The sampler of a line that tells of a grid.
void append_sampler(std::vector<GridSampler>& samplers, const Json& line) {
  auto grid = line.find("grid");
  if (grid == line.end() || !grid->is_object()) return;
  auto text = [&](const char* key) {
    auto it = grid->find(key);
    return it != grid->end() && it->is_primitive() ? text_of(*it) : "?";
  };
  GridSampler sampler{text("n"), text("seed"), text("method"), text("weights") == "ema" ? "averaged" : "last"};
  std::erase(sampler.seed, ',');
  sampler.method += grid->contains("rtol") ? fmt::format(", tolerances {} and {}", text("rtol"), text("atol"))
                                           : fmt::format(", {} steps", text("steps"));
  auto known = std::ranges::find_if(samplers, [&](const GridSampler& s) { return s.draws_as(sampler); });
  if (known == samplers.end()) known = samplers.insert(known, sampler);
  constexpr double kMost = 1e15;
  double nfe = number_in(line, "nfe").value_or(NAN);
  if (!(nfe >= 0 && nfe < kMost)) return;
  known->least_nfe = std::fmin(known->least_nfe, nfe);
  known->most_nfe = std::fmax(known->most_nfe, nfe);
}

void read_checkpoint(RunRecord& run) {
  fs::path file;
  TensorFileHeader header = with_checkpoint(run.folder, [&](const fs::path& found) {
    file = found;
    return read_safetensors_header(found);
  });
  run.checkpoint = file.filename().string();
  for (const auto& [name, entry] : header.tensors) {
    if (name.starts_with("param.")) run.parameters += entry.shape.numel();
    run.averaged |= name.starts_with("ema.");
  }
  if (auto step = header.metadata.find("step"); step != header.metadata.end())
    run.checkpoint_step = std::strtoll(step->second.c_str(), nullptr, 10);
  if (auto config = header.metadata.find("config"); config != header.metadata.end() && run.config_text.empty())
    run.config_text = config->second;
}

// A config as its file names it: every key, also those that the text leaves out.
Json every_key(const Config& config) {
  std::ostringstream json;
  json << toml::json_formatter(toml::parse(to_toml(config)));
  return Json::parse(json.str());
}

}  // namespace

TrainingLog read_training_log(const fs::path& file) {
  TrainingLog log;
  log.loss.label = "training";
  log.validation_loss.label = "held-out, averaged weights";
  log.gradient_norm.label = "norm of the gradient";
  log.learning_rate.label = "learning rate";
  std::string text = read_whole_file(file);
  double seconds_before = 0;
  for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
    end = std::min(text.find('\n', begin), text.size());
    if (end == begin) continue;
    ++log.lines;
    Json line = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                            text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    std::optional<double> at = line.is_object() ? number_in(line, "step") : std::nullopt;
    if (!at || !(*at >= static_cast<double>(log.last_step) && *at < 1e15)) {
      ++log.broken;
      continue;
    }
    double step = *at;
    log.last_step = static_cast<int64_t>(step);
    append(log.loss, step, number_in(line, "loss"));
    append(log.validation_loss, step, number_in(line, "validation_loss"));
    append(log.gradient_norm, step, number_in(line, "gradient_norm"));
    append(log.learning_rate, step, number_in(line, "learning_rate"));
    append_terms(log.terms, step, line);
    std::optional<double> step_seconds = number_in(line, "seconds_per_step"), seconds = number_in(line, "seconds"),
                          bytes = number_in(line, "peak_bytes");
    if (step_seconds && *step_seconds > 0) append(log.steps_per_second, step, 1 / *step_seconds);
    if (seconds && *seconds >= 0) {  // they begin anew where the run was resumed
      log.seconds += *seconds >= seconds_before ? *seconds - seconds_before : *seconds;
      seconds_before = *seconds;
    }
    if (bytes && *bytes > log.peak_bytes) log.peak_bytes = *bytes;
    if (auto it = line.find("machine"); it != line.end() && it->is_string()) {
      std::string machine = it->get<std::string>();
      if (std::ranges::find(log.machines, machine) == log.machines.end()) log.machines.push_back(machine);
    }
    append_sampler(log.samplers, line);
  }
  if (log.terms.size() < 2) log.terms.clear();
  return log;
}

std::optional<RunRecord> read_run(const fs::path& path) {
  RunFolder folder(path);
  std::error_code error;
  bool has_log = fs::exists(folder.metrics(), error);
  if (!folder.holds_a_run() && !has_log) return {};
  RunRecord run;
  run.folder = path;
  run.grids = folder.grids();
  auto attempt = [&](auto&& part) {
    try {
      part();
    } catch (const Error& e) {
      run.problems.push_back(e.what());
    }
  };
  if (fs::exists(folder.config(), error)) attempt([&] { run.config_text = read_whole_file(folder.config()); });
  if (!folder.checkpoints().empty()) attempt([&] { read_checkpoint(run); });
  if (!run.config_text.empty())
    attempt([&] {
      Config config = parse_config(run.config_text, folder.config().string());
      run.config = every_key(config);
      run.of_images = is_of_images(config);
    });
  if (has_log) attempt([&] { run.log = read_training_log(folder.metrics()); });
  if (run.log.broken > 0)
    run.problems.push_back(fmt::format("{}: {} of {} lines are no JSON object with a step; they are left out",
                                       folder.metrics().string(), run.log.broken, run.log.lines));
  return run;
}

}  // namespace vapo::app
