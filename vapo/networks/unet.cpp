#include "vapo/networks/unet.h"

#include <algorithm>

namespace vapo {
namespace {

void check(const UnetOptions& o) {
  auto refuse = [](const std::string& what) { throw InputError("unet: " + what); };
  auto positive = [&](const char* name, int64_t value) {
    if (value < 1) refuse(fmt::format("{} = {} must be at least 1", name, value));
  };
  positive("height", o.height), positive("width", o.width), positive("in_channels", o.in_channels);
  positive("base_width", o.base_width), positive("blocks_per_level", o.blocks_per_level);
  positive("groups", o.groups);
  if (o.multipliers.empty() || o.multipliers.size() > 16)
    refuse(fmt::format("{} multipliers, expected one for each of 1 to 16 levels", o.multipliers.size()));
  if (!(o.output_scale > 0)) refuse(fmt::format("output_scale = {} must be above 0", o.output_scale));
  if (!(o.dropout >= 0 && o.dropout < 1)) refuse(fmt::format("dropout = {} must be in [0, 1)", o.dropout));
  int64_t deepest = int64_t{1} << (o.multipliers.size() - 1);
  if (o.height % deepest != 0 || o.width % deepest != 0)
    refuse(fmt::format("images of {}×{} cannot be halved {} times. Hint: fewer multipliers", o.height, o.width,
                       o.multipliers.size() - 1));
  for (int64_t d : o.attention_downsamplings)
    if (d < 1 || d > deepest || (d & (d - 1)) != 0)
      refuse(fmt::format("attention at downsampling {}: the levels have 1, 2, … {}", d, deepest));
  if (o.head_width == -1) positive("heads", o.heads);
  if (o.head_width != -1) positive("head_width", o.head_width);
  for (int64_t m : o.multipliers) {
    positive("a multiplier", m);
    if (m > 4096 || o.base_width > 65536) refuse(fmt::format("a width of {}·{} is too large", o.base_width, m));
    int64_t width = o.base_width * m;
    if (width % o.groups != 0)
      refuse(fmt::format("{} groups do not divide a width of {} ({}·{})", o.groups, width, o.base_width, m));
    int64_t of = o.head_width == -1 ? o.heads : o.head_width;
    if (width % of != 0)
      refuse(fmt::format("{} {} do not divide a width of {}", of, o.head_width == -1 ? "heads" : "channels a head",
                         width));
  }
}

}  // namespace

// Lays the blocks out: the way down remembers the width of every feature that the way up will be given.
struct UnetPotential::Builder {
  UnetPotential& net;
  RandomKey& key;
  DType dtype;
  const UnetOptions& o = net.options_;
  int64_t embedding = net.conditioning_->width(), width = o.base_width * o.multipliers[0], downsampling = 1;
  uint32_t blocks = 0;
  std::vector<int64_t> kept = {};

  std::unique_ptr<UnetLayer> residual(int64_t in, int64_t out, Resampling r = Resampling::none) {
    ResidualBlockOptions b{in, out, embedding, o.groups, o.scale_shift, o.dropout, r, blocks++};
    return std::make_unique<ResidualBlock>(b, key, dtype);
  }
  std::unique_ptr<UnetLayer> attention() {
    int64_t heads = o.head_width == -1 ? o.heads : width / o.head_width;
    return std::make_unique<AttentionBlock>(AttentionBlockOptions{width, heads, o.groups, o.new_attention_order},
                                            key, dtype);
  }
  std::unique_ptr<UnetLayer> resampling(Resampling r) {
    if (o.resblock_updown) return residual(width, width, r);
    if (o.conv_resample) return std::make_unique<ConvLayer>(width, width, r, key, dtype);
    return std::make_unique<ResampleLayer>(r);
  }
  bool attends() const {
    return std::count(o.attention_downsamplings.begin(), o.attention_downsamplings.end(), downsampling) > 0;
  }
  void keep(UnetLayers layers) {
    net.input_blocks_.push_back(std::move(layers));
    kept.push_back(width);
  }

