// vapo ood: how well a model's scores tell images of its own kind from others.

#include "apps/evaluation/ood.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "apps/evaluation/image_likelihood.h"
#include "apps/evaluation/model_images.h"
#include "apps/run/command.h"
#include "apps/run/parts.h"
#include "data/measures/statistics.h"
#include "data/pictures/image_file.h"
#include "tensor/check.h"
#include "tensor/finite.h"
#include "tensor/io/npy.h"
#include "tensor/kernels.h"
#include "vapo/recorded.h"
#include "vapo/scores.h"

namespace vapo::app {
namespace {

struct OodOptions {
  CommonOptions common;
  std::string model, in, folder;
  std::vector<std::string> out;
  int64_t limit = 0, likelihood = 0, training = 1000, batch_size = 64, seed = 0;
  std::optional<double> t;
  bool last_weights = false;
  FolderFlags images;
};

struct Images {
  std::string name;
  Tensor grey;   // u8, or f32 of means of two: (N,H,W,C) in [0,255]
  Tensor index;  // their places in the set
};

Images chosen(const std::string& name, const Tensor& grey, int64_t limit, uint64_t seed) {
  Tensor index = some_of(grey.dim(0), limit, seed);
  return {name, kernel::index_select(grey, 0, index), index};
}

struct Sets {
  Images in, training;
  std::vector<Images> out;
};

Sets read_sets(const OodOptions& options, const Model& model) {
  auto seed = static_cast<uint64_t>(options.seed);
  NamedImages in = images_for(model, options.in, options.images);
  Sets sets{.in = chosen(in.name, in.set.pixels, options.limit, seed), .training = {}, .out = {}};
  for (const std::string& name : options.out) {
    if (std::count(options.out.begin(), options.out.end(), name) > 1)
      throw InputError(fmt::format("--out {}: named twice", name));
    if (name != "interpolated") {
      NamedImages out = images_for(model, name, options.images);
      sets.out.push_back(chosen(out.name, out.set.pixels, options.limit, seed));
    } else if (in.set.count() < 3) {
      throw InputError(fmt::format("{}: {} images are too few for means of neighbours", in.name, in.set.count()));
    } else {
      sets.out.push_back(chosen(name, neighbour_means(in.set.pixels.to(DType::f32)), options.limit, seed));
    }
  }
  NamedImages training = training_images_of(model, options.images);
  sets.training = chosen(training.name, training.set.pixels, options.training, seed);
  for (const Images* images : {&sets.in, &sets.training})
    if (images->index.numel() < 2) throw InputError(fmt::format("{}: fewer than 2 images", images->name));
  return sets;
}

Tensor column(const Tensor& x, int64_t k) { return kernel::slice(x, 1, k, k + 1, 1).reshape({x.dim(0)}); }

class Scorer {
 public:
  Scorer(const OodOptions& options, const Model& model, const Evaluation& evaluation, double t)
      : options_(options),
        model_(model),
        evaluation_(evaluation),
        boltzmann_(recorded_slope(boltzmann_energy(*model.potential, 1, -1, 1))),
        marginal_(recorded_slope(blurred_data_energy(*model.potential, model.path(), t))) {
    if (model.potential->autonomous()) potential_ = recorded_slope(model.energy(EnergyKind::potential));
  }

  std::vector<std::string> names() const {
    std::vector<std::string> out = {"4 Phi - |x|^2", "marginal energy", "-|grad (4 Phi - |x|^2)|",
                                    "-|grad marginal energy|"};
    if (potential_) out.insert(out.end(), {"Phi", "-|grad Phi|"});  // an energy after the equilibrium phase
    if (options_.likelihood > 0) out.push_back("likelihood");
    return out;
  }

