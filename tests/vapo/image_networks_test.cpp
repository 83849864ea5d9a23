#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <map>

#include "autograd/check_grads.h"
#include "autograd/grad.h"
#include "gaussian_flow.h"
#include "tensor/random.h"
#include "tiny_networks.h"
#include "vapo/energy.h"
#include "vapo/likelihood.h"
#include "vapo/loss.h"
#include "vapo/preconditioned.h"
#include "vapo/sampling/sgld.h"
#include "vapo/work.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

Tensor images(const UnetOptions& o, int64_t n, uint64_t seed = 3) {
  return randn({n, o.height, o.width, o.in_channels}, {.seed = seed}, DType::f64);
}
Tensor images(const WideResnetOptions& o, int64_t n) {
  return randn({n, o.height, o.width, o.in_channels}, {.seed = 3}, DType::f64);
}
Tensor times(int64_t n, double t) { return Tensor::full({n}, t, DType::f64); }

std::map<std::string, std::string> shapes(nn::Module& module) {
  std::map<std::string, std::string> out;
  for (const auto& p : nn::named_parameters(module)) out[p.name] = p.parameter->shape().str();
  return out;
}

constexpr Head kHeads[] = {Head::residual, Head::inner_product, Head::linear};

double order_two(const Potential& phi, const Tensor& x, bool time) {
  std::vector<Tensor> inputs{x};
  if (time) inputs.push_back(times(x.dim(0), 0.4));
  return check_grads(
      [&](std::span<const Var> v) { return std::vector{phi(v[0], time ? v[1] : Var(times(x.dim(0), 0)))}; },
      inputs);
}

}  // namespace

TEST_CASE("the published U-Net has 55.676 million parameters, WRN-28-10 36.466") {
  UnetPotential unet(UnetOptions{}, 0);
  MESSAGE("published U-Net: " << nn::parameter_count(unet) << " parameters");
  CHECK(nn::parameter_count(unet) == 55'676'419);
  auto names = shapes(unet);
  CHECK(names.size() == 390);
  for (auto [name, shape] :
       std::map<std::string, std::string>{{"time_embed.0.weight", "(512,128)"},
                                          {"time_embed.2.bias", "(512)"},
                                          {"input_blocks.0.0.weight", "(256,3,3,3)"},
                                          {"input_blocks.1.0.in_layers.0.weight", "(256)"},
                                          {"input_blocks.1.0.in_layers.2.weight", "(256,3,3,256)"},
                                          {"input_blocks.1.0.emb_layers.1.weight", "(512,512)"},
                                          {"input_blocks.6.1.qkv.weight", "(768,1,256)"},  // block 5 resamples
                                          {"input_blocks.6.1.proj_out.bias", "(256)"},
                                          {"input_blocks.14.0.out_layers.3.weight", "(256,3,3,256)"},
                                          {"middle_block.0.out_layers.0.bias", "(256)"},
                                          {"middle_block.1.norm.weight", "(256)"},
                                          {"middle_block.2.in_layers.2.bias", "(256)"},
                                          {"output_blocks.0.0.skip_connection.weight", "(256,1,1,512)"},
                                          {"output_blocks.9.1.qkv.bias", "(768)"},
                                          {"output_blocks.14.0.emb_layers.1.bias", "(512)"},
                                          {"out.0.weight", "(256)"},
                                          {"out.2.weight", "(3,3,3,256)"}})
    CHECK_MESSAGE(names[name] == shape, name);
  UnetOptions resampled = tiny;
  resampled.conv_resample = true, resampled.classes = 3;
  UnetPotential small(resampled, 0);
  names = shapes(small);
  CHECK(names["label_emb.weight"] == "(4,16)");
  CHECK(names["input_blocks.2.0.op.weight"] == "(4,3,3,4)");
  CHECK(names["output_blocks.1.2.conv.weight"] == "(4,3,3,4)");  // after a block and its attention
  WideResnetPotential resnet(WideResnetOptions{}, 0);
  MESSAGE("WRN-28-10: " << nn::parameter_count(resnet) << " parameters");
  CHECK(nn::parameter_count(resnet) == 36'465'569);
}

