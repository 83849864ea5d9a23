#include "apps/sampling/sampling.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/run/command.h"
#include "apps/run/ranks.h"
#include "apps/run/shared_tensor.h"
#include "tensor/check.h"
#include "tensor/kernels.h"
#include "vapo/streams.h"

namespace vapo::app {
namespace {

Tensor some_rows(const Tensor& x, int64_t begin, int64_t count) {
  return x.defined() ? kernel::slice(x, 0, begin, begin + count, 1) : x;
}

}  // namespace

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

void fail_not_finite(const NonFinite& bad, const SamplerOptions& o) {
  const char* hint = o.langevin                  ? "a smaller --step-size"
                     : is_adaptive(o.ode.method) ? "a smaller --rtol and --atol"
                                                 : "more --steps";
  throw DivergedError(fmt::format("samples are {} {}. Hint: {}", bad.name(), bad.where(), hint));
}

void note_raised_tolerances(double asked_rtol, double asked_atol, double rtol, double atol) {
  if (rtol <= asked_rtol && atol <= asked_atol) return;
  note_once(
      fmt::format("the model computes in f32, whose rounding hides errors this small: rtol {} became {:.1e}, "
                  "atol {} became {:.0e}",
                  asked_rtol, std::max(rtol, asked_rtol), asked_atol, std::max(atol, asked_atol)));
}

SgldOptions sgld_options(const SamplerOptions& o, uint64_t seed) {
  SgldOptions out = o.sgld;
  out.key = {seed, kSgldStream, 0};
  return out;
}

TimedSamples timed_samples(const vapo::Model& model, const SamplerOptions& o, const SampleRequest& request) {
  Stopwatch watch;
  TimedSamples out{vapo::draw_samples(model, o, request)};
  note_raised_tolerances(o.ode.rtol, o.ode.atol, out.rtol, out.atol);
  if (!out.refusal.empty()) note_once("the gradient is launched kernel by kernel, not recorded: " + out.refusal);
  out.seconds = watch.seconds();
  return out;
}

// Batches as one process makes them, of which each rank has every R-th.
TimedSamples shared_samples(const Model& model, const SamplerOptions& o, SampleRequest request) {
  int64_t batch = batch_of(model, o);
  if (ranks().size() == 1) return timed_samples(model, o, request);
  Stopwatch watch;
  request.shared = std::make_shared<SharedFlow>();
  TimedSamples out;
  int64_t nfe = 0;
  out.x = in_shared_batches(request.n, batch, [&](int64_t begin, int64_t rows) {
    TimedSamples part = timed_samples(model, o, part_of(request, begin, rows));
    nfe = std::max(nfe, part.nfe);
    return part.x;
  });
  out.nfe = static_cast<int64_t>(largest_of_ranks(static_cast<double>(nfe)));
  out.seconds = watch.seconds();
  return out;
}

TimedLikelihoods shared_likelihood(const Model& model, const Tensor& points, LogDensityOptions options) {
  Stopwatch watch;
  TimedLikelihoods out;
  out.log_likelihood = in_shared_batches(points.dim(0), kPointBatch, [&](int64_t begin, int64_t count) {
    options.first = begin;
    Likelihoods part = log_density(model, kernel::slice(points, 0, begin, begin + count, 1), options);
    out.nfe = std::max(out.nfe, part.nfe);
    note_raised_tolerances(options.tolerance, options.tolerance, part.rtol, part.atol);
    return part.log_likelihood;
  });
  out.nfe = static_cast<int64_t>(largest_of_ranks(static_cast<double>(out.nfe)));
  out.seconds = watch.seconds();
  return out;
}

}  // namespace vapo::app
