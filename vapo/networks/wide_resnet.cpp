#include "vapo/networks/wide_resnet.h"

namespace vapo {
namespace {

using Options = WideResnetOptions;

void check(const Options& o) {
  auto refuse = [](const std::string& what) { throw InputError("wide_resnet: " + what); };
  if (o.depth < 10 || o.depth > 10000 || (o.depth - 4) % 6 != 0)
    refuse(fmt::format("depth = {} must be 6n + 4 with n ≥ 1: 10, 16, 22, 28, …", o.depth));
  if (o.base_width < 1 || o.base_width > 65536)
    refuse(fmt::format("base_width = {} must be from 1 to 65536", o.base_width));
  if (o.widen < 1 || o.widen > 1024) refuse(fmt::format("widen = {} must be from 1 to 1024", o.widen));
  if (o.in_channels < 1 || o.height < 1 || o.width < 1)
    refuse(fmt::format("images of {}×{} with {} channels", o.height, o.width, o.in_channels));
  if (o.height % 4 != 0 || o.width % 4 != 0)
    refuse(fmt::format("images of {}×{} cannot be halved twice", o.height, o.width));
  if (o.norm == Options::Norm::group && (o.groups < 1 || o.base_width % o.groups != 0))
    refuse(fmt::format("{} groups do not divide the first width of {}", o.groups, o.base_width));
  if (!(o.output_scale > 0)) refuse(fmt::format("output_scale = {} must be above 0", o.output_scale));
  if (!(o.dropout >= 0 && o.dropout < 1)) refuse(fmt::format("dropout = {} must be in [0, 1)", o.dropout));
}

RandomKey next(RandomKey& key) {
  RandomKey now = key;
  ++key.step;
  return now;
}

std::optional<nn::GroupNorm> norm_of(const Options& o, int64_t width, DType dtype) {
  if (o.norm == Options::Norm::none) return {};
  return nn::GroupNorm(o.groups, width, 1e-5, dtype);
}

Var activated(const Options& o, const std::optional<nn::GroupNorm>& norm, const Var& x) {
  if (norm && o.activation == nn::Activation::silu) return norm->silu(x);
  return nn::activate(o.activation, norm ? (*norm)(x) : x);
}

}  // namespace

// x ↦ shortcut(x) + conv(act(norm(dropout(conv(act(norm(x)))) + linear(e)))), the second convolution with the
// stride; the shortcut is 1×1 where size or width change.
class WideResnetPotential::Block : public nn::Module {
 public:
  Block(const Options& o, int64_t in, int64_t out, int64_t stride, int64_t embedding, uint32_t index,
        RandomKey& key, DType dtype)
      : options_(o),
        index_(index),
        norm1_(norm_of(o, in, dtype)),
        conv1_(in, out, 3, next(key), {.padding = 1}, true, dtype),
        norm2_(norm_of(o, out, dtype)),
        conv2_(out, out, 3, next(key), {.stride = stride, .padding = 1}, true, dtype) {
    if (embedding > 0) linear_.emplace(embedding, out, next(key), true, dtype);
    if (stride != 1 || in != out)
      shortcut_.emplace(in, out, 1, next(key), kernel::Conv2dOptions{.stride = stride}, true, dtype);
  }
  Var operator()(const Var& x, const BlockContext& context) const {
    Var h = vapo::dropout(conv1_(activated(options_, norm1_, x)), context.dropout(options_.dropout, index_));
    if (linear_) h = h + reshape(to((*linear_)(context.e), h.dtype()), {h.dim(0), 1, 1, h.dim(3)});
    Var straight = shortcut_ ? (*shortcut_)(x) : x;
    return conv2_(activated(options_, norm2_, h), straight);
  }
  void parameters(const nn::ParameterVisitor& visit) override {
    if (norm1_) nn::visit_child("norm1", *norm1_, visit);
    nn::visit_child("conv1", conv1_, visit);
    if (linear_) nn::visit_child("emb", *linear_, visit);
    if (norm2_) nn::visit_child("norm2", *norm2_, visit);
    nn::visit_child("conv2", conv2_, visit);
    if (shortcut_) nn::visit_child("shortcut", *shortcut_, visit);
  }

 private:
  Options options_;
  uint32_t index_;
  std::optional<nn::GroupNorm> norm1_;
  nn::Conv2d conv1_;
  std::optional<nn::Linear> linear_;
  std::optional<nn::GroupNorm> norm2_;
  nn::Conv2d conv2_;
  std::optional<nn::Conv2d> shortcut_;
};

WideResnetPotential::WideResnetPotential(const Options& o, uint64_t seed, DType dtype) : options_(o) {
  check(o);
  RandomKey key{.seed = seed, .stream = 0, .step = 0};
  conditioning_.emplace(o.base_width * o.widen, o.time, o.classes, key, dtype);
  conv_.emplace(o.in_channels, o.base_width, 3, next(key), kernel::Conv2dOptions{.padding = 1}, true, dtype);
  int64_t in = o.base_width;
  for (int64_t stage = 0; stage < 3; ++stage)
    for (int64_t i = 0; i < (o.depth - 4) / 6; ++i) {
      int64_t out = (o.base_width << stage) * o.widen, stride = stage > 0 && i == 0 ? 2 : 1;
      auto index = static_cast<uint32_t>(blocks_.size());
      blocks_.push_back(std::make_unique<Block>(o, in, out, stride, conditioning_->width(), index, key, dtype));
      in = out;
    }
  norm_ = norm_of(o, in, dtype);
  linear_.emplace(in, o.head == Head::linear ? 1 : o.in_channels * o.height * o.width, next(key), true, dtype);
}

WideResnetPotential::~WideResnetPotential() = default;

Var WideResnetPotential::operator()(const Var& x, const Var& t, const Tensor& y,
                                    const std::optional<RandomKey>& dropout) const {
  const Options& o = options_;
  VAPO_CHECK(x.rank() == 4 && x.dim(1) == o.height && x.dim(2) == o.width && x.dim(3) == o.in_channels,
             "[wide_resnet] x has shape {}, expected (N,{},{},{})", x.shape().str(), o.height, o.width,
             o.in_channels);
  int64_t n = x.dim(0);
  BlockContext context{(*conditioning_)(n, t, y), dropout, recompute_};
  Var h = (*conv_)(nn::to_activation(x));
  for (const auto& block : blocks_)
    h = run_block(*block, {&h, 1}, context,
                  [&b = *block](std::span<const Var> in, const BlockContext& c) { return b(in[0], c); });
  Var f = (*linear_)(to(mean(activated(o, norm_, h), {1, 2}), x.dtype()));
  if (o.head != Head::linear)  // rows are C,H,W
    f = permute(reshape(f, {n, o.in_channels, o.height, o.width}), {0, 2, 3, 1});
  return head_of(o.head, x, f, o.output_scale);
}

void WideResnetPotential::parameters(const nn::ParameterVisitor& visit) {
  conditioning_->parameters(visit);
  nn::visit_child("conv1", *conv_, visit);
  size_t n = blocks_.size() / 3;
  for (size_t i = 0; i < blocks_.size(); ++i)
    nn::visit_child(fmt::format("layer{}.{}", 1 + i / n, i % n), *blocks_[i], visit);
  if (norm_) nn::visit_child("norm", *norm_, visit);
  nn::visit_child("linear", *linear_, visit);
}

}  // namespace vapo
