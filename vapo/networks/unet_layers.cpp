#include "vapo/networks/unet_layers.h"

#include <cmath>

namespace vapo {
namespace {

RandomKey next(RandomKey& key) {
  RandomKey now = key;
  ++key.step;
  return now;
}

Var resample(Resampling r, const Var& x) {
  switch (r) {
    case Resampling::none:
      return x;
    case Resampling::down:
      return avg_pool2d(x, 2);
    case Resampling::up:
      return upsample_nearest2d(x, 2);
  }
  fail("[resample] unknown kind {}", static_cast<int>(r));
}

}  // namespace

ResidualBlock::ResidualBlock(const ResidualBlockOptions& o, RandomKey& key, DType dtype)
    : options_(o),
      norm1_(o.groups, o.in, 1e-5, dtype),
      conv1_(o.in, o.out, 3, next(key), {.padding = 1}, true, dtype),
      norm2_(o.groups, o.out, 1e-5, dtype),
      conv2_(zero_initialised(nn::Conv2d(o.out, o.out, 3, next(key), {.padding = 1}, true, dtype))) {
  if (o.embedding > 0) linear_.emplace(o.embedding, o.scale_shift ? 2 * o.out : o.out, next(key), true, dtype);
  if (o.in != o.out) skip_.emplace(o.in, o.out, 1, next(key), kernel::Conv2dOptions{}, true, dtype);
}

Var ResidualBlock::operator()(const Var& x, const BlockContext& context) const {
  const ResidualBlockOptions& o = options_;
  Dropout dropout = context.dropout(o.dropout, o.index);
  Var h = conv1_(resample(o.resampling, norm1_.silu(x)));
  Var e = context.e;
  if (linear_ && !o.scale_shift) h = h + reshape(to(std::exchange(e, {}), h.dtype()), {h.dim(0), 1, 1, o.out});
  h = norm2_.silu(h, e, dropout);
  Var straight = resample(o.resampling, x);
  return conv2_(h, skip_ ? (*skip_)(straight) : straight);
}

void ResidualBlock::parameters(const nn::ParameterVisitor& visit) {
  nn::visit_child("in_layers.0", norm1_, visit);
  nn::visit_child("in_layers.2", conv1_, visit);
  if (linear_) nn::visit_child("emb_layers.1", *linear_, visit);
  nn::visit_child("out_layers.0", norm2_, visit);
  nn::visit_child("out_layers.3", conv2_, visit);
  if (skip_) nn::visit_child("skip_connection", *skip_, visit);
}

AttentionBlock::Pointwise::Pointwise(int64_t in, int64_t out, RandomKey key, DType dtype) {
  nn::Linear draw(in, out, key, true, dtype);
  weight = Var::leaf(draw.weight.value().reshape({out, 1, in}), "weight");
  bias = draw.bias;
}

Var AttentionBlock::Pointwise::operator()(const Var& x, const Var& add) const {
  return linear(x, nn::like(x, reshape(weight, {weight.dim(0), weight.dim(2)})), nn::like(x, bias), add);
}

void AttentionBlock::Pointwise::parameters(const nn::ParameterVisitor& visit) {
  visit("weight", weight);
  visit("bias", bias);
}

AttentionBlock::AttentionBlock(const AttentionBlockOptions& o, RandomKey& key, DType dtype)
    : options_(o),
      norm_(o.groups, o.width, 1e-5, dtype),
      qkv_(o.width, 3 * o.width, next(key), dtype),
      proj_out_(o.width, o.width, next(key), dtype) {
  for (Var* p : {&proj_out_.weight, &proj_out_.bias}) *p = Var::leaf(Tensor::zeros(p->shape(), dtype));
}

Var AttentionBlock::operator()(const Var& h, const BlockContext&) const {
  int64_t n = h.dim(0), c = options_.width, pixels = h.dim(1) * h.dim(2);
  int64_t packs = options_.new_order ? 1 : options_.heads, width = c / packs;
  // (N,T,3C) as packs of [q, k, v], each `width` channels
  Var qkv = reshape(qkv_(reshape(norm_(h), {n, pixels, c})), {n, pixels, packs, 3 * width});
  std::vector<Var> parts = split(qkv, 3, 3);
  for (Var& part : parts) part = reshape(part, {n, pixels, c});
  Var mixed = attention(parts[0], parts[1], parts[2], options_.heads);
  return reshape(proj_out_(mixed, reshape(h, mixed.shape())), h.shape());
}

void AttentionBlock::parameters(const nn::ParameterVisitor& visit) {
  nn::visit_child("norm", norm_, visit);
  nn::visit_child("qkv", qkv_, visit);
  nn::visit_child("proj_out", proj_out_, visit);
}

ConvLayer::ConvLayer(int64_t in, int64_t out, Resampling r, RandomKey& key, DType dtype)
    : resampling_(r),
      conv_(in, out, 3, next(key), {.stride = r == Resampling::down ? 2 : 1, .padding = 1}, true, dtype) {}

Var ConvLayer::operator()(const Var& h, const BlockContext&) const {
  return conv_(resampling_ == Resampling::up ? resample(resampling_, h) : h);
}

void ConvLayer::parameters(const nn::ParameterVisitor& visit) {
  if (resampling_ == Resampling::none)
    conv_.parameters(visit);
  else
    nn::visit_child(resampling_ == Resampling::down ? "op" : "conv", conv_, visit);
}

Var ResampleLayer::operator()(const Var& h, const BlockContext&) const { return resample(resampling_, h); }

}  // namespace vapo
