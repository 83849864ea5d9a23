#pragma once
// What the U-Net is made of. Features are (N,H,W,C).

#include <memory>

#include "vapo/networks/conditioning.h"

namespace vapo {

class UnetLayer : public nn::Module {
 public:
  // context.e: what embedding() makes of the network's e; undefined where it is null.
  virtual Var operator()(const Var& h, const BlockContext& context) const = 0;
  virtual const nn::Linear* embedding() const { return nullptr; }
  virtual bool is_block() const { return true; }  // worth recomputing: what it keeps is much more than h
};
using UnetLayers = std::vector<std::unique_ptr<UnetLayer>>;  // one after the other

enum class Resampling { none, down, up };  // by 2: means of 2×2 pixels, or each pixel four times

// h ↦ skip(r(h)) + conv(dropout(silu(norm(conv(r(silu(norm(h)))), We)))): r resamples, We enters the second norm as
// scale and shift, or is added before it; skip is the identity, or 1×1 where the widths differ.
struct ResidualBlockOptions {
  int64_t in, out, embedding = 0;  // width of e; 0 = none
  int64_t groups = 32;
  bool scale_shift = true;
  double dropout = 0;
  Resampling resampling = Resampling::none;
  uint32_t index = 0;  // of the block in its network: its place among the dropout masks
};
class ResidualBlock : public UnetLayer {
 public:
  ResidualBlock(const ResidualBlockOptions& options, RandomKey& key, DType dtype);
  Var operator()(const Var& h, const BlockContext& context) const override;
  const nn::Linear* embedding() const override { return linear_ ? &*linear_ : nullptr; }
  void parameters(const nn::ParameterVisitor& visit) override;

 private:
  ResidualBlockOptions options_;
  nn::GroupNorm norm1_;
  nn::Conv2d conv1_;
  std::optional<nn::Linear> linear_;
  nn::GroupNorm norm2_;
  nn::Conv2d conv2_;  // 0 at first
  std::optional<nn::Conv2d> skip_;
};

// h + W attention(q, k, v), (q, k, v) = 1×1 of norm(h). The rows of the 1×1's weight are [q, k, v], each of all
// heads (the new order), or q, k, v of each head in turn (the old).
struct AttentionBlockOptions {
  int64_t width, heads = 1, groups = 32;
  bool new_order = false;
};
class AttentionBlock : public UnetLayer {
 public:
  AttentionBlock(const AttentionBlockOptions& options, RandomKey& key, DType dtype);
  Var operator()(const Var& h, const BlockContext& context) const override;
  void parameters(const nn::ParameterVisitor& visit) override;

 private:
  // A 1×1 convolution of sequences (N,T,in): the weight (out,1,in) is (out,in,1) in a file.
  struct Pointwise : nn::Module {
    Pointwise(int64_t in, int64_t out, RandomKey key, DType dtype);
    Var operator()(const Var& x, const Var& add = {}) const;
    void parameters(const nn::ParameterVisitor& visit) override;
    Var weight, bias;
  };
  AttentionBlockOptions options_;
  nn::GroupNorm norm_;
  Pointwise qkv_, proj_out_;  // proj_out_ is 0 at first
};

// A 3×3 convolution alone, or with resampling by 2 and then under a name: "op" (stride 2) or "conv" (after repeating).
class ConvLayer : public UnetLayer {
 public:
  ConvLayer(int64_t in, int64_t out, Resampling resampling, RandomKey& key, DType dtype);
  Var operator()(const Var& h, const BlockContext& context) const override;
  bool is_block() const override { return false; }
  void parameters(const nn::ParameterVisitor& visit) override;

 private:
  Resampling resampling_;
  nn::Conv2d conv_;
};

// Resampling alone.
class ResampleLayer : public UnetLayer {
 public:
  explicit ResampleLayer(Resampling resampling) : resampling_(resampling) {}
  Var operator()(const Var& h, const BlockContext& context) const override;
  bool is_block() const override { return false; }
  void parameters(const nn::ParameterVisitor&) override {}

 private:
  Resampling resampling_;
};

}  // namespace vapo
