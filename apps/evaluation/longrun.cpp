// vapo longrun: the flow far beyond t = 1, or many steps of SGLD, and whether they come to rest.

#include "apps/evaluation/longrun.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "apps/evaluation/longrun_states.h"
#include "apps/evaluation/model_images.h"
#include "apps/run/command.h"
#include "apps/run/ranks.h"
#include "apps/sampling/sampling.h"
#include "tensor/check.h"
#include "tensor/finite.h"
#include "tensor/io/atomic_file.h"
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
  bool last_weights = false, clamp = false, averaged_noise = false, denoise = false, together = false;
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
Advance langevin(const EnergySlope& slope, const SgldOptions& how, uint64_t seed, size_t number) {
  return [=](const Tensor& x, int64_t first, int64_t count, const Observe& observe) {
    Tensor values;  // of every particle, at the step at hand
    EnergySlope heard = [&](const Tensor& at) {
      EnergyGradient e = slope(at);
      values = e.value;
      return e;
    };
    SgldOptions options = how;
    options.steps = count;
    options.key = {seed, kSgldStream, (uint64_t{number} << 32) + static_cast<uint64_t>(first)};
    int64_t step = first;
    try {
      return sgld(heard, x, options, [&](const SgldReport& r) {
        step = first + r.step;
        observe({step, r.x, values.to(Device::cpu), r.mean_squared_gradient});
      });
    } catch (const DivergedError&) {  // it would speak of this call's steps
      auto bad = values.defined() ? non_finite(values) : std::nullopt;
      std::string hint = step == 0 ? "are the weights and the start finite?"
                                   : fmt::format("a smaller --step-size than {}", how.step_size);
      if (bad)
        throw DivergedError(
            fmt::format("the energy is {} at step {} {}. Hint: {}", bad->name(), step, bad->where(), hint));
      throw DivergedError(
          fmt::format("x is not finite after step {}. Hint: a smaller --step-size than {}", step, how.step_size));
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

LongRuns plan_of(const LongRunOptions& o, const Model& model) {
  LongRuns all;
  all.ode = o.method == "ode";
  all.of_images = model.of_images();
  all.function = "Phi";
  all.not_comparable_because = model.config.data.set == "cifar10"
                                   ? ""
                                   : "the poster's model is of CIFAR-10, this one of " + model.config.data.set;
  if (all.ode) {
    if (o.starts != std::vector<std::string>{"noise"})
      throw InputError("--start: the flow begins at noise; samples and data are starts of --method sgld");
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
  std::vector<double> temperatures = o.temperatures;
  if (o.together) temperatures = {NAN};  // all in one run
  for (const std::string& start : o.starts)
    for (double temperature : temperatures) {
      std::string name = fmt::format("sgld-{}", start);
      if (!o.together) name += fmt::format("-{}", temperature);
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
  for (const auto& [name, on] : {std::pair{"clamp", o.clamp},
                                 {"averaged_noise", o.averaged_noise},
                                 {"denoise", o.denoise},
                                 {"together", o.together}})
    if (on) request[name] = true;
  return request;
}

// Each particle's temperature where all run together: the temperatures in turn.
Tensor in_turn(const std::vector<double>& temperatures, int64_t n) {
  std::vector<double> out;
  for (int64_t k = 0; k < n; ++k) out.push_back(temperatures[static_cast<size_t>(k) % temperatures.size()]);
  return Tensor::from(out, {n});
}

// Rank 0's folder, on all ranks: they share out whole runs, each of which leaves there where it goes on from.
std::filesystem::path folder_of_all(const std::filesystem::path& own) {
  std::filesystem::path folder = broadcast_text(ranks(), std::filesystem::absolute(own).string());
  if (ranks().size() == 1) return own;
  std::filesystem::path mark = folder / ".of-rank-0";
  std::string written =
      broadcast_text(ranks(), std::to_string(std::chrono::system_clock::now().time_since_epoch().count()));
  std::string_view pieces[] = {written};
  if (ranks().leads()) write_file_atomically(mark, pieces);
  ranks().barrier();
  std::error_code error;
  if (!std::filesystem::exists(mark, error) || read_whole_file(mark) != written)
    throw InputError(
        fmt::format("{}: this machine does not see that folder of rank 0, and runs that ranks share out are left "
                    "there. Hint: an --out that all machines see, or one process",
                    folder.string()));
  ranks().barrier();
  if (ranks().leads()) std::filesystem::remove(mark, error);
  return folder;
}

// t: of the marginal energy, which is that of data with noise of deviation σ/μ.
void run_all(const LongRunOptions& o, const Model& model, const Energy& energy, std::optional<double> t,
             LongRuns& all, const std::filesystem::path& own_folder) {
  std::filesystem::path folder = folder_of_all(own_folder);
  int64_t n = o.particles * (o.together ? static_cast<int64_t>(o.temperatures.size()) : 1);
  double noise = t ? model.path().at(*t).sigma / model.path().at(*t).mu : 0;
  auto seed = static_cast<uint64_t>(o.seed);
  EnergySlope slope = recorded_slope(energy);
  std::string known;
  Tensor start;
  auto run_one = [&](size_t i) {
    LongRun& run = all.runs[i];
    if (run.start != known) start = long_run_start(model, run.start, n, seed, noise);
    known = run.start;
    SgldOptions how{.step_size = o.step_size.value_or(0),
                    .temperature = run.temperature,
                    .clamp = o.clamp,
                    .averaged_noise = o.averaged_noise};
    if (o.together) how.temperature = 0, how.temperatures = in_turn(o.temperatures, n);
    Advance advance = all.ode ? flow_of(model, o.per_unit) : langevin(slope, how, seed, i);
    ChainPlan plan{
        .name = run.name, .what = run.name, .steps = all.steps, .shown = all.shown, .save_every = o.save_every};
    run.chain = run_chain(folder, plan, start, advance);
    if (ranks().leads() && !run.chain.ended.empty()) note(fmt::format("{}: {}", run.name, run.chain.ended));
  };
  auto is_own = [](size_t i) { return static_cast<int64_t>(i) % ranks().size() == ranks().rank(); };
  for (size_t i = 0; i < all.runs.size(); ++i)
    if (is_own(i)) run_one(i);
  ranks().barrier();
  if (!ranks().leads()) return;
  for (size_t i = 0; i < all.runs.size(); ++i)
    if (!is_own(i)) run_one(i);  // reads what another rank left there
  if (o.together) {
    std::vector<LongRun> each;
    for (const LongRun& run : all.runs)
      for (LongRun& part : by_temperature(run, o.temperatures)) each.push_back(std::move(part));
    all.runs = std::move(each);
  }
  for (LongRun& run : all.runs)
    if (o.denoise && run.chain.shown.defined()) run.denoised = denoised(model, run.chain.shown, *t);
}

int longrun(LongRunOptions o) {
  Device device = o.common.apply();
  Model model = open_model(o.model, o.last_weights, device);
  if (!o.energy) o.energy = model.recipe.sample.energy;
  if (!o.step_size) o.step_size = model.recipe.sample.sgld.step_size;
  o.averaged_noise |= model.recipe.sample.sgld.averaged_noise;
  LongRuns all = plan_of(o, model);
  Energy energy;
  std::optional<double> marginal_t;
  if (!all.ode && *o.energy == EnergyKind::marginal) {
    marginal_t = marginal_time(model, o.t);
    energy = blurred_data_energy(*model.potential, model.path(), *marginal_t);
    all.function = fmt::format("marginal energy at t = {}", *marginal_t);
  } else if (!all.ode && *o.energy == EnergyKind::potential) {
    energy = model.energy(EnergyKind::potential);
    all.function = "Phi at t = 1";
  } else if (!all.ode) {
    const EnergyOptions& e = model.recipe.energy;
    energy = model.boltzmann();
    all.function =
        e.boltzmann == EnergyOptions::Boltzmann::given
            ? fmt::format("(4 Phi + f |x|^2)/g^2 at t = {}, f = {}, g^2 = {}", e.boltzmann_t, e.f, e.g_squared)
            : fmt::format("(4 Phi + f |x|^2)/g^2 of the path at t = {}", e.boltzmann_t);
  }
  if (o.denoise && !(marginal_t && model.path().at(*marginal_t).sigma > 0))
    throw InputError(
        "--denoise: of --method sgld with --energy marginal at a time --t below 1, whose noise the flow takes");
  Evaluation evaluation(evaluation_folder(model, o.out, "longrun-" + o.method), "longrun",
                        request_of(o, model, all));
  run_all(o, model, energy, marginal_t, all, evaluation.folder());
  if (!ranks().leads()) return 0;
  report_long_runs(evaluation, all);
  evaluation.remark(
      all.ode ? fmt::format(
                    "{} particles, Euler with {} steps per unit of time (NFE {}), seed {}; {} weights of step {}; "
                    "the network sees no t beyond {}",
                    o.particles, o.per_unit, all.steps, o.seed, model.averaged ? "averaged" : "last", model.step,
                    model.recipe.train.t_max)
              : fmt::format("{} particles{}{}, {} steps of {:.3g}, seed {}; {} weights of step {}; at first noise, "
                            "samples of the "
                            "flow, or data with the noise of its time",
                            o.particles, o.clamp ? " held in [-1,1]" : "",
                            o.averaged_noise ? " with averaged noise" : "", all.steps, *o.step_size, o.seed,
                            model.averaged ? "averaged" : "last", model.step));
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
  add_choice(*command, "--energy", o->energy,
             "Of sgld: marginal, boltzmann or potential: Phi itself (default: the config's)");
  command->add_flag("--together", o->together,
                    "Of sgld: one run of particles that have the temperatures in turn, -n of each");
  command->add_flag("--averaged-noise", o->averaged_noise,
                    "Of sgld: a step's noise is the mean of its own and the next one's: no error of first order in "
                    "the step size");
  command->add_flag("--clamp", o->clamp, "Of sgld: particles are held in [-1,1]");
  command->add_flag(
      "--denoise", o->denoise,
      "Of sgld and the marginal energy: also show the states as the flow carries them on from --t to 1");
  command
      ->add_option("--t", o->t,
                   "Of the marginal energy (default: the config's, or 0.95 where the path has no noise)")
      ->check(real_from(0.0, 1.0));
  command
      ->add_option("--start", o->starts,
                   "Of sgld: noise, samples (of the flow), data (trained on), or several with commas")
      ->delimiter(',')
      ->check(CLI::IsMember({"noise", "samples", "data"}))
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
