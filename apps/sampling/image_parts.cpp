#include "apps/sampling/image_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "apps/run/parts.h"
#include "data/pictures/image_file.h"
#include "data/readers/npz.h"
#include "tensor/check.h"
#include "tensor/finite.h"
#include "tensor/io/npy.h"
#include "tensor/kernels.h"

namespace vapo::app {
namespace {

DrawnImages read_part(const std::filesystem::path& file, const Shape& expected) {
  data::Arrays arrays = data::read_npz(file);
  for (const char* name : {"pixels", "nfe", "seconds"})
    if (!arrays.contains(name) || arrays[name].numel() == 0)
      throw InputError(fmt::format("{}: no array '{}' in it. Hint: remove this file", file.string(), name));
  for (const char* name : {"nfe", "seconds"})
    if (arrays[name].numel() != 1)
      throw InputError(fmt::format("{}: '{}' is {}, expected one number. Hint: remove this file", file.string(),
                                   name, arrays[name].shape().str()));
  DrawnImages part{arrays["pixels"], static_cast<int64_t>(arrays["nfe"].item()), arrays["seconds"].item()};
  if (part.pixels.dtype() != DType::u8 || part.pixels.shape() != expected)
    throw InputError(fmt::format("{}: {} {} in it, expected u8 {}. Hint: remove this file", file.string(),
                                 name_of(part.pixels.dtype()), part.pixels.shape().str(), expected.str()));
  return part;
}

Tensor some_rows(const Tensor& x, int64_t begin, int64_t count) {
  return x.defined() ? kernel::slice(x, 0, begin, begin + count, 1) : x;
}

SampleRequest part_of(const SampleRequest& whole, int64_t begin, int64_t count) {
  SampleRequest part = whole;
  part.n = count;
  part.first += begin;
  part.labels = some_rows(whole.labels, begin, count);
  part.start = some_rows(whole.start, begin, count);
  if (whole.potential)
    part.potential = [&whole, begin](int64_t row, int64_t rows) { return whole.potential(begin + row, rows); };
  return part;
}

}  // namespace

DrawnImages draw_images(const Evaluation& evaluation, const std::string& name, const Model& model,
                        const SamplerOptions& sample, SampleRequest request) {
  DrawnImages out;
  request.shared = std::make_shared<SharedFlow>();
  std::vector<Tensor> parts;
  int64_t batch = batch_of(model, sample);
  std::optional<TimeLeft> time_left;
  for (int64_t begin = 0; begin < request.n; begin += batch) {
    int64_t count = std::min(batch, request.n - begin), end = begin + count;
    std::string file = fmt::format("{}-{:06}.npz", name, begin);
    Shape shape{count, model.sample[0], model.sample[1], model.sample[2]};
    DrawnImages part;
    if (evaluation.has(file)) {
      part = read_part(evaluation.file(file), shape);
    } else {
      if (!time_left) time_left.emplace(name + ": images", request.n, begin);
      TimedSamples drawn = timed_samples(model, sample, part_of(request, begin, count));
      if (auto bad = non_finite(drawn.x)) fail_not_finite(*bad, sample);
      part = {data::to_pixels(drawn.x), drawn.nfe, drawn.seconds};
      data::write_npz(evaluation.file(file), {{"pixels", part.pixels},
                                              {"nfe", Tensor::full({1}, static_cast<double>(part.nfe), DType::i64)},
                                              {"seconds", Tensor::full({1}, part.seconds, DType::f64)}});
      time_left->show(end);
    }
    parts.push_back(part.pixels);
    out.nfe = std::max(out.nfe, part.nfe);
    out.seconds += part.seconds;
  }
  out.pixels = kernel::concat(parts, 0);
  return out;
}

void write_picture(const Evaluation& evaluation, const std::string& name, const Tensor& images, int64_t columns) {
  write_npy(evaluation.file(name + ".npy"), images);
  data::write_png(evaluation.file(name + ".png"), data::image_grid(images, columns));
}

void check_of_images(const Model& model, const std::string& command) {
  if (!model.of_images())
    throw InputError(fmt::format("{}: a model of points; {} is for images", model.file.string(), command));
}

void summarise_sampling(Evaluation& evaluation, const Model& model, const SamplerOptions& sample, int64_t n,
                        int64_t seed, int64_t nfe, double seconds) {
  evaluation.summary("n", n);
  evaluation.summary("seed", seed);
  evaluation.summary("method", sample.method());
  evaluation.summary("nfe", nfe);
  evaluation.summary("weights", model.averaged ? "ema" : "last");
  evaluation.summary("seconds", seconds);
}

}  // namespace vapo::app
