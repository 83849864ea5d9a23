// vapo compose: images of weighted sums of the potentials of several classes, along a row of weights.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "apps/run/exit_code.h"
#include "apps/sampling/image_parts.h"
#include "apps/sampling/sampler_options.h"
#include "tensor/kernels.h"
#include "vapo/sampling/composition.h"

namespace vapo::app {
namespace {

struct ComposeOptions {
  CommonOptions common;
  SamplerFlags sampler;
  std::string model, out, pairs, weights;
  std::vector<std::string> classes;
  std::optional<double> guidance, against_none;
  int64_t n = 1;
};

using Weights = std::vector<double>;  // of a group's classes

std::vector<std::vector<int64_t>> groups_of(const ComposeOptions& options, const Model& model) {
  std::vector<std::vector<int64_t>> out;
  for (const std::string& group : options.classes) out.push_back(classes_from(group, model, "--classes"));
  for (size_t at = 0; at < options.pairs.size();) {
    size_t end = std::min(options.pairs.find(';', at), options.pairs.size());
    out.push_back(classes_from(options.pairs.substr(at, end - at), model, "--pairs"));
    at = end + 1;
  }
  if (out.empty()) throw UsageError("compose: of which classes? Hint: --classes 0,1");
  for (const auto& group : out)
    if (group.size() != out[0].size())
      throw InputError(fmt::format("compose: groups of {} and of {} classes: a row of weights fits one size only",
                                   out[0].size(), group.size()));
  return out;
}

// The columns: the weights given; of two classes, from the first to the second; of more, all alike.
std::vector<Weights> columns_of(const ComposeOptions& options, size_t classes) {
  if (!options.weights.empty()) {
    Weights given = numbers_from(options.weights, "--weights");
    if (given.size() != classes)
      throw InputError(
          fmt::format("--weights {}: {} weights for {} classes", options.weights, given.size(), classes));
    double sum = 0;
    for (double w : given) sum += w;
    if (!options.against_none && !(std::abs(sum - 1) <= 1e-6))
      throw InputError(fmt::format("--weights {}: they sum to {}, not to 1", options.weights, sum));
    return {given};
  }
  if (classes == 2) return {{1, 0}, {0.75, 0.25}, {0.5, 0.5}, {0.25, 0.75}, {0, 1}};
  return {Weights(classes, 1 / static_cast<double>(classes))};
}

std::shared_ptr<Potential> composition_of(const Model& model, const std::vector<int64_t>& group,
                                          const Weights& weights, const ComposeOptions& options) {
  std::vector<ClassTerm> terms;
  for (size_t i = 0; i < group.size(); ++i)
    terms.push_back({Tensor::from(std::vector<int64_t>{group[i]}, {1}), weights[i]});
  int64_t classes = model.recipe.classes();
  if (options.against_none)
    return composed_against_none(model.potential, classes, std::move(terms), *options.against_none);
  return composed(model.potential, classes, std::move(terms), options.guidance.value_or(0));
}

std::string text_of(const std::vector<int64_t>& group) { return fmt::format("{}", fmt::join(group, ",")); }

int compose(ComposeOptions options) {
  Device device = options.common.apply();
  if (options.guidance && options.against_none)
    throw UsageError(
        "compose: --guidance or --against-none, not both: guided by w is against none with weights (1+w)w_i");
  Model model = open_model(options.model, options.sampler.last_weights, device);
  check_of_images(model, "compose");
  options.sampler.own_steps = true;  // an image is then a function of its noise alone
  SamplerOptions s = options.sampler.over(model);
  std::vector<std::vector<int64_t>> groups = groups_of(options, model);
  std::vector<Weights> columns = columns_of(options, groups[0].size());

  Json asked = model_request(model);
  asked.update(
      {{"n", options.n}, {"groups", groups}, {"weights", columns}, {"guidance", options.guidance.value_or(0)}});
  asked["none_weight"] = options.against_none ? Json(*options.against_none) : Json(nullptr);
  asked.update(sampler_facts(s, options.sampler));
  Evaluation evaluation(evaluation_folder(model, options.out, "compose"), "compose", asked);

  std::vector<Tensor> rows;  // of one image each, over the columns
  std::vector<std::vector<Json>> table;
  int64_t nfe = 0;
  double seconds = 0;
  for (size_t g = 0; g < groups.size(); ++g) {
    std::vector<Tensor> of_column;
    for (size_t c = 0; c < columns.size(); ++c) {
      SampleRequest request = options.sampler.request(options.n);
      request.potential = [&](int64_t, int64_t) { return composition_of(model, groups[g], columns[c], options); };
      DrawnImages drawn = draw_images(evaluation, fmt::format("group-{}-weights-{}", g, c), model, s, request);
      nfe = std::max(nfe, drawn.nfe);
      seconds += drawn.seconds;
      of_column.push_back(drawn.pixels);
    }
    for (int64_t row = 0; row < options.n; ++row) {
      table.push_back({row + static_cast<int64_t>(g) * options.n, text_of(groups[g]), row});
      for (const Tensor& column : of_column) rows.push_back(kernel::slice(column, 0, row, row + 1, 1));
    }
  }
  Tensor images = kernel::concat(rows, 0);
  write_picture(evaluation, "compose", images, static_cast<int64_t>(columns.size()));

  evaluation.summary("weights_of_columns", columns);
  evaluation.summary("guidance", options.guidance.value_or(0));
  summarise_sampling(evaluation, model, s, images.dim(0), options.sampler.seed, nfe, seconds);
  evaluation.table("Rows of the picture", {"row", "classes", "sample of the seed"}, std::move(table));
  evaluation.figure("compose.png",
                    "One noise a row, the weights of its classes along it; compose.npy has the pixels");
  evaluation.remark(
      "The potential is Σ w_i Φ(x,t,y_i), one call of the network a step for all classes of weight other than 0. A "
      "column of weight 1 on one class holds the images of vapo sample --class (of rk23 and rk45: with "
      "--per-sample-norm).");
  evaluation.finish(options.common.json);
  return 0;
}

}  // namespace

void add_compose(CLI::App& app, Action& action) {
  auto o = std::make_shared<ComposeOptions>();
  CLI::App* command = app.add_subcommand("compose", "Images of several classes at once, by weights");
  command->add_option("MODEL", o->model, "Folder of a run, or a checkpoint")->required();
  command->add_option("--classes", o->classes, "A,B or more: one group of classes; may be given several times")
      ->expected(1)
      ->take_all();
  command->add_option("--pairs", o->pairs, "Several groups at once: \"0,1;3,8\"");
  command->add_option("--weights", o->weights,
                      "a,b: of the classes, summing to 1 (default: of two, a row from 1,0 to 0,1; else all alike)");
  command->add_option("-n,--number", o->n, "Images of each group and weights: samples 0 … n−1 of the seed")
      ->check(CLI::Range(int64_t{1}, int64_t{10'000}))
      ->capture_default_str();
  add_guidance(*command, o->guidance);
  command
      ->add_option("--against-none", o->against_none,
                   "w0 of w0·Φ(none) + Σ w_i (Φ(y_i) − Φ(none)), for weights of any sum")
      ->check(real_from(-1e4, 1e4));
  command->add_option("--out", o->out, "Folder of the results (default: evaluations/compose beside the model)");
  o->sampler.add_to(*command);
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return compose(*o); }; });
}

}  // namespace vapo::app
