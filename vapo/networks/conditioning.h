#pragma once
// What an image network is told beside the image: the time and the class.

#include <functional>
#include <optional>

#include "nn/layers.h"

namespace vapo {

// e(t, y) = W₂ silu(W₁ s(t) + b₁) + b₂ + row y, s the sinusoids of time_scale·t. Names: time_embed.0, time_embed.2,
// label_emb.weight with classes + 1 rows, the last for "no class".
class Conditioning : public nn::Module {
 public:
  // `base` sinusoids (even); e has width 4·base. Each layer takes the next step of the key.
  Conditioning(int64_t base, bool time, int64_t classes, RandomKey& key, DType dtype, double time_scale = 1);
  // silu(e) (N,4·base), which is what every block reads; undefined where there is neither time nor class.
  Var operator()(int64_t n, const Var& t, const Tensor& y) const;
  int64_t width() const { return first_ || rows_ ? 4 * base_ : 0; }
  bool has_time() const { return first_.has_value(); }
  void parameters(const nn::ParameterVisitor& visit) override;

 private:
  int64_t base_, classes_;
  double time_scale_;
  std::optional<nn::Linear> first_, second_;
  std::optional<nn::Embedding> rows_;
};

// What a block of a network gets beside its features.
struct BlockContext {
  Var e = {};                         // of Conditioning, or undefined
  std::optional<RandomKey> key = {};  // of the dropout masks; none: no dropout
  bool recompute = false;             // keep a block's inputs alone, and run it again for derivatives
  Dropout dropout(double p, uint32_t block) const {
    if (!key) return {};
    return {p, {key->seed, key->stream + block, key->step, key->first}};
  }
};

// body(features, context) as one unit of recomputation, with the same bits whether or not it is recomputed. `block`
// owns the parameters that the body reads; both are used again when derivatives are taken.
using BlockBody = std::function<Var(std::span<const Var> features, const BlockContext& context)>;
Var run_block(nn::Module& block, std::span<const Var> features, const BlockContext& context, BlockBody body);

nn::Conv2d zero_initialised(nn::Conv2d conv);

}  // namespace vapo
