// vapo sample: points from a trained potential.

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "apps/run/exit_code.h"
#include "apps/run/ranks.h"
#include "apps/sampling/sampler_options.h"
#include "data/measures/statistics.h"
#include "data/pictures/image_file.h"
#include "data/writers/save.h"
#include "tensor/check.h"
#include "tensor/finite.h"
#include "tensor/kernels.h"

namespace vapo::app {
namespace {

struct SampleOptions {
  CommonOptions common;
  SamplerFlags sampler;
  ClassOptions of_class;
  std::string model, save, grid;
  std::optional<int64_t> n;
  int64_t columns = 0;
};

void add_points(Json& result, const SampleOptions& options, const Model& model, const Tensor& x) {
  if (!options.save.empty()) data::save_rows(options.save, {.values = x, .columns = model.columns});
  Json mean = Json::array(), deviation = Json::array();
  for (int64_t k = 0; k < x.dim(1); ++k) {
    data::Estimate column = data::mean_of(kernel::slice(x, 1, k, k + 1, 1));
    mean.push_back(column.mean);
    deviation.push_back(column.standard_error * std::sqrt(static_cast<double>(x.dim(0))));
  }
  result["mean"] = mean;
  result["standard_deviation"] = deviation;
}

// 8-bit pixels: (n,H,W,C) with the classes asked for, and as one picture.
void add_images(Json& result, const SampleOptions& options, const Tensor& x, const Tensor& labels) {
  data::SavedImages images{.pixels = data::to_pixels(x), .labels = labels, .columns = options.columns};
  if (!options.save.empty()) data::save_images(options.save, images);
  if (!options.grid.empty()) data::save_picture(options.grid, data::image_grid(images.pixels, options.columns));
  Tensor outside = kernel::binary(kernel::Binary::share, kernel::unary<Abs>(x), Tensor::ones({}, x.options()));
  result["outside_pixel_range"] = kernel::sum(outside, {}, false).item() / static_cast<double>(x.numel());
  result["grid"] = options.grid.empty() ? Json(nullptr) : Json(options.grid);
}

void check_targets(const SampleOptions& options, const Model& model) {
  if (!options.grid.empty() && !model.of_images())
    throw InputError(fmt::format("{}: a model of points; --grid is for images", model.file.string()));
  using data::Contents;
  if (!options.save.empty())
    data::check_target(options.save, model.of_images() ? Contents::images : Contents::rows, "--save");
  if (!options.grid.empty()) data::check_target(options.grid, Contents::picture, "--grid");
}

int sample(const SampleOptions& options) {
  Device device = options.common.apply();
  Model model = open_model(options.model, options.sampler.last_weights, device);
  SamplerOptions s = options.sampler.over(model);
  SampleRequest request = options.sampler.request(options.n.value_or(model.of_images() ? 64 : 1000));
  request.labels = options.of_class.labels(model, request.n);
  request.guidance = options.of_class.weight();
  check_targets(options, model);
  TimedSamples samples = shared_samples(model, s, request);
  if (auto bad = non_finite(samples.x)) fail_not_finite(*bad, s);
  if (!ranks().leads()) return kDone;

  Json result = {{"checkpoint", model.file.string()},
                 {"weights", model.averaged ? "ema" : "last"},
                 {"n", request.n},
                 {"dims", model.dims()},
                 {"method", s.method()},
                 {"nfe", samples.nfe},
                 {"seconds", samples.seconds},
                 {"seed", options.sampler.seed}};
  if (request.labels.defined()) {
    result["class"] = options.of_class.classes;
    result["guidance"] = request.guidance;
  }
  if (model.of_images())
    add_images(result, options, samples.x, request.labels);
  else
    add_points(result, options, model, samples.x);
  result["saved"] = options.save.empty() ? Json(nullptr) : Json(options.save);
  print_result(result, options.common.json);
  return 0;
}

}  // namespace

void add_sample(CLI::App& app, Action& action) {
  auto o = std::make_shared<SampleOptions>();
  CLI::App* command = app.add_subcommand("sample", "Draw samples from a trained potential");
  command->add_option("MODEL", o->model, "Folder of a run, or a checkpoint")->required();
  command->add_option("-n,--number", o->n, "How many (default: 1000 points, 64 images)")
      ->check(CLI::Range(int64_t{1}, int64_t{100'000'000}));
  o->of_class.add_to(*command);
  o->sampler.add_to(*command);
  command->add_option(
      "--save", o->save,
      fmt::format("Write the samples to this file, in the format of its ending: points {}; images {}: 8-bit "
                  "(n,H,W,C), in .npz with the classes asked for beside, or as one picture",
                  data::endings_of(data::Contents::rows), data::endings_of(data::Contents::images)));
  command->add_option("--grid", o->grid,
                      fmt::format("Images as one picture: {}", data::endings_of(data::Contents::picture)));
  command->add_option("--columns", o->columns, "Of the picture (default: about as many as rows)")
      ->check(CLI::Range(int64_t{1}, int64_t{10'000}));
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return sample(*o); }; });
}

}  // namespace vapo::app
