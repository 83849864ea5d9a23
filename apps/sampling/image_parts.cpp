#include "apps/sampling/image_parts.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/run/parts.h"
#include "apps/run/ranks.h"
#include "apps/run/shared_tensor.h"
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

}  // namespace

// Rank 0 has the files; in every round each rank draws a batch that is not there, while there are any.
DrawnImages draw_images(const Evaluation& evaluation, const std::string& name, const Model& model,
                        const SamplerOptions& sample, SampleRequest request) {
  DrawnImages out;
  request.shared = std::make_shared<SharedFlow>();
  int64_t batch = batch_of(model, sample), batches = (request.n + batch - 1) / batch;
  auto file_of = [&](int64_t b) { return fmt::format("{}-{:06}.npz", name, b * batch); };
  auto count_of = [&](int64_t b) { return std::min(batch, request.n - b * batch); };
  std::vector<int64_t> there(static_cast<size_t>(batches));
  for (int64_t b = 0; b < batches; ++b) there[static_cast<size_t>(b)] = evaluation.has(file_of(b));
  there = from_leader(Tensor::from(there, {batches})).to_vector<int64_t>();
  std::vector<int64_t> missing;
  for (int64_t b = 0; b < batches; ++b)
    if (!there[static_cast<size_t>(b)]) missing.push_back(b);

  TimeLeft time_left(name + ": images", request.n, request.n - std::ssize(missing) * batch);
  for (size_t first = 0; first < missing.size(); first += static_cast<size_t>(ranks().size())) {
    Tensor pixels, facts;
    if (size_t own = first + static_cast<size_t>(ranks().rank()); own < missing.size()) {
      int64_t b = missing[own];
      TimedSamples drawn = timed_samples(model, sample, part_of(request, b * batch, count_of(b)));
      if (auto bad = non_finite(drawn.x)) fail_not_finite(*bad, sample);
      pixels = data::to_pixels(drawn.x);
      facts = Tensor::from(std::vector{static_cast<double>(drawn.nfe), drawn.seconds}, {2});
    }
    std::vector<Tensor> all = to_leader(pixels), all_facts = to_leader(facts);
    for (size_t k = 0; k < all.size(); ++k) {
      if (!all[k].defined()) continue;
      data::write_npz(evaluation.file(file_of(missing[first + k])),
                      {{"pixels", all[k]},
                       {"nfe", Tensor::full({1}, all_facts[k].at(0), DType::i64)},
                       {"seconds", Tensor::full({1}, all_facts[k].at(1), DType::f64)}});
      time_left.show(request.n - (std::ssize(missing) - static_cast<int64_t>(first + k) - 1) * batch);
    }
  }
  std::vector<Tensor> parts;
  for (int64_t b = 0; ranks().leads() && b < batches; ++b) {
    DrawnImages part =
        read_part(evaluation.file(file_of(b)), {count_of(b), model.sample[0], model.sample[1], model.sample[2]});
    parts.push_back(part.pixels);
    out.nfe = std::max(out.nfe, part.nfe);
    out.seconds += part.seconds;
  }
  out.pixels = from_leader(parts.empty() ? Tensor() : kernel::concat(parts, 0));
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