TEST_CASE("FLOPs: 40.4 GFLOP an image through the published U-Net, 11.9 through WRN-28-10, six times in a step") {
  double c = 256, p[] = {1024, 256, 64};  // channels, and pixels of the levels
  auto conv = [](double pixels, double in, double out, double taps) { return 2 * pixels * in * out * taps; };
  auto block = [&](double n, double in) {
    return conv(n, in, c, 9) + conv(n, c, c, 9) + conv(1, 512, 2 * c, 1) + (in == c ? 0 : conv(n, in, c, 1));
  };
  double attention = conv(p[1], c, 4 * c, 1) + 4 * p[1] * p[1] * c,
         middle = conv(p[2], c, 4 * c, 1) + 4 * p[2] * p[2] * c;
  double expected = conv(1, 128 + 512, 512, 1) + 2 * conv(p[0], 3, c, 9) + 2 * block(p[2], c) + middle;
  for (double n : p) expected += 4 * block(n, c) + 5 * block(n, 2 * c) + (n == p[1] ? 9 * attention : 0);
  UnetPotential unet(UnetOptions{}, 0);
  CHECK(forward_flops(unet, {32, 32, 3}) == expected);

  WideResnetPotential resnet(WideResnetOptions{}, 0);
  expected = conv(1024, 3, 16, 9) + conv(1, 640, 1, 1);
  for (auto [n, in, out] : {std::array{1024., 16., 160.}, {256., 160., 320.}, {64., 320., 640.}})
    expected += conv(in == 16 ? n : 4 * n, in, out, 9) + conv(n, in, out, 1) + 7 * conv(n, out, out, 9);
  CHECK(forward_flops(resnet, {32, 32, 3}) == expected);

  UnetPotential small(tiny, 0);
  double forward = forward_flops(small, {4, 6, 1});
  CHECK(step_flops(small, {4, 6, 1}, linear_path, {}) / forward == doctest::Approx(6).epsilon(0.1));
  small.set_recompute(true);
  CHECK(forward_flops(small, {4, 6, 1}) == forward);
  CHECK(step_flops(small, {4, 6, 1}, linear_path, {}) / forward == doctest::Approx(11.5).epsilon(0.1));
}

TEST_CASE("derivatives of the image potentials, to second order") {
  auto unet = perturbed<UnetPotential>(tiny);
  CHECK(order_two(*unet, images(tiny, 2), true) < 1e-6);
  UnetOptions other = tiny;
  other.resblock_updown = true, other.scale_shift = false, other.new_attention_order = true, other.time = false;
  CHECK(order_two(*perturbed<UnetPotential>(other), images(other, 2), false) < 1e-6);
  for (Head head : kHeads) {
    WideResnetOptions o = tiny_resnet;
    o.head = head, o.time = head == Head::residual, o.output_scale = 2.5;
    o.norm = o.time ? WideResnetOptions::Norm::group : WideResnetOptions::Norm::none, o.groups = 2;
    CHECK(order_two(*perturbed<WideResnetPotential>(o), images(o, 2), o.time) < 1e-6);
    UnetOptions u = tiny;
    u.head = head, u.output_scale = 0.5;
    CHECK(order_two(*perturbed<UnetPotential>(u), images(u, 2), true) < 1e-6);
  }
}

