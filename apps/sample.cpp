// vapo sample: points from a trained potential.

#include <fmt/format.h>

#include <cmath>
#include <optional>

#include "apps/command.h"
#include "apps/sampling.h"
#include "data/image_file.h"
#include "data/npz.h"
#include "data/statistics.h"
#include "tensor/check.h"
#include "tensor/io/npy.h"
#include "tensor/kernels.h"

namespace vapo::app {
namespace {

struct SampleOptions {
  CommonOptions common;
  std::string model, save, grid;
  std::optional<int64_t> n, label, batch_size;
  int64_t seed = 0, columns = 0;
  std::optional<std::string> method, energy;
  std::optional<int64_t> steps;
  std::optional<double> rtol, atol, t_end, step_size, temperature;
  bool last_weights = false;
};

template <class T>
void override_by(T& value, const std::optional<T>& given) {
  if (given) value = *given;
}

Tensor labels_of(const Model& model, int64_t label, int64_t n) {
  int64_t classes = classes_of(model.config);
  if (classes == 0)
    throw InputError(fmt::format("{}: the model has no classes; leave out --class", model.file.string()));
  if (label >= classes)
    throw InputError(fmt::format("--class {}: the model has classes 0 to {}", label, classes - 1));
  return Tensor::from(std::vector<int64_t>(static_cast<size_t>(n), label), {n});
}

void add_points(Json& result, const SampleOptions& options, const Tensor& x) {
  if (!options.save.empty()) write_npy(options.save, x);
  Json mean = Json::array(), deviation = Json::array();
  for (int64_t k = 0; k < x.dim(1); ++k) {
    data::Estimate column = data::mean_of(kernel::slice(x, 1, k, k + 1, 1));
    mean.push_back(column.mean);
    deviation.push_back(column.standard_error * std::sqrt(static_cast<double>(x.dim(0))));
  }
  result["mean"] = mean;
  result["standard_deviation"] = deviation;
  result["saved"] = options.save.empty() ? Json(nullptr) : Json(options.save);
}

// 8-bit pixels: (n,H,W,C) to a file of arrays, and as one picture.
void add_images(Json& result, const SampleOptions& options, const Tensor& x) {
  Tensor pixels = data::to_pixels(x);
  if (std::filesystem::path(options.save).extension() == ".npz")
    data::write_npz(options.save, {{"arr_0", pixels}});
  else if (!options.save.empty())
    write_npy(options.save, pixels);
  if (!options.grid.empty()) data::write_png(options.grid, data::image_grid(pixels, options.columns));
  Tensor outside = kernel::binary(kernel::Binary::share, kernel::unary<Abs>(x), Tensor::ones({}, x.options()));
  result["outside_pixel_range"] = kernel::sum(outside, {}, false).item() / static_cast<double>(x.numel());
  result["saved"] = options.save.empty() ? Json(nullptr) : Json(options.save);
  result["grid"] = options.grid.empty() ? Json(nullptr) : Json(options.grid);
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

  override_by(s.batch_size, options.batch_size);

  SampleRequest request{.n = options.n.value_or(model.of_images() ? 64 : 1000),
                        .seed = static_cast<uint64_t>(options.seed)};
  if (options.label) request.labels = labels_of(model, *options.label, request.n);
  if (!options.grid.empty() && !model.of_images())
    throw InputError(fmt::format("{}: a model of points; --grid is for images", model.file.string()));
  Samples samples = draw_samples(model, s, request);
  if (!kernel::all_finite(samples.x))
    throw DivergedError("samples are not finite. Hint: more --steps or a smaller --step-size");

  Json result = {{"checkpoint", model.file.string()},
                 {"weights", model.averaged ? "ema" : "last"},
                 {"n", request.n},
                 {"dims", model.dims()},
                 {"method", s.method},
                 {"nfe", samples.nfe},
                 {"seconds", samples.seconds},
                 {"seed", options.seed}};
  if (model.of_images())
    add_images(result, options, samples.x);
  else
    add_points(result, options, samples.x);
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
  command->add_option("--class", o->label, "Images of this class (default: of none in particular)")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000}));
  command->add_option("--batch-size", o->batch_size, "Samples made at once (default: the config's)")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
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
  command->add_option("--save", o->save,
                      "Write the samples to this file: points (n,D) .npy; images as 8-bit (n,H,W,C), .npy or .npz");
  command->add_option("--grid", o->grid, "Images as one picture, a .png file");
  command->add_option("--columns", o->columns, "Of the picture (default: about as many as rows)")
      ->check(CLI::Range(int64_t{1}, int64_t{10'000}));
  command->add_flag("--last-weights", o->last_weights, "Use the last weights instead of their average");
  o->common.add_to(*command);
  command->callback([o, &action] { action = [o] { return sample(*o); }; });
}

}  // namespace vapo::app
