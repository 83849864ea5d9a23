#pragma once
// Sets of images for a trained model: those that a command names, and the model's own.

#include <optional>
#include <string>

#include "apps/run/image_features.h"
#include "apps/run/model.h"

namespace vapo::app {

// `name`: NAME, NAME:train, NAME:validation, NAME:test (the usual part), a file .npy of u8 pixels, or a folder of
// images; empty: the test part of the set that the model was trained on, or the images that its training held out
// where there is none. That set is looked for where the run found it, all others below $VAPO_DATA; celeba and
// folders are brought to the model's size, and `flags` say what of broken files. Throws what the readers throw, and InputError where the model is of
// points, or the images have another shape than its.
NamedImages images_for(const Model& model, const std::string& name, const FolderFlags& flags);
NamedImages training_images_of(const Model& model, const FolderFlags& flags);  // without those held out

// `limit` of n at random, in their order, i64; all where limit is 0 or n at least.
Tensor some_of(int64_t n, int64_t limit, uint64_t seed);

// Up to which time of the path a model has a density of the data: `given`, or the config's energy.marginal_t; and
// where the potential has none there (σ = 0, and not preconditioned), a little earlier. Throws InputError where
// `given`, by the option of this name, is such a time.
double marginal_time(const Model& model, std::optional<double> given, const char* option = "--t");

}  // namespace vapo::app