TEST_CASE("heads are scaled, and no network's head is stuck where it begins") {
  auto check = [](auto options, auto make) {
    for (Head head : kHeads) {
      CAPTURE(name_of(head));
      options.head = head, options.output_scale = 1;
      auto phi = make(options);
      options.output_scale = 3;
      auto scaled = make(options);
      Tensor x = images(options, 4), t = Tensor::from(std::vector<double>{0.2, 0.4, 0.6, 0.8}, {4});
      CHECK(largest_difference(3 * (*phi)(x, t).value(), (*scaled)(x, t).value()) < 1e-12);
      CHECK(kernel::sum_squares(std::vector{gradient(*phi, x, 0.4)}).item() > 1e-4);
      for (auto estimator : {LossOptions::Estimator::inner_product, LossOptions::Estimator::published}) {
        LossTerms loss = vapo_loss(*phi, linear_path, {x, t, randn(x.shape(), {.seed = 5}, DType::f64)},
                                   {.estimator = estimator});
        std::vector<Var> parameters;
        for (const auto& p : nn::named_parameters(*phi)) parameters.push_back(*p.parameter);
        std::vector<Tensor> g;
        for (const Var& of : grad(loss.total, parameters, {.allow_unused = true})) g.push_back(of.value());
        double norm = std::sqrt(kernel::sum_squares(g).item());
        CHECK((norm > 1e-3 && norm < 1e3));
      }
    }
  };
  check(tiny, [](const UnetOptions& o) { return std::make_unique<UnetPotential>(o, 1, DType::f64); });
  check(tiny_resnet,
        [](const WideResnetOptions& o) { return std::make_unique<WideResnetPotential>(o, 1, DType::f64); });
}

TEST_CASE("at the start each block is its skip connection and F is 0: Φ = ½‖x‖²") {
  UnetPotential phi(tiny, 0, DType::f64);
  for (const auto& p : nn::named_parameters(phi)) {
    auto holds = [&](const char* part) { return p.name.find(part) != p.name.npos; };
    bool zero = holds("out_layers.3.") || holds("proj_out.") || holds("out.2."), bias = holds(".bias");
    if (zero || !bias) CHECK_MESSAGE((kernel::sum_squares({&p.parameter->value(), 1}).item() == 0) == zero, p.name);
  }
  Tensor x = images(tiny, 3);
  CHECK(largest_difference(phi(x, times(3, 0.3)).value(), (0.5 * sum(square(rows(Var(x))), {1})).value()) < 1e-14);
}

TEST_CASE(
    "one dropout mask for the forward, inner and outer passes; another key, another mask; none outside training") {
  auto check = [](const Potential& phi, const Tensor& x) {
    RandomKey key{.seed = 1, .stream = 100, .step = 7}, later{.seed = 1, .stream = 100, .step = 8};
    Tensor t = times(x.dim(0), 0.4);
    auto value = [&](const RandomKey& k) { return phi(x, t, {}, k).value(); };
    CHECK(largest_difference(value(key), value(key)) == 0);
    CHECK(largest_difference(value(key), value(later)) > 1e-4);
    CHECK(largest_difference(value(key), phi(x, t).value()) > 1e-4);
    CHECK(largest_difference(phi(x, t).value(), phi(x, t).value()) == 0);
    // with a mask that changed from pass to pass the differences would not agree
    CHECK(check_grads([&](std::span<const Var> v) { return std::vector{phi(v[0], t, {}, key)}; }, std::vector{x}) <
          1e-6);
  };
  auto unet = perturbed<UnetPotential>(tiny);
  check(*unet, images(tiny, 2));
  check(*perturbed<WideResnetPotential>(tiny_resnet), images(tiny_resnet, 2));
  PreconditionedPotential both(perturbed<UnetPotential>(tiny), cosine_path);
  check(both, images(tiny, 2));

  UnetOptions without = tiny;
  without.dropout = 0;
  Tensor x = images(tiny, 2), t = times(2, 0.4);
  CHECK(largest_difference((*unet)(x, t).value(), (*perturbed<UnetPotential>(without))(x, t).value()) == 0);
  auto loss = [&](std::optional<RandomKey> key) {
    return vapo_loss(*unet, linear_path, {x, t, images(tiny, 2, 5), {}, key}, {}).total.item();
  };
  CHECK(loss(RandomKey{.step = 1}) == loss(RandomKey{.step = 1}));
  CHECK(loss(RandomKey{.step = 1}) != loss(RandomKey{.step = 2}));
  CHECK(loss(RandomKey{.step = 1}) != loss({}));
}

