// vapo bench block, step and inception: whole networks, the same as those of bench/torch_*.py.

#include <fmt/format.h>

#include "apps/bench/bench.h"
#include "autograd/grad.h"
#include "nn/layers.h"
#include "tensor/precision.h"
#include "tensor/random.h"
#include "vapo/loss.h"
#include "vapo/networks/inception.h"
#include "vapo/networks/mlp.h"
#include "vapo/networks/unet.h"
#include "vapo/networks/wide_resnet.h"
#include "vapo/recorded.h"
#include "vapo/training/training_step.h"
#include "vapo/work.h"

namespace vapo::app {
namespace {

TensorOptions f32() { return {DType::f32, operands().device}; }
std::vector<nn::NamedParameter> placed(nn::Module& module) {
  nn::to(module, operands().device);
  return nn::named_parameters(module);
}

// x + conv(silu(norm(conv(silu(norm(x)))·(1 + scale) + shift))), (scale, shift) = linear(silu(e))
class ResidualBlock : public nn::Module {
 public:
  ResidualBlock(int64_t channels, int64_t embedding, bool fused)
      : norm1_(32, channels),
        norm2_(32, channels),
        conv1_(channels, channels, 3, {.seed = 1}, {.padding = 1}),
        conv2_(channels, channels, 3, {.seed = 2}, {.padding = 1}),
        linear_(embedding, 2 * channels, {.seed = 3}),
        fused_(fused) {}
  Var operator()(const Var& x, const Var& e) const {
    return x + conv2_(normed(norm2_, conv1_(normed(norm1_, x, {})), linear_(silu(e))));
  }
  void parameters(const nn::ParameterVisitor& visit) override {
    visit_child("in_layers.0", norm1_, visit);
    visit_child("in_layers.2", conv1_, visit);
    visit_child("emb_layers.1", linear_, visit);
    visit_child("out_layers.0", norm2_, visit);
    visit_child("out_layers.3", conv2_, visit);
  }

 private:
  Var normed(const nn::GroupNorm& norm, const Var& x, const Var& e) const {
    if (fused_) return norm.silu(x, e);
    Shape nc{x.dim(0), x.dim(3)};
    Var a = broadcast_to(norm.weight, nc), s = broadcast_to(norm.bias, nc);
    if (e.defined()) {
      std::vector<Var> both = split(to(e, a.dtype()), 1, 2);
      Var factor = both[0] + 1;
      a = a * factor, s = s * factor + both[1];
    }
    return group_norm_composite(x, a, s, {.groups = 32, .silu = true});
  }
  nn::GroupNorm norm1_, norm2_;
  nn::Conv2d conv1_, conv2_;
  nn::Linear linear_;
  bool fused_;
};

class BlockStep {
 public:
  BlockStep(int64_t n, int64_t size, int64_t channels, bool fused)
      : block_(channels, 512, fused),
        x_(draw({n, size, size, channels}, 4).to(DType::f32)),
        e_(draw({n, 512}, 5).to(DType::f32)),
        v_(draw({n, size, size, channels}, 6).to(DType::f32)) {
    for (auto& p : placed(block_)) parameters_.push_back(*p.parameter);
  }
  double first_order() {  // ordinary training of the same block: ½‖x − F‖² and its gradient
    Var loss = mean(square(x_ - block(x_)));
    grad(loss, parameters_);
    return loss.item();
  }
  double operator()() {  // E‖∇ₓΦ − v‖², Φ = ½‖x − F(x)‖², and its gradient
    Var x = Var::leaf(x_);
    Var dphi = grad(sum(energy_head(x, block(x))), x, {.create_graph = true});
    Var loss = mean(square(dphi - v_));
    grad(loss, parameters_);
    return loss.item();
  }

