#pragma once
// Φ(x,t,y) by a multilayer perceptron on [x, e(t) + label row] (golden-cases: mlp_potential).

#include <vector>

#include "nn/layers.h"
#include "vapo/potential.h"

namespace vapo {

struct MlpOptions {
  int64_t in_features = 2;
  std::vector<int64_t> hidden = {192, 192, 192};
  nn::Activation activation = nn::Activation::silu;
  int64_t time_embedding = 16;  // width, even; 0 = autonomous
  double time_scale = 1;
  int64_t classes = 0;  // 0 = none; label `classes` = no class
};

class MlpPotential : public Potential {
 public:
  MlpPotential(const MlpOptions& options, uint64_t seed, DType dtype = DType::f32);
  Var operator()(const Var& x, const Var& t, const Tensor& y = {},
                 const std::optional<RandomKey>& dropout = {}) const override;
  bool autonomous() const override { return options_.time_embedding == 0; }
  int64_t rows_in_cache() const override;
  void parameters(const nn::ParameterVisitor& visit) override;  // layers.N.weight, layers.N.bias, label_emb.weight

 private:
  MlpOptions options_;
  std::vector<nn::Linear> layers_;
  std::vector<nn::Embedding> label_embedding_;  // none or one
};

}  // namespace vapo
