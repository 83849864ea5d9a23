#pragma once
// Samples of images for an evaluation, batch by batch.

#include <string>

#include "apps/run/evaluation.h"
#include "apps/sampling/sampling.h"

namespace vapo::app {

struct DrawnImages {
  Tensor pixels;  // u8 (n,H,W,C)
  int64_t nfe = 0;
  double seconds = 0;
};
// timed_samples, as pixels. Each batch is a file of the evaluation's folder, NAME-FIRST.npz (pixels, nfe, seconds),
// written when it is finished; those that are there count as done. Tells on standard error how far it is. Throws
// DivergedError where samples are not finite.
DrawnImages draw_images(const Evaluation& evaluation, const std::string& name, const Model& model,
                        const SamplerOptions& sample, SampleRequest request);
// A picture of images (n,H,W,C) u8 in rows of `columns`, NAME.png, and the images themselves, NAME.npy.
void write_picture(const Evaluation& evaluation, const std::string& name, const Tensor& images, int64_t columns);
// Throws InputError where the model is of points.
void check_of_images(const Model& model, const std::string& command);
// What a summary says of samples: how many, seed, sampler with its evaluations, weights, seconds.
void summarise_sampling(Evaluation& evaluation, const Model& model, const SamplerOptions& sample, int64_t n,
                        int64_t seed, int64_t nfe, double seconds);

}  // namespace vapo::app
