#pragma once
// Φ(x,t,y) = ½‖x − F(x,t,y)‖², F a U-Net over images (N,H,W,C) (golden-cases: unet_potential), or another head of F
// (vapo/potential.h). The defaults are the published CIFAR-10 network. Parameters have the names of the published module
// tree; in files convolution weights are (O,I,kH,kW), here (O,kH,kW,I).

#include <vector>

#include "vapo/networks/unet_layers.h"
#include "vapo/potential.h"

namespace vapo {

struct UnetOptions {
  int64_t height = 32, width = 32, in_channels = 3;
  int64_t base_width = 128;                      // level i is base_width·multipliers[i] wide
  std::vector<int64_t> multipliers = {2, 2, 2};  // one a level; each level has half the size of the one before
  int64_t blocks_per_level = 4;                  // and one more on the way up
  std::vector<int64_t> attention_downsamplings = {2};  // after the blocks at size/these, and always in the middle
  int64_t heads = 1, head_width = -1;                  // −1: as many heads; else heads of that width
  double dropout = 0.3;                                // in the blocks, in training
  bool conv_resample = false;                          // a 3×3 convolution where the size changes
  bool resblock_updown = false;                        // the size changes inside a residual block
  bool new_attention_order = false;
  bool scale_shift = true;
  int64_t groups = 32;         // of every norm
  int64_t classes = 0;         // 0 = none; label `classes` = no class
  bool time = true;            // false: autonomous
  double time_scale = 1;       // of t before its sinusoids; published: 1
  Head head = Head::residual;  // linear: F has one channel
  double output_scale = 1;     // times Φ
};

class UnetPotential : public Potential {
 public:
  // Throws InputError where the options do not fit together.
  UnetPotential(const UnetOptions& options, uint64_t seed, DType dtype = DType::f32);
  Var operator()(const Var& x, const Var& t, const Tensor& y = {},
                 const std::optional<RandomKey>& dropout = {}) const override;
  void set_recompute(bool on) override { recompute_ = on; }
  bool autonomous() const override { return !options_.time; }
  void parameters(const nn::ParameterVisitor& visit) override;

 private:
  struct Builder;
  std::vector<Var> embedded(const Var& e) const;

  UnetOptions options_;
  bool recompute_ = false;
  std::optional<Conditioning> conditioning_;
  std::vector<UnetLayers> input_blocks_, output_blocks_;
  UnetLayers middle_block_;
  std::optional<nn::GroupNorm> out_norm_;
  std::optional<nn::Conv2d> out_conv_;  // 0 at first under the residual head
};

}  // namespace vapo
