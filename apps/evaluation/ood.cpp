// vapo ood: how well a model's scores tell samples of its own kind from others.

#include "apps/evaluation/ood.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "apps/evaluation/model_images.h"
#include "apps/evaluation/ood_scorer.h"
#include "apps/run/command.h"
#include "apps/run/parts.h"
#include "data/measures/kde.h"
#include "data/measures/statistics.h"
#include "tensor/check.h"
#include "vapo/scores.h"

namespace vapo::app {
namespace {

struct OodOptions {
  CommonOptions common;
  std::string model, folder;
  OodSources sources;
  OodScoring scoring = {.batch_size = 0};
  int64_t seed = 0;
  std::optional<double> t;
  bool last_weights = false, no_trace = false;
};

constexpr int64_t kImageBatch = 64, kPointBatch = 4096;

using Scores = OodScorer::Scores;

std::vector<double> numbers(const Tensor& x) { return x.to_vector<double>(); }

// Kernel density estimates of the statistics of the training samples, by Scott's rule; and why some are missing.
struct Density {
  size_t statistic;
  data::GaussianKde of;
};
struct Densities {
  std::vector<Density> known;
  std::vector<std::string> missing;
};
Densities densities_of(const std::vector<Tensor>& statistics, const std::vector<std::string>& names) {
  Densities out;
  for (size_t k = 0; k < statistics.size(); ++k) {
    const Tensor& x = statistics[k];
    try {
      if (x.dim(0) <= x.dim(1) + 1) throw InputError(fmt::format("{} training samples are too few", x.dim(0)));
      out.known.push_back({k, data::GaussianKde(x, data::GaussianKde::scott_factor(x.dim(0), x.dim(1)))});
    } catch (const InputError& e) {
      out.missing.push_back(fmt::format("{}: {}", names[k], e.what()));
    }
  }
  return out;
}

// Each score, its typicality, and the log-densities of its gradient among training samples.
SetScores all_scores(const std::string& name, const Scores& scores, const std::vector<double>& means,
                     const Densities& densities) {
  SetScores out{name, {}};
  for (const Tensor& s : scores.values) out.values.push_back(numbers(s));
  for (size_t k = 0; k < means.size(); ++k) out.values.push_back(numbers(typicality(scores.values[k], means[k])));
  for (const Density& d : densities.known)
    out.values.push_back(numbers(d.of.log_density(scores.statistics[d.statistic])));
  return out;
}

OodResult score_all(const OodScorer& scorer, const OodSets& sets, uint64_t seed) {
  OodResult result{.scores = scorer.names(), .in = {}, .out = {}, .seed = seed, .not_comparable_because = {}};
  Scores training = scorer(sets.training, sets.out.size() + 1);
  std::vector<double> means;
  for (const Tensor& s : training.values) means.push_back(data::mean_of(s).mean);
  Densities densities = densities_of(training.statistics, scorer.statistic_names());
  for (const std::string& name : scorer.names()) result.scores.push_back("typicality of " + name);
  for (const Density& d : densities.known)
    result.scores.push_back("density of " + scorer.statistic_names()[d.statistic]);
  if (!densities.missing.empty())
    note(fmt::format("scores by the density of the gradient are left out: {}", fmt::join(densities.missing, "; ")));
  result.in = all_scores(sets.in.name, scorer(sets.in, 0), means, densities);
  for (size_t k = 0; k < sets.out.size(); ++k)
    result.out.push_back(all_scores(sets.out[k].name, scorer(sets.out[k], k + 1), means, densities));
  return result;
}

// Of a profile. Throws InputError.
void check_times(const std::vector<double>& times, const Model& model) {
  if (!times.empty() && !model.path().no_density().empty())
    throw InputError(fmt::format("--times: {}", model.path().no_density()));
  for (size_t i = 0; i < times.size(); ++i) {
    marginal_time(model, times[i], "--times");
    if (std::count(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(i), times[i]) > 0)
      throw InputError(fmt::format("--times: {} is named twice. Hint: times that differ", times[i]));
  }
}

std::string not_comparable(const Model& model, const OodSources& sources, const OodSet& in) {
  if (model.config.data.set != "cifar10" || (in.name != "cifar10:test" && in.name != "cifar10"))
    return fmt::format("the model is of {} and in distribution is {}", model.config.data.set, in.name);
  if (sources.limit > 0) return fmt::format("{} of each set, not all", sources.limit);
  return "";
}

void add_remarks(Evaluation& evaluation, const OodOptions& o, const Model& model, const OodSets& sets,
                 std::optional<double> t) {
  bool images = model.of_images();
  const char* things = images ? "images" : "points";
  evaluation.remark(fmt::format(
      "{}; {} weights of step {}; {} of each set, seed {}; typicality: minus the distance to the mean score of {} "
      "training {}",
      images ? "Images as u/127.5 - 1" : "Points as the model sees them, standardised",
      model.averaged ? "averaged" : "last", model.step,
      o.sources.limit > 0 ? fmt::format("at most {} {} at random", o.sources.limit, things)
                          : fmt::format("all {}", things),
      o.seed, sets.training.index.numel(), things));
  evaluation.remark(
      "4 Phi - |x|^2 is the paper's Boltzmann energy at t = 1 with f = -1, g = 1; " +
      (t ? fmt::format("the marginal energy is that of t = {}: the log-density of the data with noise of deviation "
                       "{:.3g}",
                       *t, model.path().at(*t).sigma / model.path().at(*t).mu)
         : "the marginal energy was left out: " + model.path().no_density()));
  evaluation.remark(fmt::format(
      "density of …: the log-density of these numbers under a Gaussian kernel density estimate of the {} "
      "training {} (Scott's rule); H = the Hessian of E, v = one Rademacher vector each",
      sets.training.index.numel(), things));
  if (o.scoring.likelihood == 0)
    evaluation.remark(fmt::format("The likelihood was left out (--likelihood N scores N {} of each set)", things));
  else
    evaluation.remark(fmt::format("Likelihood: of {} {} of each set, {}, rk45 with rtol = atol = 1e-5",
                                  o.scoring.likelihood, things,
                                  images ? "one dequantisation, one Rademacher probe" : "exact traces"));
}

int ood(OodOptions o) {
  Device device = o.common.apply();
  Model model = open_model(o.model, o.last_weights, device);
  auto seed = static_cast<uint64_t>(o.seed);
  o.sources.seed = o.scoring.seed = seed;
  o.scoring.trace = !o.no_trace;
  if (o.scoring.batch_size == 0) o.scoring.batch_size = model.of_images() ? kImageBatch : kPointBatch;
  OodSets sets = read_ood_sets(model, o.sources);
  std::optional<double> t;
  if (model.path().no_density().empty()) t = marginal_time(model, o.t);
  if (!t && o.t) throw InputError(fmt::format("--t {}: {}", *o.t, model.path().no_density()));
  check_times(o.scoring.times, model);
  Json request = model_request(model);
  request.update({{"in", sets.in.name},
                  {"out", o.sources.out},
                  {"limit", o.sources.limit},
                  {"likelihood", o.scoring.likelihood},
                  {"training_images", o.sources.training},
                  {"t", t ? Json(*t) : Json()},
                  {"trace", o.scoring.trace},
                  {"times", o.scoring.times},
                  {"batch_size", o.scoring.batch_size},
                  {"device", std::string(name_of(model.device))},
                  {"precision", o.common.precision},
                  {"seed", o.seed}});
  std::string folder = o.sources.in.empty() ? "ood" : "ood-" + as_file_name(o.sources.in);
  Evaluation evaluation(evaluation_folder(model, o.folder, folder), "ood", request, "--folder");
  OodResult result = score_all(OodScorer(o.scoring, model, evaluation, t), sets, seed);
  result.not_comparable_because = not_comparable(model, o.sources, sets.in);
  report_ood(evaluation, result);
  add_remarks(evaluation, o, model, sets, t);
  if (result.not_comparable_because.empty())
    evaluation.remark(fmt::format(
        "The poster's numbers are of the published network after its whole training; this model had {} of {} steps",
        model.step, model.recipe.steps()));
  evaluation.finish(o.common.json);
  return 0;
}

}  // namespace

void add_ood(CLI::App& app, Action& action) {
  auto o = std::make_shared<OodOptions>();
  CLI::App* command = app.add_subcommand(
      "ood", "How well a model's scores tell images or points of its own kind from others: AUROC");
  command->add_option("MODEL", o->model, "Folder of a run, or a checkpoint")->required();
  command->add_option(
      "--in", o->sources.in,
      "In distribution: NAME[:train|validation|test], u8 .npy, a folder; of points a table or the name of a set "
      "(default: the run's test part, or what it held out)");
  command->add_option("--out", o->sources.out, "The others, with commas between: the same, or interpolated")
      ->required()
      ->delimiter(',');
  o->sources.images.add_to(*command, false);
  command->add_option("--folder", o->folder, "For the result (default: evaluations/ood… beside the model)");
  command->add_option("--limit", o->sources.limit, "Take only so many of each set, at random")
      ->check(CLI::Range(int64_t{2}, int64_t{1'000'000'000}));
  command
      ->add_option("--likelihood", o->scoring.likelihood, "Also score so many of each set by likelihood; 0: none")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000}))
      ->capture_default_str();
  command
      ->add_option("--training-images", o->sources.training,
                   "Samples it was trained on, whose scores are the typical ones")
      ->check(CLI::Range(int64_t{2}, int64_t{1'000'000'000}))
      ->capture_default_str();
  command
      ->add_option("--t", o->t,
                   "Of the marginal energy (default: the config's, or 0.95 where the path has no noise)")
      ->check(real_from(0.0, 1.0));
  command
      ->add_option(
          "--times", o->scoring.times,
          "Also score by the gradients of the marginal energies at all of these together, with commas between")
      ->delimiter(',')
      ->check(real_from(0.0, 1.0));
  command->add_option("--batch-size", o->scoring.batch_size, "Samples at once; 0: 64 images, 4096 points")
      ->check(CLI::Range(int64_t{0}, int64_t{65'536}))
      ->capture_default_str();
  command->add_flag("--no-trace", o->no_trace,
                    "Leave out the scores of second derivatives, which take half the time");
  command->add_option("--seed", o->seed, "Of the choice of images, of noise, probes and resamples")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}))
      ->capture_default_str();
  command->add_flag("--last-weights", o->last_weights, "Use the last weights instead of their average");
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return ood(*o); }; });
}

}  // namespace vapo::app
