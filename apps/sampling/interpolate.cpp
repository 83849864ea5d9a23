// vapo interpolate: the flow carries the points of an arc between two noises to a row of images.

#include <fmt/format.h>

#include "apps/sampling/image_parts.h"
#include "apps/sampling/sampler_options.h"
#include "tensor/check.h"
#include "tensor/kernels.h"
#include "vapo/sampling/interpolation.h"

namespace vapo::app {
namespace {

struct InterpolateOptions {
  CommonOptions common;
  SamplerFlags sampler;
  ClassOptions of_class;
  std::string model, out;
  int64_t pairs = 8, points = 10;
};

Tensor every_second(const Tensor& x, int64_t from) { return kernel::slice(x, 0, from, x.dim(0), 2); }
Tensor each_repeated(const Tensor& x, int64_t times) {  // 0, 0, …, 1, 1, …
  std::vector<int64_t> index;
  for (int64_t i = 0; i < x.dim(0); ++i) index.insert(index.end(), static_cast<size_t>(times), i);
  return kernel::index_select(x, 0, Tensor::from(index, {x.dim(0) * times}));
}

void beside_the_figure(Evaluation& evaluation, const Model& model, int64_t points) {
  bool same = model.config.data.set == "celeba" && model.sample == Shape{64, 64, 3};
  std::string because = same ? "pictures, not numbers"
                             : fmt::format("pictures, not numbers, and of another set: {} at {}×{}",
                                           model.config.data.set, model.sample[0], model.sample[1]);
  evaluation.beside_poster("points between two faces (figure of interpolations, CelebA 64×64)", 20, points,
                           because);
}

int interpolate(InterpolateOptions options) {
  Device device = options.common.apply();
  Model model = open_model(options.model, options.sampler.last_weights, device);
  check_of_images(model, "interpolate");
  options.sampler.own_steps = true;  // an image is then a function of its noise alone
  SamplerOptions s = options.sampler.over(model);
  if (s.langevin)
    throw InputError("interpolate: sgld adds noise, and carries no arc to an arc. Hint: --method heun or rk45");

  int64_t pairs = options.pairs, points = options.points;
  SampleRequest request = options.sampler.request(pairs * points);
  Tensor of_pairs = options.of_class.labels(model, pairs);
  if (of_pairs.defined()) request.labels = each_repeated(of_pairs, points);
  request.guidance = options.of_class.weight();

  Json asked = model_request(model);
  asked.update({{"pairs", pairs}, {"points", points}, {"class", options.of_class.classes}});
  asked["guidance"] = request.guidance;
  asked.update(sampler_facts(s, options.sampler));
  Evaluation evaluation(evaluation_folder(model, options.out, "interpolate"), "interpolate", asked);

  Tensor ends = prior_noise(model, 2 * pairs, request.seed);
  request.start = slerp(every_second(ends, 0), every_second(ends, 1), points);
  DrawnImages drawn = draw_images(evaluation, "part", model, s, request);
  write_picture(evaluation, "interpolate", drawn.pixels, points);

  evaluation.summary("pairs", pairs);
  evaluation.summary("points", points);
  if (of_pairs.defined()) {
    evaluation.summary("class", options.of_class.classes);
    evaluation.summary("guidance", request.guidance);
  }
  summarise_sampling(evaluation, model, s, request.n, options.sampler.seed, drawn.nfe, drawn.seconds);
  evaluation.figure(
      "interpolate.png",
      fmt::format("{} points between two samples, a pair a row; interpolate.npy has the pixels", points));
  beside_the_figure(evaluation, model, points);
  evaluation.remark(
      "Noises of samples 2k and 2k+1 of the seed, along the great circle of their directions, times the mean of "
      "their norms; the ends of a row are these two samples as vapo sample draws them (of rk23 and rk45: with "
      "--per-sample-norm).");
  evaluation.finish(options.common.json);
  return 0;
}

}  // namespace

void add_interpolate(CLI::App& app, Action& action) {
  auto o = std::make_shared<InterpolateOptions>();
  CLI::App* command = app.add_subcommand("interpolate", "Images along the arc between two noises");
  command->add_option("MODEL", o->model, "Folder of a run, or a checkpoint")->required();
  command->add_option("--pairs", o->pairs, "Rows: of samples 0 and 1 of the seed, 2 and 3, …")
      ->check(CLI::Range(int64_t{1}, int64_t{10'000}))
      ->capture_default_str();
  command->add_option("--points", o->points, "Images a row, the two ends among them (the poster's figure: 20)")
      ->check(CLI::Range(int64_t{2}, int64_t{1000}))
      ->capture_default_str();
  command->add_option("--out", o->out, "Folder of the results (default: evaluations/interpolate beside the model)");
  o->of_class.add_to(*command);
  o->sampler.add_to(*command);
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return interpolate(*o); }; });
}

}  // namespace vapo::app
