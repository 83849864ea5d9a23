#include "apps/sampling/sampling.h"

#include <fmt/format.h>

#include <algorithm>

#include "apps/run/command.h"
#include "tensor/check.h"
#include "vapo/streams.h"

namespace vapo::app {

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

TimedLikelihoods likelihood_of(const Model& model, const Tensor& points, const LogDensityOptions& options) {
  Stopwatch watch;
  TimedLikelihoods out{log_density(model, points, options)};
  note_raised_tolerances(options.tolerance, options.tolerance, out.rtol, out.atol);
  out.seconds = watch.seconds();
  return out;
}

}  // namespace vapo::app
