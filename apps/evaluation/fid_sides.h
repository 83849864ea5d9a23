#pragma once
// The two sides of a Fréchet distance: where images come from, and their features. What took long lies in the
// folder of the evaluation, where there is one, and counts as done.

#include <optional>
#include <string>

#include "apps/evaluation/feature_network.h"
#include "apps/run/evaluation.h"
#include "data/measures/frechet.h"

namespace vapo::app {

struct Side {
  std::string name;
  data::FeatureStatistics statistics;
  Features features = {};  // undefined where a file of statistics is all there is
  bool has_features() const { return features.features.defined(); }
};

// Whether `name` is a run or a checkpoint, from which samples are drawn, and not images.
bool names_a_model(const std::string& name);

// What the outcome depends on where `name` is a file or a folder: its size and time of writing.
Json file_facts(const std::string& name);

struct SideRequest {
  const FeatureNetwork& network;
  const Evaluation* evaluation = nullptr;  // where parts are kept; may be null
  std::string part;                        // "ref" or "samples": the beginning of their names
  FolderFlags images = {};
  uint64_t seed = 0;  // of the choice of some images
};
// Images as read_named_images has them, or statistics (.npz with mu and sigma) of features as wide as the
// network's. `most`: of images, so many at random, for sets and folders may lie in an order; InputError where there are fewer.
Side side_of(const SideRequest& request, const std::string& name, const std::string& path,
             std::optional<int64_t> most);
Side side_of(const SideRequest& request, const NamedImages& images);
data::FeatureStatistics statistics_of(const Tensor& features, const std::string& name);  // InputError names it

}  // namespace vapo::app
