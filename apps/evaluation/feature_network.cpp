#include "apps/evaluation/feature_network.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "apps/run/json_file.h"
#include "nn/checkpoint.h"
#include "tensor/kernels.h"
#include "vapo/networks/inception.h"

namespace vapo::app {
namespace {

class OfClassifier : public FeatureNetwork {
 public:
  OfClassifier(const std::string& file, Device device)
      : FeatureNetwork(file), classifier_(open_classifier(file, device)) {}
  Features of(const NamedImages& images) const override { return {features_of(classifier_, images)}; }
  int64_t width() const override { return classifier_.network->options().features; }
  bool is_inception() const override { return false; }

 private:
  ImageClassifier classifier_;
};

class OfInception : public FeatureNetwork {
 public:
  OfInception(const std::string& file, const nn::CheckpointReader& reader, data::FeatureResize resize,
              Device device)
      : FeatureNetwork(file), resize_(resize), device_(device) {
    reader.load_parameters(network_);
    nn::to(network_, device);
  }
  Features of(const NamedImages& images) const override {
    const Tensor& pixels = images.set.pixels;
    int64_t batch = device_ == Device::cpu ? 32 : 128;
    std::vector<Tensor> features, logits;
    for (int64_t begin = 0; begin < pixels.dim(0); begin += batch) {
      Tensor part = kernel::slice(pixels, 0, begin, std::min(pixels.dim(0), begin + batch), 1);
      InceptionOutput y =
          network_(data::resize_for_features(part, Inception::kSize, Inception::kSize, resize_).to(device_));
      features.push_back(y.features.to(Device::cpu));
      logits.push_back(y.logits.to(Device::cpu));
    }
    return {kernel::concat(features, 0), kernel::concat(logits, 0)};
  }
  int64_t width() const override { return Inception::kFeatures; }
  bool is_inception() const override { return true; }

 private:
  Inception network_;
  data::FeatureResize resize_;
  Device device_;
};

constexpr const char* kHowToConvert =
    "Hint: tools/convert_inception.py makes it from pt_inception-2015-12-05-6726825d.pth; then --inception FILE, "
    "or put it there";

std::string inception_file(const std::string& given) {
  if (!given.empty()) return given;
  const char* root = std::getenv("VAPO_DATA");
  if (!root || !*root)
    throw InputError(fmt::format("inception.safetensors: which? VAPO_DATA is not set. {}", kHowToConvert));
  return (std::filesystem::path(root) / "inception.safetensors").string();
}

bool is_of_inception(const nn::CheckpointReader& reader) {
  try {
    Json config = parse_object(reader.info().config, "config");
    return config.contains("kind") && config["kind"] == "inception";
  } catch (const InputError&) {
    return false;
  }
}

}  // namespace

std::unique_ptr<FeatureNetwork> open_feature_network(const FeatureChoice& choice, Device device) {
  bool by_name = choice.features == "inception";
  std::string file = by_name ? inception_file(choice.inception) : choice.features;
  std::error_code error;
  if (by_name && !std::filesystem::exists(file, error))
    throw IoError(fmt::format("{}: no such file. {}", file, kHowToConvert));
  nn::CheckpointReader reader(file);
  if (is_of_inception(reader)) return std::make_unique<OfInception>(file, reader, choice.resize, device);
  if (by_name) throw InputError(fmt::format("{}: holds no Inception network. {}", file, kHowToConvert));
  return std::make_unique<OfClassifier>(file, device);
}

}  // namespace vapo::app
