#include "vapo/model_density.h"

#include <algorithm>
#include <cmath>

#include "tensor/check.h"
#include "tensor/finite.h"
#include "tensor/kernels.h"
#include "vapo/recorded.h"
#include "vapo/sampling/draw_samples.h"
#include "vapo/streams.h"

namespace vapo {
namespace {

Tensor part(const Tensor& x, int64_t begin, int64_t count) {
  return !x.defined() || count == x.dim(0) ? x : kernel::slice(x, 0, begin, begin + count, 1);
}

Tensor seen_by(const Model& model, const Tensor& points) {
  return model.standardization.apply(points).to(DType::f32).to(model.device);
}

// Of a method of fifth order. Learned potentials take some hundred at 1e-5; one that diverged would never end.
int64_t most_evaluations(double tolerance) {
  return static_cast<int64_t>(2000 * std::max(1.0, std::pow(1e-5 / std::max(tolerance, 1e-15), 0.2)));
}

LikelihoodOptions likelihood_options(const LogDensityOptions& o) {
  return {.trace = o.trace,
          .probes = o.probes,
          .key = {o.seed, kProbeStream, 0},
          .ode = {.rtol = o.tolerance,
                  .atol = o.tolerance,
                  .max_evaluations = most_evaluations(o.tolerance),
                  .times = {}},
          .observe = o.observe};
}

}  // namespace

Tensor energy_at(const Energy& energy, const Model& model, const Tensor& points) {
  NoGradGuard no_grad;
  Tensor x = seen_by(model, points);
  return in_batches(x.dim(0), kPointBatch,
                    [&](int64_t begin, int64_t count) { return energy(part(x, begin, count)).value(); });
}

EnergyScores energy_scores_at(const Energy& energy, const Model& model, const Tensor& points) {
  Tensor x = seen_by(model, points);
  EnergySlope slope = recorded_slope(energy);
  Tensor both = in_batches(x.dim(0), kPointBatch, [&](int64_t begin, int64_t count) {
    EnergyScores scores = energy_scores(slope, part(x, begin, count));
    Tensor columns[] = {scores.energy.reshape({count, 1}), scores.mass.reshape({count, 1})};
    return kernel::concat(columns, 1);
  });
  auto column = [&](int64_t k) { return kernel::slice(both, 1, k, k + 1, 1).reshape({x.dim(0)}); };
  return {column(0), column(1)};
}

Likelihoods log_density(const Model& model, const Tensor& points, const LogDensityOptions& o) {
  Likelihoods out;
  Tensor x = seen_by(model, points);
  LikelihoodOptions options = likelihood_options(o);
  Tensor log_p = in_batches(x.dim(0), kPointBatch, [&](int64_t begin, int64_t count) {
    options.key.step = static_cast<uint64_t>((o.first + begin) / kPointBatch);
    LikelihoodResult r = log_likelihood(*model.potential, model.path(), part(x, begin, count), options);
    out.nfe = std::max(out.nfe, r.nfe);
    out.rtol = std::max(out.rtol, r.rtol), out.atol = std::max(out.atol, r.atol);
    return r.log_likelihood;
  });
  out.log_likelihood = kernel::affine(log_p, 1, -model.standardization.log_scale());
  return out;
}

Likelihoods log_density(const Model& model, const ImageBatchRequest& request, const LogDensityOptions& o) {
  LikelihoodOptions options = likelihood_options(o);
  options.t_data = model.recipe.train.t_max;
  options.key.step = static_cast<uint64_t>(request.draw) << 16;
  RandomKey noise{o.seed, kDequantizationStream, static_cast<uint64_t>(request.dequantization) << 32};
  Tensor x = dequantized(request.u, noise, request.index).to(model.device);
  Tensor y = request.labels.defined() ? request.labels.to(model.device) : request.labels;
  LikelihoodResult r = log_likelihood(*model.potential, model.path(), x, options, y);
  return {r.log_likelihood.to(Device::cpu), r.nfe, r.rtol, r.atol};
}

Tensor bits_per_dim(const Model& model, const Tensor& u, const LogDensityOptions& options, const Tensor& labels,
                    int64_t batch_size) {
  Tensor index = Tensor::arange(u.dim(0));
  Tensor log_p = in_batches(u.dim(0), batch_size, [&](int64_t begin, int64_t count) {
    ImageBatchRequest batch{.u = part(u, begin, count),
                            .labels = part(labels, begin, count),
                            .index = part(index, begin, count),
                            .draw = begin / batch_size};
    return log_density(model, batch, options).log_likelihood;
  });
  if (auto bad = non_finite(log_p))
    throw DivergedError(
        fmt::format("the log-likelihood of image {} is {}. Hint: is the model's potential finite there? A smaller "
                    "tolerance may "
                    "help",
                    bad->first, bad->name()));
  std::vector<double> bits = log_p.to_vector<double>();
  for (double& b : bits) b = bits_per_dim(b, model.dims());
  return Tensor::from(bits, {u.dim(0)});
}

}  // namespace vapo
