#include "apps/training/check_training.h"

#include <fmt/format.h>

#include <utility>

#include "apps/run/model.h"
#include "tensor/check.h"

namespace vapo::app {
namespace {

template <class... T>
[[noreturn]] void refuse(fmt::format_string<T...> text, T&&... values) {
  throw InputError(fmt::format(text, std::forward<T>(values)...));
}

void check_below_one(const char* key, double value, const char* why) {
  if (value >= 1) refuse("{} = {} must be below 1: {}", key, value, why);
}

void check_schedule(const Config::Train& t) {
  if (t.schedule == "cosine" && t.schedule_steps > 0 && t.warmup_steps >= t.schedule_steps)
    refuse("train.warmup_steps = {} must be below train.schedule_steps = {}", t.warmup_steps, t.schedule_steps);
  if (t.schedule == "step" && t.step_every < 1)
    refuse("train.step_every = {} must be 1 or more with train.schedule = \"step\"", t.step_every);
}

// The shares of the loss that hold Φ to anything: without them it falls without end, or to a constant.
void check_loss(const Config::Loss& l) {
  if (l.estimator != "published") return;
  if (l.first_weight == 0 && l.second_weight == 0)
    refuse("loss.first_weight and loss.second_weight are both 0: nothing in the loss knows of the data");
  if (l.dirichlet_weight == 0 && l.second_term != "dist")
    refuse("loss.dirichlet_weight = 0 with loss.second_term = \"{}\": the loss then has no lower bound",
           l.second_term);
}

}  // namespace

void check_training(const Config& config) {
  const Config::Train& t = config.train;
  check_schedule(t);
  check_loss(config.loss);
  check_below_one("train.ema_decay", t.ema_decay, "the average would never move (0 = no average)");
  if (t.optimizer == "sgd") {
    check_below_one("train.momentum", t.momentum, "its sum has no end");
    if (t.nesterov && t.momentum == 0) refuse("train.nesterov = true needs train.momentum above 0");
  } else {
    check_below_one("train.beta1", t.beta1, "the first moment would never move");
    check_below_one("train.beta2", t.beta2, "the second moment would never move");
    if (t.eps <= 0) refuse("train.eps = {} must be above 0 with train.optimizer = \"{}\"", t.eps, t.optimizer);
  }
  if (t.t_min >= t.t_max) refuse("train.t_min = {} must be below train.t_max = {}", t.t_min, t.t_max);
  if (config.sample.t_start >= config.sample.t_end)
    refuse("sample.t_start = {} must be below sample.t_end = {}", config.sample.t_start, config.sample.t_end);
  if (classes_of(config) > 0 && t.label_drop == 1)
    refuse("train.label_drop = 1 with {}.classes = {}: no image would be shown with its class", config.model.kind,
           classes_of(config));
}

std::vector<std::string> doubts_about(const Config& config) {
  const Config::Train& t = config.train;
  std::vector<std::string> out;
  auto doubt = [&](std::string line) { out.push_back(std::move(line)); };
  int64_t end = t.schedule_steps > 0 ? t.schedule_steps : t.steps;
  bool cosine = t.schedule == "cosine";
  if (t.learning_rate == 0) doubt("train.learning_rate = 0: nothing is learned");
  if (cosine && t.warmup_steps >= end && end > 0)
    doubt(
        fmt::format("train.warmup_steps = {} is not below the {} steps of the cosine: the learning rate is 0 "
                    "after warm-up, or warm-up is not finished",
                    t.warmup_steps, end));
  else if (t.warmup_steps >= t.steps && t.steps > 0)
    doubt(fmt::format("train.warmup_steps = {}: all {} steps are warm-up", t.warmup_steps, t.steps));
  if (cosine && t.final_fraction == 0 && end > 0 && end < t.steps)
    doubt(fmt::format("train.schedule_steps = {} of train.steps = {}: the learning rate is 0 from step {} on", end,
                      t.steps, end + 1));
  if (!cosine && (t.schedule_steps > 0 || t.final_fraction > 0))
    doubt(fmt::format("train.schedule = \"{}\" does not use train.schedule_steps and train.final_fraction",
                      t.schedule));
  if (t.schedule != "step" && t.step_every > 0)
    doubt(fmt::format("train.schedule = \"{}\" does not use train.step_every", t.schedule));
  if (!is_of_images(config) && config.data.path.empty() && config.data.points > 0 &&
      t.batch_size > config.data.points)
    doubt(fmt::format("train.batch_size = {}: a batch shows each of data.points = {} more than once", t.batch_size,
                      config.data.points));
  if (is_of_images(config) && t.validate_every > 0 && config.data.held_out == 0)
    doubt("train.validate_every is set and data.held_out = 0: there is nothing to validate on");
  return out;
}

}  // namespace vapo::app
