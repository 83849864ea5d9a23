// vapo longrun: the flow far beyond t = 1, or many steps of SGLD, and whether they come to rest.

#include "apps/evaluation/longrun.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "apps/evaluation/model_images.h"
#include "apps/run/command.h"
#include "apps/sampling/sampling.h"
#include "tensor/check.h"
#include "tensor/finite.h"
#include "tensor/kernels.h"
#include "vapo/recorded.h"
#include "vapo/scores.h"
#include "vapo/streams.h"

namespace vapo::app {
namespace {

struct LongRunOptions {
  CommonOptions common;
  std::string model, out, method = "ode";
  std::vector<std::string> starts = {"noise"};
  std::vector<double> temperatures = {1};
  std::optional<EnergyKind> energy;
  std::optional<double> step_size, t;
  std::optional<int64_t> burn_in;
  double until = 20, save_every = 30;
  int64_t steps = 2000, per_unit = 50, particles = 16, seed = 0;
  bool last_weights = false;
};

constexpr int64_t kShown = 16;  // times at which images are kept

// Euler's steps of 1/per_unit. The network sees no time beyond those it was trained on.
Advance flow_of(const Model& model, int64_t per_unit) {
  auto time = [per_unit](int64_t k) { return static_cast<double>(k) / static_cast<double>(per_unit); };
  double first_t = model.recipe.sample.t_start, last_t = model.recipe.train.t_max;
  auto slope = std::make_shared<Recorded>([&phi = *model.potential](std::span<const Tensor> in) {
    EnergyGradient e = energy_gradient([&](const Var& x) { return phi(x, in[1]); }, in[0]);
    return std::vector{e.gradient, e.value};
  });
  return [slope, time, first_t, last_t](Tensor x, int64_t first, int64_t count, const Observe& observe) {
    for (int64_t k = first; k < first + count; ++k) {
      Field field = [&](const Tensor& at, double t) {
        double seen = std::clamp(t, first_t, last_t), n = static_cast<double>(at.dim(0));
        const Tensor in[] = {at, Tensor::full({at.dim(0)}, seen, at.options())};
        std::vector<Tensor> e = (*slope)(in);
        observe({k, at, e[1].to(Device::cpu), kernel::sum_squares({&e[0], 1}).item() / n});
        return e[0];
      };
      x = integrate(field, x, time(k), time(k + 1), {.method = OdeMethod::euler, .steps = 1, .times = {}}).x;
    }
    return x;
  };
}

// SGLD's steps; those of run `number` have noise of their own.
Advance langevin(const EnergySlope& slope, double step_size, double temperature, uint64_t seed, size_t number) {
  return [=](const Tensor& x, int64_t first, int64_t count, const Observe& observe) {
    Tensor values;  // of every particle, at the step at hand
    EnergySlope heard = [&](const Tensor& at) {
      EnergyGradient e = slope(at);
      values = e.value;
      return e;
    };
    SgldOptions options{.step_size = step_size,
                        .temperature = temperature,
                        .steps = count,
                        .key = {seed, kSgldStream, (uint64_t{number} << 32) + static_cast<uint64_t>(first)}};
    int64_t step = first;
    try {
      return sgld(heard, x, options, [&](const SgldReport& r) {
        step = first + r.step;
        observe({step, r.x, values.to(Device::cpu), r.mean_squared_gradient});
      });
    } catch (const DivergedError&) {  // it would speak of this call's steps
      auto bad = values.defined() ? non_finite(values) : std::nullopt;
      std::string hint = step == 0 ? "are the weights and the start finite?"
                                   : fmt::format("a smaller --step-size than {}", step_size);
      if (bad)
        throw DivergedError(
            fmt::format("the energy is {} at step {} {}. Hint: {}", bad->name(), step, bad->where(), hint));
      throw DivergedError(
          fmt::format("x is not finite after step {}. Hint: a smaller --step-size than {}", step, step_size));
    }
  };
}

// From the first step on, or for the flow from its samples at t = 1 on, evenly to the last.
std::vector<int64_t> shown_steps(int64_t steps, int64_t begin) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < kShown; ++i) {
    double place = static_cast<double>(i) / static_cast<double>(kShown - 1);
    out.push_back(begin + std::llround(place * static_cast<double>(steps - begin)));
  }
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

Tensor start_of(const Model& model, const std::string& start, int64_t n, uint64_t seed) {
  if (start == "noise") return prior_noise(model, n, seed);
  return timed_samples(model, model.recipe.sample.of_the_flow(), {.n = n, .seed = seed}).x.to(model.device);
}

LongRuns plan_of(const LongRunOptions& o, const Model& model) {
  LongRuns all;
  all.ode = o.method == "ode";
  all.function = "Phi";
  all.not_comparable_because = model.config.data.set == "cifar10"
                                   ? ""
                                   : "the poster's model is of CIFAR-10, this one of " + model.config.data.set;
  if (all.ode) {
    if (o.starts != std::vector<std::string>{"noise"})
      throw InputError("--start: the flow begins at noise; samples are a start of --method sgld");
    all.steps = std::llround(o.until * static_cast<double>(o.per_unit));
    all.unit = 1 / static_cast<double>(o.per_unit);
    if (all.steps < 1)
      throw InputError(fmt::format("--until {}: no step of {} is made. Hint: a larger one", o.until, all.unit));
    all.shown = shown_steps(all.steps, o.until > 1 ? o.per_unit : 0);
    all.runs.push_back({.name = "ode", .start = "noise", .chain = {}});
    return all;
  }
  all.steps = o.steps;
  all.burn_in = o.burn_in.value_or(o.steps / 2);
  if (all.burn_in + 4 > o.steps)
    throw InputError(fmt::format("--burn-in {}: of {} steps, fewer than 4 are left", all.burn_in, o.steps));
  all.shown = shown_steps(o.steps, 0);
  for (const std::string& start : o.starts)
    for (double temperature : o.temperatures) {
      std::string name = fmt::format("sgld-{}-{}", start, temperature);
      for (const LongRun& other : all.runs)
        if (other.name == name)
          throw InputError(fmt::format("{}, temperature {}: named twice", start, temperature));
      all.runs.push_back({.name = name, .start = start, .temperature = temperature, .chain = {}});
    }
  return all;
}

Json request_of(const LongRunOptions& o, const Model& model, const LongRuns& all) {
  Json request = model_request(model);
  request.update({{"method", o.method},
                  {"steps", all.steps},
                  {"particles", o.particles},
                  {"device", std::string(name_of(model.device))},
                  {"precision", o.common.precision},
                  {"seed", o.seed}});
  if (all.ode) {
    request["steps_per_unit"] = o.per_unit;
    return request;
  }
  request.update({{"start", o.starts},
                  {"temperatures", o.temperatures},
                  {"step_size", *o.step_size},
                  {"energy", all.function},
                  {"burn_in", all.burn_in}});
  return request;
}

void run_all(const LongRunOptions& o, const Model& model, const Energy& energy, LongRuns& all,
             const std::filesystem::path& folder) {
  auto seed = static_cast<uint64_t>(o.seed);
  EnergySlope slope = recorded_slope(energy);
  std::string known;
  Tensor start;
  for (size_t i = 0; i < all.runs.size(); ++i) {
    LongRun& run = all.runs[i];
    if (run.start != known) start = start_of(model, run.start, o.particles, seed);
    known = run.start;
    Advance advance =
        all.ode ? flow_of(model, o.per_unit) : langevin(slope, *o.step_size, run.temperature, seed, i);
    ChainPlan plan{
        .name = run.name, .what = run.name, .steps = all.steps, .shown = all.shown, .save_every = o.save_every};
    run.chain = run_chain(folder, plan, start, advance);
    if (!run.chain.ended.empty()) note(fmt::format("{}: {}", run.name, run.chain.ended));
  }
}

int longrun(LongRunOptions o) {
  Device device = o.common.apply();
  Model model = open_model(o.model, o.last_weights, device);
  if (!model.of_images())
    throw InputError(
        fmt::format("{}: a model of points; long runs are of images. Hint: vapo density", model.file.string()));
  if (!o.energy) o.energy = model.recipe.sample.energy;
  if (!o.step_size) o.step_size = model.recipe.sample.sgld.step_size;
  LongRuns all = plan_of(o, model);
  Energy energy;
  if (!all.ode && *o.energy == EnergyKind::marginal) {
    double t = marginal_time(model, o.t);
    energy = blurred_data_energy(*model.potential, model.path(), t);
    all.function = fmt::format("marginal energy at t = {}", t);
  } else if (!all.ode) {
    const EnergyOptions& e = model.recipe.energy;
    energy = model.boltzmann();
    all.function =
        e.boltzmann == EnergyOptions::Boltzmann::given
            ? fmt::format("(4 Phi + f |x|^2)/g^2 at t = {}, f = {}, g^2 = {}", e.boltzmann_t, e.f, e.g_squared)
            : fmt::format("(4 Phi + f |x|^2)/g^2 of the path at t = {}", e.boltzmann_t);
  }
  Evaluation evaluation(evaluation_folder(model, o.out, "longrun-" + o.method), "longrun",
                        request_of(o, model, all));
  run_all(o, model, energy, all, evaluation.folder());
  report_long_runs(evaluation, all);
  evaluation.remark(
      all.ode
          ? fmt::format(
                "{} particles, Euler with {} steps per unit of time (NFE {}), seed {}; {} weights of step {}; "
                "the network sees no t beyond {}",
                o.particles, o.per_unit, all.steps, o.seed, model.averaged ? "averaged" : "last", model.step,
                model.recipe.train.t_max)
          : fmt::format(
                "{} particles, {} steps of {:.3g}, seed {}; {} weights of step {}; at first noise, or samples "
                "of the flow",
                o.particles, all.steps, *o.step_size, o.seed, model.averaged ? "averaged" : "last", model.step));
  evaluation.finish(o.common.json);
  return 0;
}

}  // namespace