TEST_CASE("every block has its own dropout mask") {
  BlockContext context{.key = RandomKey{.seed = 1, .stream = 5, .step = 2}};
  CHECK(context.dropout(0.5, 0).key.stream == 5);
  CHECK(context.dropout(0.5, 3).key.stream == 8);
  CHECK(BlockContext{}.dropout(0.5, 3).p == 0);
}

TEST_CASE("labels choose a row; no label is the last row; a label outside is refused") {
  UnetOptions o = tiny;
  o.classes = 3;
  auto phi = perturbed<UnetPotential>(o);
  Tensor x = images(o, 2), t = times(2, 0.4);
  auto with = [&](int64_t y) {
    return (*phi)(x, t, Tensor::full({2}, static_cast<double>(y), DType::i64)).value();
  };
  CHECK(largest_difference(with(0), with(1)) > 1e-4);
  CHECK(largest_difference(with(3), (*phi)(x, t).value()) == 0);
  CHECK_THROWS_AS(with(4), Error);
  CHECK_THROWS_AS(with(-1), Error);
  CHECK_THROWS_WITH_AS((*perturbed<UnetPotential>(tiny))(x, t, Tensor::zeros({2}, DType::i64)),
                       doctest::Contains("without classes"), Error);
}

TEST_CASE("an autonomous image potential does not read t, and the published loss has no time term for it") {
  UnetOptions o = tiny;
  o.time = false;
  auto still = perturbed<UnetPotential>(o);
  CHECK(still->autonomous());
  CHECK(shapes(*still).count("time_embed.0.weight") == 0);
  CHECK(shapes(*still).count("input_blocks.1.0.emb_layers.1.weight") == 0);
  Tensor x = images(o, 3);
  CHECK(largest_difference((*still)(x, times(3, 0.1)).value(), (*still)(x, times(3, 0.9)).value()) == 0);
  LossBatch batch{x, times(3, 0.4), images(o, 3, 5)};
  LossTerms loss = vapo_loss(*still, linear_path, batch, {.estimator = LossOptions::Estimator::published});
  CHECK(loss.terms[3].first == "time");
  CHECK(loss.terms[3].second.item() == 0);
  CHECK_FALSE(perturbed<UnetPotential>(tiny)->autonomous());
  CHECK(perturbed<WideResnetPotential>(tiny_resnet)->autonomous());
}

// The same numbers as rows: what images must agree with.
class AsRows : public Potential {
 public:
  AsRows(const Potential& phi, Shape image) : phi_(phi), image_(image) {}
  Var operator()(const Var& x, const Var& t, const Tensor& y = {},
                 const std::optional<RandomKey>& dropout = {}) const override {
    return phi_(reshape(x, {x.dim(0), image_[0], image_[1], image_[2]}), t, y, dropout);
  }
  void parameters(const nn::ParameterVisitor&) override {}

 private:
  const Potential& phi_;
  Shape image_;
};

