#pragma once
// Φ by a WideResNet (Zagoruyko & Komodakis 2016) over images (N,H,W,C) (golden-cases: wide_resnet_potential): a 3×3
// convolution to b = 16 channels, three stages of n blocks, bk, 2bk and 4bk wide, the second and third at half the
// size of the one before; then the mean over pixels of act(norm(·)), and a head (vapo/potential.h).

#include <memory>

#include "vapo/networks/conditioning.h"
#include "vapo/potential.h"

namespace vapo {

struct WideResnetOptions {
  enum class Norm { none, group };
  using Head = vapo::Head;
  int64_t height = 32, width = 32, in_channels = 3;
  int64_t base_width = 16, depth = 28, widen = 10;  // b, 6n + 4 and k
  Norm norm = Norm::none;
  int64_t groups = 16;
  nn::Activation activation = nn::Activation::silu;
  double dropout = 0;  // between a block's convolutions, in training
  // linear: Φ = F = w·h + b; the others: F = W h + b of as many numbers as the image
  Head head = Head::linear;
  double output_scale = 1;  // times Φ
  bool time = false;        // of bk sinusoids, and added between a block's convolutions
  int64_t classes = 0;      // 0 = none; label `classes` = no class
};
constexpr auto names_of(WideResnetOptions::Norm) {
  using Norm = WideResnetOptions::Norm;
  return name_table<Norm>("norm", {{"none", Norm::none}, {"group", Norm::group}});
}

class WideResnetPotential : public Potential {
 public:
  // Throws InputError where the options do not fit together.
  WideResnetPotential(const WideResnetOptions& options, uint64_t seed, DType dtype = DType::f32);
  ~WideResnetPotential() override;
  Var operator()(const Var& x, const Var& t, const Tensor& y = {},
                 const std::optional<RandomKey>& dropout = {}) const override;
  void set_recompute(bool on) override { recompute_ = on; }
  bool autonomous() const override { return !options_.time; }
  // time_embed.0, .2, label_emb, conv1, layerS.I.(norm1, conv1, emb, norm2, conv2, shortcut), norm, linear
  void parameters(const nn::ParameterVisitor& visit) override;

 private:
  class Block;

  WideResnetOptions options_;
  bool recompute_ = false;
  std::optional<Conditioning> conditioning_;
  std::optional<nn::Conv2d> conv_;
  std::vector<std::unique_ptr<Block>> blocks_;  // of the three stages, one after the other
  std::optional<nn::GroupNorm> norm_;
  std::optional<nn::Linear> linear_;
};

}  // namespace vapo