  // In the order of names(). `number` tells the files of sets apart.
  std::vector<Tensor> operator()(const Images& images, size_t number) const {
    std::string suffix = fmt::format("-{}-{}", number, as_file_name(images.name));
    write_npy(evaluation_.file("images" + suffix + ".npy"), images.index);
    auto make = [&](int64_t first, int64_t count) {
      Tensor x = as_input(kernel::slice(images.grey, 0, first, first + count, 1)).to(model_.device);
      EnergyScores b = energy_scores(boltzmann_, x), m = energy_scores(marginal_, x);
      std::vector<Tensor> columns;
      for (const Tensor& values : {b.energy, m.energy, b.mass, m.mass})
        columns.push_back(values.reshape({count, 1}));
      if (potential_) {
        EnergyScores p = energy_scores(potential_, x);
        for (const Tensor& values : {p.energy, p.mass}) columns.push_back(values.reshape({count, 1}));
      }
      return kernel::concat(columns, 1);
    };
    Tensor energies = rows_in_parts(evaluation_.file("energies" + suffix + ".npy"), images.grey.dim(0),
                                    options_.batch_size, images.name + ": energies", make);
    std::vector<Tensor> out;
    for (int64_t k = 0; k < energies.dim(1); ++k) out.push_back(column(energies, k));
    if (options_.likelihood > 0) out.push_back(likelihood(images, suffix));
    for (size_t k = 0; k < out.size(); ++k)
      if (auto bad = non_finite(out[k]))
        throw DivergedError(
            fmt::format("{}: the score '{}' is {} {}", images.name, names()[k], bad->name(), bad->where()));
    return out;
  }

 private:
  // Of some of the images: −bits/dim, which ranks as log p does.
  Tensor likelihood(const Images& images, const std::string& suffix) const {
    auto seed = static_cast<uint64_t>(options_.seed);
    Tensor some = some_of(images.grey.dim(0), options_.likelihood, seed);
    Tensor grey = kernel::index_select(images.grey, 0, some), index = kernel::index_select(images.index, 0, some);
    ImageLikelihoods result =
        image_likelihoods(model_, grey, {}, index, {.batch_size = options_.batch_size, .seed = seed},
                          evaluation_.folder(), "likelihood" + suffix);
    return kernel::affine(result.mean_bits(), -1, 0);
  }

