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
  int64_t batch = batch_of(model, o), count = ranks().size();
  if (count == 1) return timed_samples(model, o, request);
  Stopwatch watch;
  request.shared = std::make_shared<SharedFlow>();
  TimedSamples out;
  std::vector<Tensor> own, all;
  double nfe = 0;
  for (int64_t begin = batch * ranks().rank(); begin < request.n; begin += batch * count) {
    TimedSamples part = timed_samples(model, o, part_of(request, begin, std::min(batch, request.n - begin)));
    own.push_back(part.x);
    nfe = std::max(nfe, static_cast<double>(part.nfe));
  }
  std::vector<Tensor> of_ranks = to_leader(own.empty() ? Tensor() : kernel::concat(own, 0));
  for (const Tensor& n : to_leader(Tensor::from(std::vector{nfe}, {1}))) nfe = std::max(nfe, n.item());
  for (int64_t begin = 0, b = 0; ranks().leads() && begin < request.n; begin += batch, ++b) {
    int64_t first = b / count * batch, rows = std::min(batch, request.n - begin);
    all.push_back(kernel::slice(of_ranks[static_cast<size_t>(b % count)], 0, first, first + rows, 1));
  }
  out.x = from_leader(all.empty() ? Tensor() : kernel::concat(all, 0));
  out.nfe = static_cast<int64_t>(nfe);
  out.seconds = watch.seconds();
  return out;
}

TimedLikelihoods likelihood_of(const Model& model, const Tensor& points, const LogDensityOptions& options) {
  Stopwatch watch;
  TimedLikelihoods out{log_density(model, points, options)};
  note_raised_tolerances(options.tolerance, options.tolerance, out.rtol, out.atol);
  out.seconds = watch.seconds();
  return out;
}

}  // namespace vapo::app
