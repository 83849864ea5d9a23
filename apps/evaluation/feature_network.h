#pragma once
// What measures images by features: a classifier of ours, or the Inception network, behind one interface.

#include <memory>
#include <string>

#include "apps/run/image_features.h"
#include "data/pictures/image_file.h"

namespace vapo::app {

struct Features {      // f32, on the CPU
  Tensor features;     // (N,width)
  Tensor logits = {};  // (N,1008), of Inception; else undefined
};

class FeatureNetwork {
 public:
  virtual ~FeatureNetwork() = default;
  virtual Features of(const NamedImages& images) const = 0;  // throws InputError where it takes no such images
  virtual int64_t width() const = 0;
  virtual bool is_inception() const = 0;  // whose Fréchet distance is called FID
  const std::string& file() const { return file_; }

 protected:
  explicit FeatureNetwork(std::string file) : file_(std::move(file)) {}

 private:
  std::string file_;
};

struct FeatureChoice {
  std::string features = "inception";  // or a checkpoint: a classifier, or Inception's weights
  std::string inception;               // where "inception" has its weights; empty: $VAPO_DATA/inception.safetensors
  data::FeatureResize resize = data::FeatureResize::tf1;  // of Inception
};
// Throws IoError or InputError naming the file; where Inception's weights are missing it says how to get them.
std::unique_ptr<FeatureNetwork> open_feature_network(const FeatureChoice& choice, Device device);

}  // namespace vapo::app