TEST_CASE("losses, gradients, likelihood and SGLD of images are those of their rows") {
  auto phi = perturbed<UnetPotential>(tiny);
  AsRows flat(*phi, {4, 6, 1});
  Tensor x = images(tiny, 3), eps = images(tiny, 3, 5), t = Tensor::from(std::vector<double>{0.2, 0.5, 0.9}, {3});
  for (auto estimator : {LossOptions::Estimator::published, LossOptions::Estimator::covariance,
                         LossOptions::Estimator::inner_product})
    for (bool antithetic : {false, true}) {
      LossOptions o{.estimator = estimator, .antithetic = antithetic};
      LossTerms image = vapo_loss(*phi, cosine_path, {x, t, eps}, o),
                row = vapo_loss(flat, cosine_path, {rows(x), t, rows(eps)}, o);
      for (size_t i = 0; i < row.terms.size(); ++i)
        CHECK(image.terms[i].second.item() == doctest::Approx(row.terms[i].second.item()).epsilon(1e-12));
    }
  Tensor g = gradient(*phi, x, 0.4);
  CHECK(g.shape() == x.shape());
  CHECK(largest_difference(rows(g), gradient(flat, rows(x), 0.4)) < 1e-13);
  CHECK(largest_difference(laplacian(*phi, x, 0.4), laplacian(flat, rows(x), 0.4)) < 1e-11);
  LikelihoodOptions o{.trace = LikelihoodOptions::Trace::hutchinson,
                      .ode = {.method = OdeMethod::euler, .steps = 2}};
  CHECK(largest_difference(log_likelihood(*phi, linear_path, x, o).log_likelihood,
                           log_likelihood(flat, linear_path, rows(x), o).log_likelihood) < 1e-9);
  Energy image = boltzmann_energy(*phi, 0.5, -1, 1), row = boltzmann_energy(flat, 0.5, -1, 1);
  SgldOptions s{.steps = 3};
  CHECK(largest_difference(rows(sgld(image, x, s)), sgld(row, rows(x), s)) < 1e-12);
  auto network = perturbed<UnetPotential>(tiny);
  AsRows inner(*network, {4, 6, 1});
  PreconditionedPotential images_of(std::move(network), linear_path);
  PreconditionedPotential rows_of(std::make_unique<AsRows>(*phi, Shape{4, 6, 1}), linear_path);
  CHECK(largest_difference(images_of(x, t).value(), rows_of(rows(x), t).value()) < 1e-12);
  CHECK(largest_difference(images_of.log_density(x, t).value(), rows_of.log_density(rows(x), t).value()) < 1e-12);
}

TEST_CASE("options that do not fit together are one clear line") {
  auto refused = [](auto change, const char* message) {
    UnetOptions o = tiny;
    change(o);
    CHECK_THROWS_WITH_AS(UnetPotential(o, 0), doctest::Contains(message), InputError);
  };
  refused([](auto& o) { o.multipliers = {}; }, "0 multipliers");
  refused([](auto& o) { o.multipliers = {1, 0}; }, "a multiplier = 0 must be at least 1");
  refused([](auto& o) { o.multipliers = {1, 1, 1}; }, "images of 4×6 cannot be halved 2 times");
  refused([](auto& o) { o.groups = 3; }, "3 groups do not divide a width of 4");
  refused([](auto& o) { o.heads = 3; }, "3 heads do not divide a width of 4");
  refused([](auto& o) { o.head_width = 3; }, "3 channels a head do not divide a width of 4");
  refused([](auto& o) { o.attention_downsamplings = {3}; }, "attention at downsampling 3");
  refused([](auto& o) { o.attention_downsamplings = {4}; }, "attention at downsampling 4");
  refused([](auto& o) { o.dropout = 1; }, "dropout = 1 must be in [0, 1)");
  refused([](auto& o) { o.classes = -1; }, "classes = -1 must not be negative");
  refused([](auto& o) { o.base_width = 5, o.groups = 5, o.heads = 1; }, "5 sinusoids");
  auto refused_resnet = [](auto change, const char* message) {
    WideResnetOptions o = tiny_resnet;
    change(o);
    CHECK_THROWS_WITH_AS(WideResnetPotential(o, 0), doctest::Contains(message), InputError);
  };
  refused_resnet([](auto& o) { o.depth = 12; }, "depth = 12 must be 6n + 4");
  refused_resnet([](auto& o) { o.width = 6; }, "images of 4×6 cannot be halved twice");
  refused_resnet([](auto& o) { o.norm = WideResnetOptions::Norm::group, o.groups = 3; }, "3 groups do not divide");
  UnetPotential phi(tiny, 0);
  CHECK_THROWS_WITH(phi(Tensor::zeros({2, 6, 4, 1}), Tensor::zeros({2})), doctest::Contains("[unet] x has shape"));
  CHECK_THROWS_WITH(phi(Tensor::zeros({2, 4, 6, 1}), Tensor::zeros({3})), doctest::Contains("t has shape (3)"));
}
