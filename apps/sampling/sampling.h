#pragma once
// Drawing samples and likelihoods as commands do: timed, with what a person should know told.

#include "apps/run/model.h"
#include "tensor/finite.h"
#include "vapo/model_density.h"
#include "vapo/sampling/draw_samples.h"

namespace vapo::app {

struct TimedSamples : Samples {
  double seconds = 0;
};
TimedSamples timed_samples(const vapo::Model& model, const SamplerOptions& options, const SampleRequest& request);
// The same by all ranks, each of which has the result.
TimedSamples shared_samples(const Model& model, const SamplerOptions& options, SampleRequest request);
SampleRequest part_of(const SampleRequest& whole, int64_t begin, int64_t count);  // of its rows from `begin` on
// Throws DivergedError with the options that help that method.
[[noreturn]] void fail_not_finite(const NonFinite& bad, const SamplerOptions& options);

struct TimedLikelihoods : Likelihoods {
  double seconds = 0;
};
// By all ranks, each of which has the result.
TimedLikelihoods shared_likelihood(const Model& model, const Tensor& points, LogDensityOptions options);

// One line, once, where a result was integrated with larger tolerances than asked for.
void note_raised_tolerances(double asked_rtol, double asked_atol, double rtol, double atol);

SgldOptions sgld_options(const SamplerOptions& options, uint64_t seed);  // with the noise of the seed

}  // namespace vapo::app
