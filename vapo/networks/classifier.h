#pragma once
// A small convolutional classifier of images, whose features judge samples: with its Fréchet distances, and with
// the classes it sees in them.

#include <memory>
#include <optional>
#include <vector>

#include "nn/layers.h"

namespace vapo {

struct ClassifierOptions {
  int64_t height = 28, width = 28, channels = 1, classes = 10;
  std::vector<int64_t> widths = {32, 64, 128};  // of the stages, each at half the size of the one before
  int64_t features = 128, groups = 8;
  double dropout = 0.3;  // of the features, in training
};

// silu(conv(x)); in every further stage silu(norm(conv(·))) twice, the first convolution with stride 2; silu of a
// linear map of all pixels: the features; a linear map of them: the logits. All convolutions are 3×3.
class Classifier : public nn::Module {
 public:
  // Throws InputError where the options do not fit together.
  Classifier(const ClassifierOptions& options, uint64_t seed, DType dtype = DType::f32);
  ~Classifier() override;
  Var features(const Var& x) const;  // (N,H,W,C) in [−1,1] → (N,features)
  // → (N,classes). With a key: for training, some features left out.
  Var logits(const Var& x, const std::optional<RandomKey>& dropout = {}) const;
  // conv, stageS.(conv1, norm1, conv2, norm2), linear, head
  void parameters(const nn::ParameterVisitor& visit) override;
  const ClassifierOptions& options() const { return options_; }

 private:
  struct Stage;
  ClassifierOptions options_;
  std::optional<nn::Conv2d> conv_;
  std::vector<std::unique_ptr<Stage>> stages_;
  std::optional<nn::Linear> linear_, head_;
};

// Mean of −log softmax(logits)[label]: logits (N,K), labels i64 (N) in [0,K), on the CPU.
Var cross_entropy(const Var& logits, const Tensor& labels);
// The largest logit of each row: i64 (N), on the CPU.
Tensor predicted_labels(const Tensor& logits);

}  // namespace vapo
