#include "apps/evaluation/longrun_states.h"

#include <fmt/format.h>

#include <cmath>

#include "apps/run/dataset.h"
#include "apps/sampling/sampling.h"
#include "tensor/kernels.h"
#include "tensor/operators.h"
#include "vapo/streams.h"

namespace vapo::app {
namespace {

// The first n samples of training's batches.
Tensor data_of(const Model& model, int64_t n) {
  std::unique_ptr<Dataset> dataset = open_dataset(model.config);
  nn::CheckpointReader reader(model.file);
  dataset->restore(reader.info(), model.file.string());
  tell_if_changed(model, *dataset);
  std::vector<Tensor> batches;
  for (int64_t step = 0, have = 0; have < n; ++step) {
    batches.push_back(dataset->batch(step).x);
    have += batches.back().dim(0);
  }
  return kernel::slice(kernel::concat(batches, 0), 0, 0, n, 1);
}

// Every so many of x's rows along a dimension, from the first on.
Tensor every(const Tensor& x, int64_t dim, int64_t first, int64_t step) {
  return x.defined() ? kernel::slice(x, dim, first, x.dim(dim), step) : x;
}

}  // namespace

Tensor long_run_start(const Model& model, const std::string& start, int64_t n, uint64_t seed, double noise) {
  if (start == "noise") return prior_noise(model, n, seed);
  if (start == "data") {
    Tensor x = data_of(model, n);
    if (noise > 0) x = x + noise * randn(x.shape(), {seed, kFreshStream, 0}, x.options());
    return x.to(model.device);
  }
  Tensor x = timed_samples(model, model.recipe.sample.of_the_flow(), {.n = n, .seed = seed}).x;
  if (!model.of_images()) x = model.standardization.apply(x).to(DType::f32);
  return x.to(model.device);
}

Tensor denoised(const Model& model, const Tensor& states, double t) {
  Shape flat{states.dim(0) * states.dim(1)};
  for (int i = 2; i < states.rank(); ++i) flat.push_back(states.dim(i));
  Tensor x = model.path().at(t).mu * states.reshape(flat);
  SamplerOptions flow = model.recipe.sample.of_the_flow();
  flow.t_start = t, flow.t_end = 1;
  vapo::Model seen = model;
  if (!model.of_images()) seen.standardization = Standardization::identity(model.dims());
  return timed_samples(seen, flow, {.n = flat[0], .start = x}).x.to(states.dtype()).reshape(states.shape());
}

std::vector<LongRun> by_temperature(const LongRun& together, const std::vector<double>& temperatures) {
  std::vector<LongRun> out;
  auto count = static_cast<int64_t>(temperatures.size());
  for (int64_t i = 0; i < count; ++i) {
    double temperature = temperatures[static_cast<size_t>(i)];
    LongRun run{.name = fmt::format("{}-{}", together.name, temperature),
                .start = together.start,
                .temperature = temperature,
                .chain = {}};
    run.chain.ended = together.chain.ended;
    for (size_t k = static_cast<size_t>(i); k < together.chain.values.size(); k += temperatures.size())
      run.chain.values.push_back(together.chain.values[k]);
    size_t steps = run.chain.values.empty() ? 0 : run.chain.values[0].size();
    for (size_t s = 0; s < steps; ++s) {
      double sum = 0;
      for (const std::vector<double>& v : run.chain.values) sum += std::abs(v[s]);
      run.chain.mean_absolute_value.push_back(sum / static_cast<double>(run.chain.values.size()));
    }
    run.chain.shown = every(together.chain.shown, 1, i, count);
    out.push_back(std::move(run));
  }
  return out;
}

}  // namespace vapo::app
