#include "apps/evaluation/image_likelihood.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/run/parts.h"
#include "apps/sampling/sampling.h"
#include "tensor/check.h"
#include "tensor/finite.h"
#include "tensor/kernels.h"
#include "vapo/scores.h"

namespace vapo::app {

Tensor ImageLikelihoods::mean_bits() const {
  return kernel::affine(kernel::sum(bits_per_dim, {0}, false), 1 / static_cast<double>(bits_per_dim.dim(0)), 0);
}

data::Estimate ImageLikelihoods::over_images() const { return data::mean_of(mean_bits()); }

data::Estimate ImageLikelihoods::over_dequantizations() const {
  return data::mean_of(
      kernel::affine(kernel::sum(bits_per_dim, {1}, false), 1 / static_cast<double>(bits_per_dim.dim(1)), 0));
}

ImageLikelihoods image_likelihoods(const Model& model, const Tensor& u, const Tensor& labels, const Tensor& index,
                                   const ImageLikelihoodOptions& o, const std::filesystem::path& folder,
                                   const std::string& name) {
  int64_t n = u.dim(0), batches = (n + o.batch_size - 1) / o.batch_size;
  LogDensityOptions options{
      .trace = o.exact ? LikelihoodOptions::Trace::exact : LikelihoodOptions::Trace::hutchinson,
      .probes = o.probes,
      .tolerance = o.tolerance,
      .seed = o.seed};
  // a batch may take minutes: a sign of life between the lines of rows_in_parts
  int64_t evaluations = 0;
  Stopwatch since_shown;
  auto observe = [&](double t) {
    constexpr double kEvery = 30;
    ++evaluations;
    if (since_shown.seconds() < kEvery) return;
    since_shown = {};
    note(fmt::format("{}: at t = {:.3f} after {} evaluations", name, t, evaluations));
  };
  options.observe = observe;
  ImageLikelihoods out{.bits_per_dim = Tensor::empty({o.dequantizations, n}, DType::f64)};
  for (int64_t k = 0; k < o.dequantizations; ++k) {
    // rows of log p and of the evaluations that the batch took
    auto make = [&](int64_t first, int64_t count) {
      auto part = [&](const Tensor& x) { return kernel::slice(x, 0, first, first + count, 1); };
      evaluations = 0;
      ImageBatchRequest batch{.u = part(u),
                              .labels = labels.defined() ? part(labels) : labels,
                              .index = part(index),
                              .dequantization = k,
                              .draw = k * batches + first / o.batch_size};
      Likelihoods r = log_density(model, batch, options);
      note_raised_tolerances(o.tolerance, o.tolerance, r.rtol, r.atol);
      if (auto bad = non_finite(r.log_likelihood))
        throw DivergedError(
            fmt::format("{}: the log-likelihood of image {} is {}. Hint: is the model's potential "
                        "finite there? A smaller --tolerance may help",
                        name, first + bad->first, bad->name()));
      Tensor columns[] = {r.log_likelihood.reshape({count, 1}),
                          Tensor::full({count, 1}, static_cast<double>(r.nfe), DType::f64)};
      return kernel::concat(columns, 1);
    };
    std::string what = o.dequantizations == 1
                           ? fmt::format("{}: images", name)
                           : fmt::format("{}: images, dequantisation {} of {}", name, k + 1, o.dequantizations);
    Tensor rows = rows_in_parts(folder / fmt::format("{}-{}.npy", name, k + 1), n, o.batch_size, what, make);
    for (int64_t i = 0; i < n; ++i) {
      out.bits_per_dim.mutable_data<double>()[k * n + i] = bits_per_dim(rows.at(2 * i), model.dims());
      out.nfe = std::max(out.nfe, static_cast<int64_t>(rows.at(2 * i + 1)));
    }
  }
  return out;
}

}  // namespace vapo::app
