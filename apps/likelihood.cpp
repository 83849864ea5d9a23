// vapo likelihood: log p of points by the instantaneous change of variables.

#include <fmt/format.h>

#include <cmath>
#include <numbers>

#include "apps/command.h"
#include "apps/sampling.h"
#include "data/statistics.h"
#include "tensor/check.h"
#include "tensor/kernels.h"

namespace vapo::app {
namespace {

struct LikelihoodCommand {
  CommonOptions common;
  std::string model, data, trace = "exact";
  int64_t probes = 1, seed = 0, limit = 0;
  double tolerance = 1e-5;
  bool last_weights = false;
};

// The points asked about: a file's rows, or the run's own held-out rows, or fresh points of its synthetic set.
Tensor points_of(const LikelihoodCommand& options, const Model& model, std::string& what) {
  constexpr int64_t kFreshPoints = 2000;
  if (!options.data.empty()) {
    what = options.data;
    return data::read_table(options.data).values;
  }
  PointDataset dataset(model.config);
  if (dataset.set()) {
    what = "fresh points of " + dataset.name();
    return dataset.set()->sample(options.limit > 0 ? options.limit : kFreshPoints,
                                 {static_cast<uint64_t>(options.seed), kFreshStream, 0}, DType::f64);
  }
  what = "held-out rows of " + dataset.name();
  return dataset.held_out_rows();
}

int likelihood(const LikelihoodCommand& options) {
  Device device = options.common.apply();
  Model model = open_model(options.model, options.last_weights, device);
  if (model.of_images())
    throw InputError(fmt::format("{}: a model of images; the likelihood is of points", model.file.string()));
  std::string what;
  Tensor x = points_of(options, model, what);
  if (!x.defined() || x.dim(0) == 0) throw InputError(fmt::format("{}: there are none. Hint: --data FILE", what));
  if (x.dim(1) != model.dims()) {
    throw InputError(fmt::format("{}: {} columns, the model has {}", what, x.dim(1), model.dims()));
  }
  if (options.limit > 0 && x.dim(0) > options.limit) x = kernel::slice(x, 0, 0, options.limit, 1);
  Likelihoods result = likelihood_of(model, x,
                                     {.exact = options.trace == "exact",
                                      .probes = options.probes,
                                      .tolerance = options.tolerance,
                                      .seed = static_cast<uint64_t>(options.seed)});
  if (!kernel::all_finite(result.log_likelihood)) throw DivergedError("a log-likelihood is not finite");
  data::Estimate nats = data::mean_of(result.log_likelihood);
  double bits = std::numbers::ln2 * static_cast<double>(model.dims());
  print_result({{"checkpoint", model.file.string()},
                {"weights", model.averaged ? "ema" : "last"},
                {"data", what},
                {"n", x.dim(0)},
                {"nats", nats.mean},
                {"standard_error", nats.standard_error},
                {"bits_per_dim", -nats.mean / bits},
                {"trace", options.trace},
                {"nfe", result.nfe},
                {"seconds", result.seconds}},
               options.common.json);
  return 0;
}

}  // namespace

void add_likelihood(CLI::App& app, Action& action) {
  auto o = std::make_shared<LikelihoodCommand>();
  CLI::App* command =
      app.add_subcommand("likelihood", "Mean log-likelihood of points, in nats and bits per dimension");
  command->add_option("MODEL", o->model, "Folder of a run, or a checkpoint")->required();
  command->add_option("--data", o->data,
                      "Table of points, .csv or .npy (default: the run's held-out rows, or fresh points)");
  command->add_option("--trace", o->trace, "exact (D Hessian products per evaluation) or hutchinson")
      ->check(CLI::IsMember({"exact", "hutchinson"}))
      ->capture_default_str();
  command->add_option("--probes", o->probes, "Of hutchinson: random vectors per point")
      ->check(CLI::Range(int64_t{1}, int64_t{10'000}))
      ->capture_default_str();
  command->add_option("--tolerance", o->tolerance, "rtol and atol of the integration")
      ->check(CLI::Range(1e-12, 1.0))
      ->capture_default_str();
  command->add_option("--limit", o->limit, "Take only so many points")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  command->add_option("--seed", o->seed, "Of the probes and of fresh points")
      ->check(CLI::Range(int64_t{0}, int64_t{9'000'000'000'000'000}))
      ->capture_default_str();
  command->add_flag("--last-weights", o->last_weights, "Use the last weights instead of their average");
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return likelihood(*o); }; });
}

}  // namespace vapo::app