  const OodOptions& options_;
  const Model& model_;
  const Evaluation& evaluation_;
  EnergySlope boltzmann_, marginal_, potential_;  // potential: of an autonomous one; else none
};

// Each score, and then its typicality.
SetScores with_typicality(const std::string& name, const std::vector<Tensor>& scores,
                          const std::vector<double>& means) {
  SetScores out{name, {}};
  for (const Tensor& s : scores) out.values.push_back(s.to_vector<double>());
  for (size_t k = 0; k < scores.size(); ++k)
    out.values.push_back(typicality(scores[k], means[k]).to_vector<double>());
  return out;
}

OodResult score(const OodOptions& options, const Scorer& scorer, const Sets& sets) {
  OodResult result{.scores = scorer.names(),
                   .in = {},
                   .out = {},
                   .seed = static_cast<uint64_t>(options.seed),
                   .not_comparable_because = {}};
  for (const std::string& name : scorer.names()) result.scores.push_back("typicality of " + name);
  std::vector<double> means;
  for (const Tensor& s : scorer(sets.training, sets.out.size() + 1)) means.push_back(data::mean_of(s).mean);
  result.in = with_typicality(sets.in.name, scorer(sets.in, 0), means);
  for (size_t k = 0; k < sets.out.size(); ++k)
    result.out.push_back(with_typicality(sets.out[k].name, scorer(sets.out[k], k + 1), means));
  return result;
}

std::string not_comparable(const OodOptions& options, const Model& model, const Images& in) {
  if (model.config.data.set != "cifar10" || (in.name != "cifar10:test" && in.name != "cifar10"))
    return fmt::format("the model is of {} and in distribution is {}", model.config.data.set, in.name);
  if (options.limit > 0) return fmt::format("{} images of each set, not all", options.limit);
  return "";
}

int ood(const OodOptions& options) {
  Device device = options.common.apply();
  Model model = open_model(options.model, options.last_weights, device);
  Sets sets = read_sets(options, model);
  double t = marginal_time(model, options.t);
  Json request = model_request(model);
  request.update({{"in", sets.in.name},
                  {"out", options.out},
                  {"limit", options.limit},
                  {"likelihood", options.likelihood},
                  {"training_images", options.training},
                  {"t", t},
                  {"batch_size", options.batch_size},
                  {"device", std::string(name_of(model.device))},
                  {"precision", options.common.precision},
                  {"seed", options.seed}});
  std::string folder = options.in.empty() ? "ood" : "ood-" + as_file_name(options.in);
  Evaluation evaluation(evaluation_folder(model, options.folder, folder), "ood", request, "--folder");
  OodResult result = score(options, Scorer(options, model, evaluation, t), sets);
  result.not_comparable_because = not_comparable(options, model, sets.in);
  report_ood(evaluation, result);
  PathPoint p = model.path().at(t);
  evaluation.remark(
      fmt::format("Images as u/127.5 - 1; {} weights of step {}; {} of each set, seed {}; typicality: minus the "
                  "distance to the mean "
                  "score of {} training images",
                  model.averaged ? "averaged" : "last", model.step,
                  options.limit > 0 ? fmt::format("at most {} images at random", options.limit) : "all images",
                  options.seed, sets.training.index.numel()));
  evaluation.remark(
      fmt::format("4 Phi - |x|^2 is the paper's Boltzmann energy at t = 1 with f = -1, g = 1; the marginal energy "
                  "is that of t = {}: "
                  "the log-density of the data with noise of deviation {:.3g}",
                  t, p.sigma / p.mu));
  evaluation.remark(
      options.likelihood > 0
          ? fmt::format("Likelihood: of {} images of each set, one dequantisation, one Rademacher probe, "
                        "rk45 with rtol = atol = 1e-5",
                        options.likelihood)
          : "The likelihood was left out (--likelihood N scores N images of each set)");
  if (result.not_comparable_because.empty())
    evaluation.remark(fmt::format(
        "The poster's numbers are of the published network after its whole training; this model had {} of {} steps",
        model.step, model.recipe.steps()));
  evaluation.finish(options.common.json);
  return 0;
}

}  // namespace

void add_ood(CLI::App& app, Action& action) {
  auto o = std::make_shared<OodOptions>();
  CLI::App* command =
      app.add_subcommand("ood", "How well a model's scores tell images of its own kind from others: AUROC");
  command->add_option("MODEL", o->model, "Folder of a run, or a checkpoint")->required();
  command->add_option(
      "--in", o->in,
      "In distribution: NAME[:train|validation|test], u8 .npy, a folder (default: the run's test part)");
  command->add_option("--out", o->out, "The others, with commas between: the same, or interpolated")
      ->required()
      ->delimiter(',');
  o->images.add_to(*command, false);
  command->add_option("--folder", o->folder, "For the result (default: evaluations/ood… beside the model)");
  command->add_option("--limit", o->limit, "Take only so many images of each set, at random")
      ->check(CLI::Range(int64_t{2}, int64_t{1'000'000'000}));
  command->add_option("--likelihood", o->likelihood, "Also score so many images of each set by likelihood; 0: none")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000}))
      ->capture_default_str();
  command->add_option("--training-images", o->training, "Whose mean score is the typical one")
      ->check(CLI::Range(int64_t{2}, int64_t{1'000'000'000}))
      ->capture_default_str();
  command
      ->add_option("--t", o->t,
                   "Of the marginal energy (default: the config's, or 0.95 where the path has no noise)")
      ->check(real_from(0.0, 1.0));
  command->add_option("--batch-size", o->batch_size, "Images at once")
      ->check(CLI::Range(int64_t{1}, int64_t{65'536}))
      ->capture_default_str();
  command->add_option("--seed", o->seed, "Of the choice of images, of noise, probes and resamples")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}))
      ->capture_default_str();
  command->add_flag("--last-weights", o->last_weights, "Use the last weights instead of their average");
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return ood(*o); }; });
}

}  // namespace vapo::app
