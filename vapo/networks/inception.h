#pragma once
// The Inception network of 2015-12-05, in whose features the Fréchet inception distance is measured (Szegedy et
// al., "Rethinking the Inception Architecture for Computer Vision", 2015; Heusel et al. 2017), as its PyTorch port
// computes it: average pools leave the padding out of the count, and the last block's pool is a maximum.

#include <memory>

#include "nn/module.h"

namespace vapo {

struct InceptionOutput {
  Tensor features;  // (N,2048): means over the pixels of the last block
  Tensor logits;    // (N,1008), without the bias
};

// Inference only: batch norms (eps 1e-3) are folded into the weights and biases of the convolutions before them.
class Inception : public nn::Module {
 public:
  static constexpr int64_t kSize = 299;  // of the images that it was trained on
  static constexpr int64_t kFeatures = 2048, kLogits = 1008;
  Inception();  // all parameters are 0: they come from a checkpoint
  ~Inception() override;
  // x (N,H,W,3) in [−1,1], H and W at least 75, on the parameters' device.
  InceptionOutput operator()(const Tensor& x) const;
  // As the port names them: Conv2d_1a_3x3.conv.weight (32,3,3,3), ….conv.bias, …, Mixed_7c.branch_pool.conv.bias,
  // fc.weight (1008,2048).
  void parameters(const nn::ParameterVisitor& visit) override;

 private:
  struct Network;
  std::unique_ptr<Network> network_;
};

}  // namespace vapo
