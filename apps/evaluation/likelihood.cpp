// vapo likelihood: log p of points or images by the instantaneous change of variables.

#include <fmt/format.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "apps/evaluation/image_likelihood.h"
#include "apps/evaluation/model_images.h"
#include "apps/evaluation/row_scores.h"
#include "apps/run/command.h"
#include "apps/run/dataset.h"
#include "apps/run/evaluation.h"
#include "apps/run/parts.h"
#include "apps/sampling/sampling.h"
#include "data/measures/histogram.h"
#include "data/measures/statistics.h"
#include "data/pictures/figure.h"
#include "data/writers/save.h"
#include "tensor/check.h"
#include "tensor/finite.h"
#include "tensor/io/npy.h"
#include "tensor/kernels.h"
#include "vapo/streams.h"

namespace vapo::app {
namespace {

struct LikelihoodCommand {
  CommonOptions common;
  std::string model, data, trace, out, save;
  int64_t probes = 1, seed = 0, limit = 0, dequantizations = 2, batch_size = 64;
  double tolerance = 1e-5;
  bool last_weights = false, with_labels = false;
  FolderFlags images;
};

struct ChosenPoints {
  Tensor x;
  std::vector<int64_t> numbers;  // of their rows in the table
};

// The points asked about: a file's rows, or the run's own held-out rows, or fresh points of its synthetic set.
ChosenPoints points_of(const LikelihoodCommand& options, const Model& model, std::string& what) {
  constexpr int64_t kFreshPoints = 2000;
  if (!options.data.empty()) {
    what = options.data;
    data::Table table = read_table_for(model, options.data);
    return {table.values, table.rows};
  }
  PointDataset dataset(model.config);
  if (dataset.set()) {
    what = "fresh points of " + dataset.name();
    int64_t n = options.limit > 0 ? options.limit : kFreshPoints;
    std::vector<int64_t> numbers(static_cast<size_t>(n));
    std::iota(numbers.begin(), numbers.end(), 1);
    return {dataset.set()->sample(n, {static_cast<uint64_t>(options.seed), kFreshStream, 0}, DType::f64), numbers};
  }
  what = "held-out rows of " + dataset.name();
  tell_if_changed(model, dataset);
  return {dataset.held_out_rows(), dataset.held_out_numbers()};
}

int likelihood_of_points(const LikelihoodCommand& options, const Model& model) {
  if (options.with_labels || !options.out.empty())
    throw InputError(
        fmt::format("{}: a model of points; --with-labels and --out are for images", model.file.string()));
  std::string what, trace = options.trace.empty() ? "exact" : options.trace;
  auto [x, numbers] = points_of(options, model, what);
  if (!x.defined() || x.dim(0) == 0) throw InputError(fmt::format("{}: there are none. Hint: --data FILE", what));
  if (x.dim(1) != model.dims()) {
    throw InputError(fmt::format("{}: {} columns, the model has {}", what, x.dim(1), model.dims()));
  }
  if (options.limit > 0 && x.dim(0) > options.limit) x = kernel::slice(x, 0, 0, options.limit, 1);
  using Trace = LikelihoodOptions::Trace;
  TimedLikelihoods result = shared_likelihood(model, x,
                                              {.trace = trace == "exact" ? Trace::exact : Trace::hutchinson,
                                               .probes = options.probes,
                                               .tolerance = options.tolerance,
                                               .seed = static_cast<uint64_t>(options.seed)});
  if (auto bad = non_finite(result.log_likelihood))
    throw DivergedError(fmt::format("{}: the log-likelihood is {} {}", what, bad->name(), bad->where()));
  data::Estimate nats = data::mean_of(result.log_likelihood);
  if (!options.save.empty()) {
    numbers.resize(static_cast<size_t>(x.dim(0)));
    save_point_scores(options.save, model, x, result.log_likelihood, {"row", Tensor::from(numbers, {x.dim(0)})});
  }
  double bits = std::numbers::ln2 * static_cast<double>(model.dims());
  Json found = {{"checkpoint", model.file.string()},
                {"weights", model.averaged ? "ema" : "last"},
                {"data", what},
                {"n", x.dim(0)},
                {"nats", nats.mean},
                {"standard_error", nats.standard_error},
                {"bits_per_dim", -nats.mean / bits},
                {"trace", trace},
                {"nfe", result.nfe},
                {"seconds", result.seconds}};
  if (!options.save.empty()) found["saved"] = options.save;
  print_result(found, options.common.json);
  return 0;
}

struct ChosenImages {
  std::string name;
  Tensor pixels, labels, index;    // index: their places in the set
  std::vector<std::string> files;  // their files, where each has one
};

ChosenImages images_of(const LikelihoodCommand& options, const Model& model) {
  NamedImages images = images_for(model, options.data, options.images);
  Tensor index = some_of(images.set.count(), options.limit, static_cast<uint64_t>(options.seed));
  ChosenImages out{images.name, kernel::index_select(images.set.pixels, 0, index), {}, index, {}};
  for (int64_t i : index.to_vector<int64_t>())
    if (!images.set.files.empty()) out.files.push_back(images.set.files[static_cast<size_t>(i)]);
  if (!options.with_labels) return out;
  out.labels = kernel::index_select(labels_for(model, images), 0, index);
  return out;
}

void report(Evaluation& evaluation, const LikelihoodCommand& options, const Model& model,
            const ChosenImages& images, const ImageLikelihoods& result) {
  Tensor bits = result.mean_bits();
  write_npy(evaluation.file("bits_per_dim.npy"), bits);
  write_npy(evaluation.file("images.npy"), images.index);
  data::Estimate mean = result.over_images();
  int64_t repeats = options.dequantizations;
  evaluation.summary("bits_per_dim", mean.mean);
  evaluation.summary("standard_error", mean.standard_error);
  if (repeats > 1)
    evaluation.summary("standard_error_by_dequantization", result.over_dequantizations().standard_error);
  evaluation.summary("n", bits.numel());
  evaluation.summary("data", images.name);
  evaluation.summary("nfe", result.nfe);
  std::vector<std::vector<Json>> rows;
  for (int64_t k = 0; k < repeats; ++k) {
    data::Estimate one = data::mean_of(kernel::slice(result.bits_per_dim, 0, k, k + 1, 1));
    rows.push_back({k + 1, one.mean, one.standard_error});
  }
  evaluation.table("Bits per dimension, for each dequantisation of all images",
                   {"dequantisation", "bits/dim", "standard error over images"}, rows);
  std::vector<double> values = bits.to_vector<double>();
  double low = data::quantile(values, 0), high = data::quantile(values, 1);
  if (low < high) {
    data::Histogram h = data::histogram(values, low, high, 40);
    data::Figure figure("Likelihood of images", 1, 1, 640, 420);
    figure.add(fmt::format("{} images of {}", values.size(), images.name), "bits per dimension", "density")
        .from_zero()
        .curve(h.outline_x(), h.outline_y(), "", "#2171b5");
    evaluation.draw(figure, "bits_per_dim",
                    "Bits per dimension of the images, each the mean over its dequantisations");
  }
  evaluation.remark(fmt::format(
      "-log p/(D ln 2) + 7 with D = {}, of grey levels scaled from [0,256) to [-1,1) after uniform dequantisation; "
      "rk45 "
      "from t = {} to 1e-5, rtol = atol = {}; trace: {}; seed {}; {} weights of step {}",
      model.dims(), model.recipe.train.t_max, options.tolerance,
      options.trace == "exact" ? "exact" : fmt::format("{} Rademacher probes of an image", options.probes),
      options.seed, model.averaged ? "averaged" : "last", model.step));
  if (!model.config.data.dequantize)
    evaluation.remark(
        "The run trained on grey levels as they are (data.dequantize = false): of images with noise it has seen "
        "none, "
        "and its density is that of a law on a grid of points");
}

int likelihood_of_images(LikelihoodCommand options, const Model& model) {
  if (options.trace.empty()) options.trace = "hutchinson";
  ChosenImages images = images_of(options, model);
  Json request = model_request(model);
  request.update({{"data", images.name},
                  {"count", images.index.numel()},
                  {"limit", options.limit},
                  {"with_labels", options.with_labels},
                  {"trace", options.trace},
                  {"probes", options.probes},
                  {"dequantizations", options.dequantizations},
                  {"tolerance", options.tolerance},
                  {"batch_size", options.batch_size},
                  {"device", std::string(name_of(model.device))},
                  {"precision", options.common.precision},
                  {"seed", options.seed}});
  std::string folder = options.data.empty() ? "likelihood" : "likelihood-" + as_file_name(options.data);
  Evaluation evaluation(evaluation_folder(model, options.out, folder), "likelihood", request);
  ImageLikelihoods result = image_likelihoods(model, images.pixels, images.labels, images.index,
                                              {.dequantizations = options.dequantizations,
                                               .exact = options.trace == "exact",
                                               .probes = options.probes,
                                               .tolerance = options.tolerance,
                                               .batch_size = options.batch_size,
                                               .seed = static_cast<uint64_t>(options.seed)},
                                              evaluation.folder(), "log_likelihood");
  report(evaluation, options, model, images, result);
  if (!options.save.empty()) {
    Tensor energies =
        image_energies(model, images.pixels, images.labels, options.batch_size, evaluation.file("energies.npy"));
    save_image_scores(options.save, model, result.mean_bits(), energies, {"image", images.index, images.files});
    evaluation.summary("saved", options.save);
  }
  evaluation.finish(options.common.json);
  return 0;
}

int likelihood(const LikelihoodCommand& options) {
  Device device = options.common.apply();
  if (!options.save.empty()) data::check_target(options.save, data::Contents::rows, "--save");
  Model model = open_model(options.model, options.last_weights, device);
  return model.of_images() ? likelihood_of_images(options, model) : likelihood_of_points(options, model);
}

}  // namespace

void add_likelihood(CLI::App& app, Action& action) {
  auto o = std::make_shared<LikelihoodCommand>();
  CLI::App* command =
      app.add_subcommand("likelihood", "Log-likelihood of points, in nats, or of images, in bits per dimension");
  command->add_option("MODEL", o->model, "Folder of a run, or a checkpoint")->required();
  command->add_option("--data", o->data,
                      "Table of points, .csv or .npy (default: the run's held-out rows, or fresh points); images: "
                      "NAME[:train|validation|test], u8 .npy, a folder (default: the run's test part)");
  o->images.add_to(*command, false);
  command
      ->add_option("--trace", o->trace,
                   "exact (D Hessian products per evaluation: default of points) or hutchinson (of images)")
      ->check(CLI::IsMember({"exact", "hutchinson"}));
  command->add_option("--dequantisations", o->dequantizations, "Of an image: as often is it dequantised anew")
      ->check(CLI::Range(int64_t{1}, int64_t{1000}))
      ->capture_default_str();
  command->add_flag("--with-labels", o->with_labels, "p(x|y) of images with their labels, of a model with classes");
  command->add_option("--batch-size", o->batch_size, "Images at once; rk45 chooses its steps for all of them")
      ->check(CLI::Range(int64_t{1}, int64_t{65'536}))
      ->capture_default_str();
  command->add_option("--out", o->out, "Folder for the result (default: evaluations/likelihood… beside the model)");
  command->add_option(
      "--save", o->save,
      fmt::format("Write {} of the file, as {}: a row has its number (from 1), an image its file or "
                  "its number in the set (from 0)",
                  kRowScores, data::endings_of(data::Contents::rows)));
  command->add_option("--probes", o->probes, "Of hutchinson: random vectors per point")
      ->check(CLI::Range(int64_t{1}, int64_t{10'000}))
      ->capture_default_str();
  command->add_option("--tolerance", o->tolerance, "rtol and atol of the integration")
      ->check(real_from(1e-30, 1.0))
      ->capture_default_str();
  command->add_option("--limit", o->limit, "Take only so many: the first points, or images at random")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  command->add_option("--seed", o->seed, "Of the probes, of fresh points, and of images' noise and choice")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}))
      ->capture_default_str();
  command->add_flag("--last-weights", o->last_weights, "Use the last weights instead of their average");
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return likelihood(*o); }; });
}

}  // namespace vapo::app