 private:
  Var block(const Var& x) const { return to(block_(nn::to_activation(x), nn::to_activation(e_)), DType::f32); }
  ResidualBlock block_;
  Tensor x_, e_, v_;
  std::vector<Var> parameters_;
};

class PlaneStep {
 public:
  explicit PlaneStep(int64_t batch)
      : batch_(batch),
        points_(draw({100'000, 2}, 1).to(DType::f32)),
        phi_(MlpOptions{}, 0),
        train_(phi_, {.clip = {.kind = nn::ClipOptions::Kind::norm, .limit = 1},
                      .ema_decay = 0.999,
                      .device = operands().device,
                      .recorded = false}) {}
  double operator()() {
    uint64_t n = static_cast<uint64_t>(step_);
    Tensor index = randint({batch_}, {.seed = 1, .stream = 1, .step = n}, points_.dim(0));
    LossBatch b{kernel::index_select(points_, 0, index),
                rand({batch_}, {.seed = 1, .stream = 2, .step = n}, 1e-5, 1, f32()),
                randn({batch_, 2}, {.seed = 1, .stream = 3, .step = n}, f32()),
                {}};
    auto loss = [&](const TrainingStep::Add& add) {
      int64_t parts = operands().device == Device::cpu ? parts_side_by_side(phi_, batch_, {}) : 1;
      LossParts of_parts(phi_, path_, b, {}, parts);
      add.side_by_side(parts, of_parts);
    };
    return train_(step_++, 1e-3, loss).loss;
  }
  // Six products for each weight and particle.
  static double flops(int64_t batch) {
    return 12.0 * static_cast<double>(batch) * (18 * 192 + 2 * 192 * 192 + 192);
  }

 private:
  int64_t batch_, step_ = 0;
  Path path_{.kind = Path::Kind::linear};
  Tensor points_;
  MlpPotential phi_;
  TrainingStep train_;
};

// Of 32×32 images in three channels, with the networks of bench/torch_unet.py.
class ImageStep {
 public:
  ImageStep(const std::string& network, int64_t n, bool quick, bool recorded)
      : phi_(make(network, quick)),
        train_(*phi_, {.clip = {.kind = nn::ClipOptions::Kind::std},
                       .ema_decay = 0.9999,
                       .device = operands().device,
                       .recorded = recorded}),
        images_(randn({n, quick ? 8 : 32, quick ? 8 : 32, 3}, {.seed = 1}, f32())) {
    uint64_t step = 0;  // past the zero initialisation, where half of the products are with zeros
    for (auto& p : train_.optimizer().parameters()) {
      if (kernel::sum_squares({&p.parameter->value(), 1}).item() == 0 && p.parameter->rank() > 1)
        kernel::copy_into(p.parameter->value(),
                          kernel::affine(randn(p.parameter->shape(), {.seed = 2, .step = step++}, f32()), 0.02, 0));
    }
  }
  double operator()() {
    uint64_t k = static_cast<uint64_t>(step_);
    LossBatch b{images_, rand({images_.dim(0)}, {.seed = 1, .stream = 2, .step = k}, 1e-5, 1, f32()),
                randn(images_.shape(), {.seed = 1, .stream = 3, .step = k}, f32())};
    auto losses = [&](const TrainingStep::Add& add) { add(vapo_loss(*phi_, path(), b, loss())); };
    return train_(step_++, 1e-4, losses).loss;
  }
  double energy_gradient() { return gradient_(images_, 0.5).at(0); }  // as samplers have it: on a GPU recorded
  // An image's step: six products for each weight and pixel. ∇Φ has a third of them.
  double flops() { return step_flops(*phi_, {images_.dim(1), images_.dim(2), 3}, path(), loss()); }

 private:
  static Path path() { return {.kind = Path::Kind::linear}; }
  static LossOptions loss() { return {.estimator = LossOptions::Estimator::published}; }
  static std::unique_ptr<Potential> make(const std::string& network, bool quick) {
    if (network == "wide_resnet")
      return std::make_unique<WideResnetPotential>(
          WideResnetOptions{
              .height = quick ? 8 : 32, .width = quick ? 8 : 32, .depth = quick ? 10 : 16, .widen = quick ? 1 : 4},
          0);
    if (quick)
      return std::make_unique<UnetPotential>(UnetOptions{.height = 8,
                                                         .width = 8,
                                                         .base_width = 8,
                                                         .multipliers = {1, 2},
                                                         .blocks_per_level = 1,
                                                         .dropout = 0,
                                                         .groups = 4},
                                             0);
    if (network == "published") return std::make_unique<UnetPotential>(UnetOptions{.dropout = 0}, 0);
    return std::make_unique<UnetPotential>(
        UnetOptions{.base_width = 64, .multipliers = {1, 2, 2}, .blocks_per_level = 2, .dropout = 0}, 0);
  }
  int64_t step_ = 0;
  std::unique_ptr<Potential> phi_;
  TrainingStep train_;
  Tensor images_;
  RecordedGradient gradient_{*phi_};
};

void bench_image_step(const BenchOptions& options, const Machine& machine) {
  int64_t n = options.batch > 0 ? options.batch : options.quick ? 2 : 32;
  ImageStep step(options.network, n, options.quick, false);
  constexpr const char* sampling = "energy gradient";
  if (options.serve) return serve([&] { return options.only == sampling ? step.energy_gradient() : step(); });
  Table table(options, machine);
  double flops = static_cast<double>(n) * step.flops();
  std::string shape = Shape{n, options.quick ? 8 : 32, options.quick ? 8 : 32, 3}.str();
  if (table.wants(sampling))
    table.measure({options.network, shape, sampling, flops / 3, 0}, [&] { step.energy_gradient(); });
  if (table.wants("train step")) table.measure({options.network, shape, "train step", flops, 0}, [&] { step(); });
  if (operands().device == Device::cpu || !table.wants("recorded step")) return;
  ImageStep recorded(options.network, n, options.quick, true);
  for (int i = 0; i < 3; ++i) recorded();  // the third is recorded
  table.measure({options.network, shape, "recorded step", flops, 0}, [&] { recorded(); });
}

}  // namespace

void bench_block(const BenchOptions& options, const Machine& machine) {
  int64_t n = options.batch > 0 ? options.batch : options.quick ? 2 : 16;
  int64_t c = options.channels, size = options.quick ? 4 : 32;
  BlockStep fused(n, size, c, true), composite(n, size, c, false);
  if (options.serve) return serve([&] { return fused(); });
  Table table(options, machine);
  double conv = 2.0 * static_cast<double>(n * size * size * 9 * c * c);
  std::string shape = Shape{n, size, size, c}.str();
  if (table.wants("block fused")) {
    table.measure({"block fused", shape, "first order", 6 * conv, 0}, [&] { fused.first_order(); });
    table.measure({"block fused", shape, "VAPO step", 12 * conv, 0}, [&] { fused(); });
  }
  if (table.wants("block composite"))
    table.measure({"block composite", shape, "VAPO step", 12 * conv, 0}, [&] { composite(); });
}

void bench_step(const BenchOptions& options, const Machine& machine) {
  if (options.network != "mlp") return bench_image_step(options, machine);
  Table table(options, machine);
  for (int64_t batch : {64, 512, 4096}) {
    if (options.batch > 0) batch = options.batch;
    PlaneStep step(batch);
    if (options.serve) return serve([&] { return step(); });
    table.measure({"mlp 3x192", fmt::format("({},2)", batch), "train step", PlaneStep::flops(batch), 0},
                  [&] { step(); });
    if (options.batch > 0 || options.quick) break;
  }
}

void bench_inception(const BenchOptions& options, const Machine& machine) {
  int64_t n = options.batch > 0 ? options.batch : 32;
  Inception network;
  uint64_t step = 0;
  for (auto& p : placed(network)) {
    const Var& w = *p.parameter;
    double fan_in = static_cast<double>(w.numel() / w.dim(0));
    if (w.rank() > 1)
      kernel::copy_into(w.value(), kernel::affine(randn(w.shape(), {.seed = 1, .step = step++}, f32()),
                                                  std::sqrt(2 / fan_in), 0));
  }
  Tensor images = randn({n, Inception::kSize, Inception::kSize, 3}, {.seed = 2}, f32());
  auto features = [&] { return network(images).logits.at(0); };
  if (options.serve) return serve(features);
  Table table(options, machine);
  double before = kernel::flop_count();
  features();
  table.measure({"inception", images.shape().str(), "forward", kernel::flop_count() - before, 0},
                [&] { features(); });
}

}  // namespace vapo::app