  void build() {
    UnetLayers first;
    first.push_back(std::make_unique<ConvLayer>(o.in_channels, width, Resampling::none, key, dtype));
    keep(std::move(first));
    size_t levels = o.multipliers.size();
    for (size_t level = 0; level < levels; ++level) {
      for (int64_t i = 0; i < o.blocks_per_level; ++i) {
        UnetLayers layers;
        int64_t out = o.base_width * o.multipliers[level];
        layers.push_back(residual(width, out));
        width = out;
        if (attends()) layers.push_back(attention());
        keep(std::move(layers));
      }
      if (level + 1 == levels) break;
      UnetLayers layers;
      layers.push_back(resampling(Resampling::down));
      downsampling *= 2;
      keep(std::move(layers));
    }
    net.middle_block_.push_back(residual(width, width));
    net.middle_block_.push_back(attention());
    net.middle_block_.push_back(residual(width, width));
    for (size_t level = levels; level-- > 0;) {
      for (int64_t i = 0; i <= o.blocks_per_level; ++i) {
        UnetLayers layers;
        int64_t out = o.base_width * o.multipliers[level];
        layers.push_back(residual(width + kept.back(), out));
        kept.pop_back();
        width = out;
        if (attends()) layers.push_back(attention());
        if (level > 0 && i == o.blocks_per_level) {
          layers.push_back(resampling(Resampling::up));
          downsampling /= 2;
        }
        net.output_blocks_.push_back(std::move(layers));
      }
    }
    net.out_norm_.emplace(o.groups, width, 1e-5, dtype);
    nn::Conv2d last(width, o.head == Head::linear ? 1 : o.in_channels, 3, key, kernel::Conv2dOptions{.padding = 1},
                    true, dtype);
    net.out_conv_ = o.head == Head::residual ? zero_initialised(std::move(last)) : std::move(last);
  }
};

UnetPotential::UnetPotential(const UnetOptions& options, uint64_t seed, DType dtype) : options_(options) {
  check(options);
  RandomKey key{.seed = seed, .stream = 0, .step = 0};
  conditioning_.emplace(options.base_width, options.time, options.classes, key, dtype, options.time_scale);
  Builder{*this, key, dtype}.build();
}

// What e is to each layer that it enters, in their order. On a GPU by one product: a copy of the weights takes less time
// there than all the small products in three passes.
std::vector<Var> UnetPotential::embedded(const Var& e) const {
  std::vector<Var> out, weights, biases;
  std::vector<int64_t> sizes;
  auto visit = [&](const UnetLayers& layers) {
    for (const auto& layer : layers) {
      const nn::Linear* f = layer->embedding();
      if (!f) continue;
      if (e.device() == Device::cpu) out.push_back((*f)(e));
      weights.push_back(f->weight), biases.push_back(f->bias), sizes.push_back(f->bias.numel());
    }
  };
  for (const UnetLayers& layers : input_blocks_) visit(layers);
  visit(middle_block_);
  for (const UnetLayers& layers : output_blocks_) visit(layers);
  if (weights.empty() || e.device() == Device::cpu) return out;
  return split(linear(e, nn::like(e, concat(weights, 0)), nn::like(e, concat(biases, 0))), 1, sizes);
}

Var UnetPotential::operator()(const Var& x, const Var& t, const Tensor& y,
                              const std::optional<RandomKey>& dropout) const {
  const UnetOptions& o = options_;
  VAPO_CHECK(x.rank() == 4 && x.dim(1) == o.height && x.dim(2) == o.width && x.dim(3) == o.in_channels,
             "[unet] x has shape {}, expected (N,{},{},{})", x.shape().str(), o.height, o.width, o.in_channels);
  std::vector<Var> pieces = embedded((*conditioning_)(x.dim(0), t, y));
  size_t next = 0;
  // h, or h and what the way down kept: they are joined inside the first block, which keeps both anyway
  auto through = [&](const UnetLayers& layers, std::vector<Var> h) {
    for (const auto& layer : layers) {
      auto body = [&f = *layer](std::span<const Var> in, const BlockContext& c) {
        return f(in.size() > 1 ? concat(in, 3) : in[0], c);
      };
      BlockContext context{layer->embedding() ? pieces[next++] : Var(), dropout, recompute_};
      h = {layer->is_block() ? run_block(*layer, h, context, body) : body(h, context)};
    }
    return h[0];
  };
  std::vector<Var> kept;
  Var h = nn::to_activation(x);
  for (const UnetLayers& layers : input_blocks_) kept.push_back(h = through(layers, {h}));
  h = through(middle_block_, {h});
  for (const UnetLayers& layers : output_blocks_) {
    h = through(layers, {h, kept.back()});
    kept.pop_back();
  }
  return head_of(o.head, x, to((*out_conv_)(out_norm_->silu(h)), x.dtype()), o.output_scale);
}

void UnetPotential::parameters(const nn::ParameterVisitor& visit) {
  auto visit_layers = [&](const std::string& prefix, UnetLayers& layers) {
    for (size_t i = 0; i < layers.size(); ++i) nn::visit_child(fmt::format("{}.{}", prefix, i), *layers[i], visit);
  };
  conditioning_->parameters(visit);
  for (size_t i = 0; i < input_blocks_.size(); ++i)
    visit_layers(fmt::format("input_blocks.{}", i), input_blocks_[i]);
  visit_layers("middle_block", middle_block_);
  for (size_t i = 0; i < output_blocks_.size(); ++i)
    visit_layers(fmt::format("output_blocks.{}", i), output_blocks_[i]);
  nn::visit_child("out.0", *out_norm_, visit);
  nn::visit_child("out.2", *out_conv_, visit);
}

}  // namespace vapo
