#include "apps/training/doubts.h"

#include <fmt/format.h>

#include "apps/run/model.h"

namespace vapo::app {

std::vector<std::string> doubts_about(const Config& config) {
  const TrainingOptions& t = config.train;
  const nn::Schedule& s = t.schedule;
  std::vector<std::string> out;
  auto doubt = [&](std::string line) { out.push_back(std::move(line)); };
  int64_t end = t.learning_rate().total_steps;
  bool cosine = s.kind == nn::Schedule::Kind::cosine;
  if (s.base == 0) doubt("train.learning_rate = 0: nothing is learned");
  if (cosine && s.warmup_steps >= end && end > 0)
    doubt(
        fmt::format("train.warmup_steps = {} is not below the {} steps of the cosine: the learning rate is 0 "
                    "after warm-up, or warm-up is not finished",
                    s.warmup_steps, end));
  else if (s.warmup_steps >= t.steps && t.steps > 0)
    doubt(fmt::format("train.warmup_steps = {}: all {} steps are warm-up", s.warmup_steps, t.steps));
  if (cosine && s.final_fraction == 0 && end > 0 && end < t.steps)
    doubt(fmt::format("train.schedule_steps = {} of train.steps = {}: the learning rate is 0 from step {} on", end,
                      t.steps, end + 1));
  if (!cosine && (s.total_steps > 0 || s.final_fraction > 0))
    doubt(fmt::format("train.schedule = \"{}\" does not use train.schedule_steps and train.final_fraction",
                      name_of(s.kind)));
  if (s.kind != nn::Schedule::Kind::step && s.step_every > 0)
    doubt(fmt::format("train.schedule = \"{}\" does not use train.step_every", name_of(s.kind)));
  const Times& times = config.times;
  if (times.kind == Times::Kind::uniform &&
      (times.mean != 0 || times.deviation != 1 || times.uniform_share != 0 || times.unbiased))
    doubt(
        "path.times = \"uniform\" does not use path.times_mean, times_deviation, times_uniform and times_unbiased");
  if (!is_of_images(config) && config.data.path.empty() && config.data.points > 0 &&
      t.batch_size > config.data.points)
    doubt(fmt::format("train.batch_size = {}: a batch shows each of data.points = {} more than once", t.batch_size,
                      config.data.points));
  if (is_of_images(config) || config.data.path.empty())
    for (const auto& [key, set] : {std::pair{"data.columns", !config.data.columns.empty()},
                                   std::pair{"data.missing", config.data.missing != data::Missing::refuse}})
      if (set) doubt(fmt::format("{}: of tables alone, and not used for {}", key, config.data.set));
  if (config.classes() == 0)
    for (const auto& [key, set] : {std::pair{"train.label_drop", t.label_drop != TrainingOptions().label_drop},
                                   std::pair{"equilibrium.label_drop", config.equilibrium.label_drop != -1}})
      if (set) doubt(fmt::format("{}: of networks with classes, and not used", key));
  if (const EquilibriumOptions& e = config.equilibrium; e.steps == 0) {
    for (const Difference& d : differences({}, config))
      if (d.key.starts_with("equilibrium.")) {
        doubt(fmt::format("{} is set and equilibrium.steps = 0: there is no such phase", d.key));
        break;
      }
  } else {
    if (e.schedule.warmup_steps >= e.steps)
      doubt(fmt::format("equilibrium.warmup_steps = {}: all {} updates are warm-up", e.schedule.warmup_steps,
                        e.steps));
    if (e.buffer / e.batch_size > e.steps)
      doubt(fmt::format("equilibrium.buffer = {}: {} updates of {} chains begin no more than {} of them", e.buffer,
                        e.steps, e.batch_size, e.steps * e.batch_size));
    if (t.ema_decay == 0 && e.ema_decay > 0)
      doubt("train.ema_decay = 0: there is no average, and equilibrium.ema_decay is not used");
  }
  if (is_of_images(config) && config.run.validate_every > 0 && config.data.held_out == 0)
    doubt("train.validate_every is set and data.held_out = 0: there is nothing to validate on");
  return out;
}

}  // namespace vapo::app
