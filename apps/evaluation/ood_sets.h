#pragma once
// The sets that vapo ood tells apart: of images, or of points.

#include <string>
#include <vector>

#include "apps/run/image_features.h"
#include "apps/run/model.h"

namespace vapo::app {

struct OodSet {
  std::string name;
  Tensor values;  // images u8, or f32 of means of two, (N,H,W,C) in [0,255]; points f64 (N,D), in their own units
  Tensor index;   // their places in the set, i64 (N)
};
struct OodSets {
  OodSet in, training;
  std::vector<OodSet> out;
};

struct OodSources {
  // In distribution; empty: the run's test part, the rows that it held out, or fresh points of its set.
  std::string in;
  // The others: as model_images.h has images, tables and sets of points; "interpolated": means of neighbours in `in`.
  std::vector<std::string> out;
  int64_t limit = 0;  // of each set, at random; 0: all, or 2,000 fresh points
  int64_t training = 1000;
  uint64_t seed = 0;
  FolderFlags images;
};
// Throws what the readers throw, and InputError naming a set that is too small, or named twice.
OodSets read_ood_sets(const Model& model, const OodSources& sources);

}  // namespace vapo::app
