// vapo density: how close a two-dimensional model is to the density it learned, in numbers (also as summary.json)
// and figures. Its folder is the run's own, unless told otherwise.

#include "apps/evaluation/density.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "apps/run/command.h"
#include "apps/run/dataset.h"
#include "apps/run/exit_code.h"
#include "apps/run/run_folder.h"
#include "data/measures/kde.h"
#include "tensor/io/atomic_file.h"
#include "tensor/kernels.h"
#include "vapo/streams.h"

namespace vapo::app {
namespace {

namespace fs = std::filesystem;

struct DensityOptions {
  CommonOptions common;
  std::string model, data, out;
  std::vector<std::string> settings;
  int64_t seed = 1;
  bool last_weights = false, no_figures = false;
};

Tensor first_rows(const Tensor& x, int64_t n) { return x.dim(0) <= n ? x : kernel::slice(x, 0, 0, n, 1); }

// The long Langevin run: its samples are snapshots spread evenly over the steps after burn-in.
struct LongRun {
  SgldTrace trace;
  Tensor samples;
  std::vector<Tensor> trails;
  double seconds = 0;
  double before_last_quarter = 0, last_quarter = 0;  // mean energies
};

// What sgld keeps the law of, as a log-density: with sample.energy = "potential" Φ/T, else the marginal energy.
struct Law {
  std::string name, total_variation;  // the second: the key of its distance from the truth
  Energy energy;
  SgldOptions sgld;
};
Law law_of(const Model& model, uint64_t seed) {
  const SamplerOptions& s = model.recipe.sample;
  SgldOptions sgld = sgld_options(s, seed);
  if (s.energy != EnergyKind::potential) return {"the marginal energy", "tv_marginal", model.marginal(), sgld};
  sgld.step_size *= sgld.temperature;
  Energy energy = tempered(model.energy(EnergyKind::potential), sgld.temperature);
  std::string name = fmt::format("Phi at temperature {}", sgld.temperature);
  sgld.temperature = 1;
  return {name, "tv_potential", energy, sgld};
}

LongRun run_sgld(const Model& model, const Law& law, const Config::Density& d, uint64_t seed) {
  constexpr int64_t kTrailLength = 60, kTrailParticles = 24;
  Stopwatch watch;
  LongRun run;
  int64_t snapshots = std::max<int64_t>(1, (d.points + d.sgld_particles - 1) / d.sgld_particles);
  int64_t burn_in = std::min(d.sgld_burn_in, d.sgld_steps - 1);
  if (burn_in < d.sgld_burn_in)
    note(fmt::format("density.sgld_burn_in = {} is not below density.sgld_steps = {}: {} steps of burn-in",
                     d.sgld_burn_in, d.sgld_steps, burn_in));
  int64_t every = std::max<int64_t>(1, (d.sgld_steps - burn_in) / snapshots);
  int64_t trace_every = std::max<int64_t>(1, d.sgld_steps / 500),
          trail_every = std::max<int64_t>(1, burn_in / 1000);
  int64_t quarter = d.sgld_steps / 4, last_start = d.sgld_steps - quarter;
  std::vector<Tensor> taken;
  SgldOptions options = law.sgld;
  options.steps = d.sgld_steps;
  auto observe = [&](const SgldReport& r) {
    if (r.step % trace_every == 0) {
      run.trace.step.push_back(static_cast<double>(r.step));
      run.trace.mean_energy.push_back(r.mean_energy);
      run.trace.mean_squared_gradient.push_back(r.mean_squared_gradient);
    }
    double share = r.mean_energy / static_cast<double>(quarter);
    if (r.step >= last_start) {
      run.last_quarter += share;
    } else if (r.step >= last_start - quarter) {
      run.before_last_quarter += share;
    }
    if (r.step % trail_every == 0 && static_cast<int64_t>(run.trails.size()) < kTrailLength) {
      run.trails.push_back(
          model.standardization.undo(first_rows(r.x, kTrailParticles).to(Device::cpu).to(DType::f64)));
    }
    if (r.step >= burn_in && (d.sgld_steps - 1 - r.step) % every == 0 &&
        static_cast<int64_t>(taken.size()) < snapshots) {
      taken.push_back(r.x);
    }
  };
  sgld(law.energy, prior_noise(model, d.sgld_particles, seed + 1), options, observe);
  run.samples =
      first_rows(model.standardization.undo(kernel::concat(taken, 0).to(Device::cpu).to(DType::f64)), d.points);
  run.seconds = watch.seconds();
  return run;
}

struct Reference {
  std::unique_ptr<PointDataset> dataset;
  Tensor points, second;  // second: another independent sample, where there can be one
  std::string name;
  bool known = false;  // its density is known
};

Reference reference_for(const DensityOptions& options, const Model& model) {
  Reference r;
  uint64_t seed = static_cast<uint64_t>(options.seed);
  int64_t n = model.config.density.points;
  if (!options.data.empty()) {
    r.points = read_table_for(model, options.data).values;
    r.name = options.data;
  } else {
    r.dataset = std::make_unique<PointDataset>(model.config);
    if (const data::PointSet* set = r.dataset->set()) {
      r.points = set->sample(n, {seed, kFreshStream, 0}, DType::f64);
      r.second = set->sample(n, {seed, kFreshStream, 1}, DType::f64);
      r.known = set->has_density();
      r.name = "fresh points of " + r.dataset->name();
    } else {
      r.points = r.dataset->held_out_rows();
      tell_if_changed(model, *r.dataset);
      r.name = "held-out rows of " + r.dataset->name();
    }
  }
  if (!r.points.defined() || r.points.dim(0) < 2) {
    throw InputError(fmt::format("{}: fewer than 2 points to compare with. Hint: --data FILE", r.name));
  }
  if (r.points.dim(1) != 2)
    throw InputError(fmt::format("{}: {} columns; density needs 2", r.name, r.points.dim(1)));
  return r;
}

void add_known_density(Json& summary, DensityResult& result, const Reference& reference, const Law& law,
                       const Tensor& likelihood_points, const Tensor& log_likelihood) {
  const data::PointSet& set = *reference.dataset->set();
  result.true_shares = data::cell_shares(set.log_density(result.grid.centres()));
  summary[law.total_variation] = number(data::total_variation(result.true_shares, result.law_shares));
  summary["tv_boltzmann"] = number(data::total_variation(result.true_shares, result.boltzmann_shares));
  data::Estimate log_p = data::mean_of(set.log_density(reference.points));
  summary["entropy_true"] = -log_p.mean;
  summary["entropy_true_standard_error"] = log_p.standard_error;
  Tensor log_ratio = kernel::binary(kernel::Binary::sub, set.log_density(likelihood_points), log_likelihood);
  data::Estimate kl = data::mean_of(log_ratio);
  summary["kl"] = kl.mean;
  summary["kl_standard_error"] = kl.standard_error;
}

void add_kernel_estimates(Json& summary, const PointDataset& dataset, const Tensor& points) {
  const Tensor& rows = dataset.train_rows();
  double scott = data::GaussianKde::scott_factor(rows.dim(0), rows.dim(1));
  double chosen = data::GaussianKde::cross_validated_factor(rows);
  data::Estimate by_scott = data::mean_of(data::GaussianKde(rows, scott).log_density(points));
  data::Estimate by_choice = data::mean_of(data::GaussianKde(rows, chosen).log_density(points));
  summary["train_rows"] = rows.dim(0);
  summary["kde_scott_factor"] = scott;
  summary["kde_scott_log_likelihood"] = by_scott.mean;
  summary["kde_cross_validated_factor"] = chosen;
  summary["kde_cross_validated_log_likelihood"] = by_choice.mean;
}

int density(const DensityOptions& options) {
  Device device = options.common.apply();
  Stopwatch watch;
  Model model = open_model(options.model, options.last_weights, device);
  for (const std::string& setting : options.settings) {
    std::string key = key_of(setting);
    if (!key.starts_with("sample.") && !key.starts_with("energy.") && !key.starts_with("density.")) {
      throw UsageError(fmt::format("--set {}: here only sample.*, energy.* and density.* can be set", setting));
    }
    set_value(model, setting);
  }
  if (model.dims() != 2) {
    throw InputError(
        fmt::format("{}: the model has {} dimensions; density needs 2", model.file.string(), model.dims()));
  }
  const Config::Density& d = model.config.density;
  uint64_t seed = static_cast<uint64_t>(options.seed);
  Reference reference = reference_for(options, model);
  SamplerOptions flow = model.recipe.sample.of_the_flow();
  Json asked = model_request(model);
  asked.update({{"compared_with", reference.name},
                {"n", reference.points.dim(0)},
                {"seed", options.seed},
                {"train_seed", model.recipe.train.seed},
                {"grid", d.grid},
                {"ode_method", flow.method()},
                {"sgld_particles", d.sgld_particles},
                {"sgld_steps", d.sgld_steps},
                {"sgld_step_size", model.recipe.sample.sgld.step_size},
                {"sgld_energy", model.recipe.sample.energy},
                {"settings", options.settings}});
  fs::path folder = options.out.empty() ? model.file.parent_path() : fs::path(options.out);
  Evaluation evaluation(folder.empty() ? "." : folder, "density", asked, "--out", Evaluation::Parts::none);

  Json summary = {{"checkpoint", model.file.string()},
                  {"step", model.step},
                  {"weights", model.averaged ? "ema" : "last"},
                  {"compared_with", reference.name},
                  {"n", reference.points.dim(0)},
                  {"seed", options.seed},
                  {"train_seed", model.recipe.train.seed}};
  DensityResult result;
  result.reference = reference.points;
  result.grid = data::Grid::around(reference.points, d.grid);
  summary["grid"] = d.grid;
  summary["grid_range"] = {result.grid.x_low, result.grid.x_high, result.grid.y_low, result.grid.y_high};
  Tensor centres = result.grid.centres();
  Law law = law_of(model, seed);
  Tensor log_density = energy_at(law.energy, model, centres);
  result.law = law.name;
  result.law_shares = data::cell_shares(log_density);
  result.boltzmann_shares = data::cell_shares(energy_at(model.boltzmann(), model, centres));

  note("exact log-likelihood");
  Tensor likelihood_points = first_rows(reference.points, d.likelihood_points);
  TimedLikelihoods likelihood = shared_likelihood(model, likelihood_points, {.tolerance = 1e-4});
  data::Estimate log_p = data::mean_of(likelihood.log_likelihood);
  if (reference.known)
    add_known_density(summary, result, reference, law, likelihood_points, likelihood.log_likelihood);
  summary["nll"] = number(-log_p.mean);
  summary["nll_standard_error"] = number(log_p.standard_error);
  summary["nll_points"] = likelihood_points.dim(0);
  summary["nll_nfe"] = likelihood.nfe;
  if (reference.dataset && !reference.dataset->set()) {
    summary["held_out_log_likelihood"] = number(log_p.mean);
    add_kernel_estimates(summary, *reference.dataset, likelihood_points);
  }

  note(fmt::format("{} samples by {}", d.points, flow.method()));
  TimedSamples ode = timed_samples(model, flow, {.n = d.points, .seed = seed});
  note(fmt::format("{} steps of SGLD with {} particles", d.sgld_steps, d.sgld_particles));
  LongRun run = run_sgld(model, law, d, seed);
  result.sgld = run.trace;
  result.sgld_samples = run.samples;
  result.sgld_trails = run.trails;

  summary["energy_distance_ode"] = number(data::energy_distance(ode.x, reference.points));
  summary["energy_distance_sgld"] = number(data::energy_distance(run.samples, reference.points));
  if (reference.second.defined()) {
    summary["energy_distance_floor"] = data::energy_distance(reference.second, reference.points);
  }
  summary["ode_method"] = flow.method();
  summary["ode_nfe"] = ode.nfe;
  summary["sgld_particles"] = d.sgld_particles;
  summary["sgld_steps"] = d.sgld_steps;
  summary["sgld_step_size"] = model.recipe.sample.sgld.step_size;
  double log_z =
      data::log_integral(log_density, result.grid);  // so that E − log Z is a log-density in the data's units
  double change = run.last_quarter - run.before_last_quarter, level = run.last_quarter - log_z;
  summary["sgld_mean_log_density"] = number(level);
  summary["sgld_energy_drift_nats"] = number(change);
  summary["sgld_energy_drift"] = number(std::abs(change / level));
  summary["nll_seconds"] = likelihood.seconds;
  summary["ode_seconds"] = ode.seconds;
  summary["sgld_seconds"] = run.seconds;
  summary["seconds_before_figures"] = watch.seconds();
  std::string text = summary.dump(2) + "\n";
  std::string_view pieces[] = {text};
  write_file_atomically(evaluation.file("summary.json"), pieces);
  for (const auto& [name, value] : summary.items())
    if (!asked.contains(name)) evaluation.summary(name, value);

  print_result(summary, options.common.json);
  if (!options.no_figures) {
    note("figures");
    draw_figures(evaluation, model, result, seed, RunFolder(model.file.parent_path()).metrics());
  }
  evaluation.write();
  return 0;
}

}  // namespace

void add_density(CLI::App& app, Action& action) {
  auto o = std::make_shared<DensityOptions>();
  CLI::App* command = app.add_subcommand("density", "Figures and summary.json of a two-dimensional model");
  command->add_option("MODEL", o->model, "Folder of a run, or a checkpoint")->required();
  command->add_option("--data", o->data, "Table to compare with (default: fresh points, or the held-out rows)");
  command->add_option("--out", o->out, "Folder for the figures (default: beside the checkpoint)");
  command->add_option("--set", o->settings, "sample.*, energy.* or density.* = value; may repeat")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->take_all();
  command->add_option("--seed", o->seed, "Of the samples and the fresh points")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}))
      ->capture_default_str();
  command->add_flag("--last-weights", o->last_weights, "Use the last weights instead of their average");
  command->add_flag("--no-figures", o->no_figures, "Only summary.json");
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return density(*o); }; });
}

}  // namespace vapo::app
