// vapo sample: points from a trained potential.

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "apps/command.h"
#include "apps/sampling.h"
#include "data/statistics.h"
#include "tensor/check.h"
#include "tensor/io/npy.h"
#include "tensor/kernels.h"

namespace vapo::app {
namespace {

struct SampleOptions {
  CommonOptions common;
  std::string model, save;
  int64_t n = 1000, seed = 0;
  std::optional<std::string> method, energy;
  std::optional<int64_t> steps;
  std::optional<double> rtol, atol, t_end, step_size, temperature;
  bool last_weights = false;
};

template <class T>
void override_by(T& value, const std::optional<T>& given) {
  if (given) value = *given;
}

int sample(const SampleOptions& options) {
  Device device = options.common.apply();
  Model model = open_model(options.model, options.last_weights, device);
  Config::Sample s = model.config.sample;
  override_by(s.method, options.method);
  override_by(s.energy, options.energy);
  override_by(s.method == "sgld" ? s.sgld_steps : s.steps, options.steps);
  override_by(s.rtol, options.rtol);
  override_by(s.atol, options.atol);
  override_by(s.t_end, options.t_end);
  override_by(s.step_size, options.step_size);
  override_by(s.temperature, options.temperature);

  Samples samples = draw_samples(model, s, options.n, static_cast<uint64_t>(options.seed));
  if (!kernel::all_finite(samples.x))
    throw DivergedError("samples are not finite. Hint: more --steps or a smaller --step-size");
  if (!options.save.empty()) write_npy(options.save, samples.x);

  Json mean = Json::array(), deviation = Json::array();
  for (int64_t k = 0; k < model.dims(); ++k) {
    data::Estimate column = data::mean_of(kernel::slice(samples.x, 1, k, k + 1, 1));
    mean.push_back(column.mean);
    deviation.push_back(column.standard_error * std::sqrt(static_cast<double>(options.n)));
  }
  print_result({{"checkpoint", model.file.string()},
                {"weights", model.averaged ? "ema" : "last"},
                {"n", options.n},
                {"dims", model.dims()},
                {"method", s.method},
                {"nfe", samples.nfe},
                {"seconds", samples.seconds},
                {"seed", options.seed},
                {"mean", mean},
                {"standard_deviation", deviation},
                {"saved", options.save.empty() ? Json(nullptr) : Json(options.save)}},
               options.common.json);
  return 0;
}

}  // namespace

void add_sample(CLI::App& app, Action& action) {
  auto o = std::make_shared<SampleOptions>();
  CLI::App* command = app.add_subcommand("sample", "Draw samples from a trained potential");
  command->add_option("MODEL", o->model, "Folder of a run, or a checkpoint")->required();
  command->add_option("-n,--number", o->n, "How many")
      ->check(CLI::Range(int64_t{1}, int64_t{100'000'000}))
      ->capture_default_str();
  command->add_option("--method", o->method, "euler, heun, rk23, rk45 or sgld (default: the config's)")
      ->check(CLI::IsMember({"euler", "heun", "rk23", "rk45", "sgld"}));
  command->add_option("--steps", o->steps, "Of euler, heun and sgld")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  command->add_option("--rtol", o->rtol, "Relative tolerance of rk23 and rk45")->check(CLI::Range(1e-14, 1.0));
  command->add_option("--atol", o->atol, "Absolute tolerance of rk23 and rk45")->check(CLI::Range(1e-14, 1e6));
  command->add_option("--t-end", o->t_end, "Where the flow ends; beyond 1 the potential stays as at 1")
      ->check(CLI::Range(0.0, 1e6));
  command->add_option("--energy", o->energy, "Of sgld: marginal or boltzmann")
      ->check(CLI::IsMember({"marginal", "boltzmann"}));
  command->add_option("--step-size", o->step_size, "Of sgld")->check(CLI::Range(1e-12, 1e6));
  command->add_option("--temperature", o->temperature, "Of sgld; 0 climbs the energy")
      ->check(CLI::Range(0.0, 1e12));
  command->add_option("--seed", o->seed, "Sample k of a seed starts from the same noise for every n")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}))
      ->capture_default_str();
  command->add_option("--save", o->save, "Write the samples (n,D) to this .npy file");
  command->add_flag("--last-weights", o->last_weights, "Use the last weights instead of their average");
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return sample(*o); }; });
}

}  // namespace vapo::app