void add_longrun(CLI::App& app, Action& action) {
  auto o = std::make_shared<LongRunOptions>();
  CLI::App* command =
      app.add_subcommand("longrun", "The flow far beyond t = 1, or many steps of SGLD: do they come to rest?");
  command->add_option("MODEL", o->model, "Folder of a run, or a checkpoint")->required();
  command->add_option("--method", o->method, "ode (Euler) or sgld")
      ->check(CLI::IsMember({"ode", "sgld"}))
      ->capture_default_str();
  command->add_option("-n,--particles", o->particles, "How many, all at once")
      ->check(CLI::Range(int64_t{1}, int64_t{4096}))
      ->capture_default_str();
  command->add_option("--until", o->until, "Of ode: the time at which it ends")
      ->check(real_from(0.0, 1e6))
      ->capture_default_str();
  command->add_option("--steps-per-unit", o->per_unit, "Of ode: steps per unit of time")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}))
      ->capture_default_str();
  command->add_option("--steps", o->steps, "Of sgld")
      ->check(CLI::Range(int64_t{4}, int64_t{1'000'000'000}))
      ->capture_default_str();
  command->add_option("--temperatures", o->temperatures, "Of sgld, with commas between: a run for each")
      ->delimiter(',')
      ->check(real_from(0.0, 1e12))
      ->capture_default_str();
  command->add_option("--step-size", o->step_size, "Of sgld (default: the config's)")->check(real_from(1e-12, 1e6));
  add_choice(*command, "--energy", o->energy, "Of sgld: marginal or boltzmann (default: the config's)");
  command
      ->add_option("--t", o->t,
                   "Of the marginal energy (default: the config's, or 0.95 where the path has no noise)")
      ->check(real_from(0.0, 1.0));
  command->add_option("--start", o->starts, "Of sgld: noise, samples (of the flow), or both with a comma")
      ->delimiter(',')
      ->check(CLI::IsMember({"noise", "samples"}))
      ->capture_default_str();
  command
      ->add_option("--burn-in", o->burn_in,
                   "Of sgld: steps that the statistics of the energy leave out (default: half)")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000}));
  command->add_option("--save-every", o->save_every, "Seconds between states from which the run goes on")
      ->check(real_from(0.0, 1e9))
      ->capture_default_str();
  command->add_option("--out", o->out,
                      "Folder for the result (default: evaluations/longrun-METHOD beside the model)");
  command->add_option("--seed", o->seed, "Of the starts and of SGLD's noise")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}))
      ->capture_default_str();
  command->add_flag("--last-weights", o->last_weights, "Use the last weights instead of their average");
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return longrun(*o); }; });
}

}  // namespace vapo::app
