// Operations over images: fused against composite, f32 against f64, errors; derivatives are in op_cases_test.cpp.

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/precision.h"
#include "tensor/random.h"
#include "tests/op_cases.h"

using namespace vapo;

namespace {

// Largest |a − b| by the largest |b|.
double difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double worst = 0, scale = 0;
  for (int64_t i = 0; i < a.numel(); ++i) {
    worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
    scale = std::max(scale, std::abs(b.at(i)));
  }
  return a.numel() == 0 ? 0 : worst / std::max(scale, 1e-30);
}

}  // namespace

TEST_CASE("fused group normalisation equals its composite: value, vjp and second derivative") {
  for (const NormCase& r : norm_cases())
    for (int kind = 0; kind < norm_kinds && !r.large; ++kind) {
      CAPTURE(r.what);
      CAPTURE(kind);
      kernel::GroupNormOptions p = norm_options(r, kind);
      Shape nc{r.x[0], r.x.back()};
      auto results = [&](Var (*op)(const Var&, const Var&, const Var&, const kernel::GroupNormOptions&)) {
        auto draw = [](const Shape& s, uint64_t seed) { return randn(s, {.seed = seed}, DType::f64); };
        std::vector<Var> in{Var::leaf(kernel::affine(draw(r.x, 1), 3, 40)), Var::leaf(draw(nc, 2)),
                            Var::leaf(draw(nc, 3))};
        Var y = op(in[0], in[1], in[2], p), g = Var::leaf(draw(r.x, 4));
        std::vector<Var> out{y}, first = grad(std::span(&y, 1), in, {.create_graph = true}, std::span(&g, 1));
        out.insert(out.end(), first.begin(), first.end());
        in.push_back(g);
        std::vector<Var> u{draw(r.x, 5), draw(nc, 6), draw(nc, 7)};
        for (Var& d : grad(first, in, {.allow_unused = true}, u)) out.push_back(d);
        return out;
      };
      auto fused = results(group_norm_fused), composite = results(group_norm_composite);
      for (size_t i = 0; i < fused.size(); ++i) {
        CAPTURE(i);
        CHECK(difference(fused[i].value(), composite[i].value()) < 1e-12);
      }
    }
}

TEST_CASE("f32 convolutions agree with f64: every pass, any number of threads, direct and Winograd") {
  int before = num_threads();
  std::vector<ConvSize> rows = conv_sizes();
  rows.push_back({"64 channels", {3, 14, 14, 64}, {64, 3, 3, 64}, {.padding = 1}});
  rows.push_back({"from rgb", {5, 16, 16, 3}, {32, 3, 3, 3}, {.padding = 1}});
  rows.push_back({"to rgb", {5, 16, 16, 32}, {3, 3, 3, 32}, {.padding = 1}});
  rows.push_back({"many tiles, odd channels", {5, 30, 29, 37}, {41, 3, 3, 37}, {.padding = {2, 0}}});
  rows.push_back({"wide and strided", {3, 17, 17, 32}, {48, 3, 3, 32}, {.stride = 2, .padding = 1}});
  for (auto [threads, policy] : {std::pair(1, Precision::strict),
                                 {2, Precision::strict},
                                 {3, Precision::strict},
                                 {1, Precision::fast},
                                 {2, Precision::fast},
                                 {3, Precision::fast}}) {
    set_num_threads(threads);
    set_precision(policy);
    double bound = policy == Precision::strict ? 2e-6 : 1e-5;
    for (const ConvSize& c : rows) {
      CAPTURE(c.what);
      CAPTURE(threads);
      CAPTURE(name_of(policy));
      Tensor x = randn(c.x, {.seed = 1}), w = randn(c.w, {.seed = 2}), b = randn({c.w[0]}, {.seed = 3});
      Tensor y = kernel::conv2d(x, w, b, c.options), g = randn(y.shape(), {.seed = 4});
      auto wide = [](const Tensor& t) { return t.to(DType::f64); };
      CHECK(difference(wide(y), kernel::conv2d(wide(x), wide(w), wide(b), c.options)) < bound);
      CHECK(difference(wide(kernel::conv2d_input_grad(g, w, c.x, c.options)),
                       kernel::conv2d_input_grad(wide(g), wide(w), c.x, c.options)) < bound);
      CHECK(difference(wide(kernel::conv2d_weight_grad(x, g, c.w, c.options)),
                       kernel::conv2d_weight_grad(wide(x), wide(g), c.w, c.options)) < 2 * bound);
    }
  }
  set_num_threads(before);
  set_precision(Precision::strict);
}

TEST_CASE("a tensor that a convolution adds: the bits of an addition afterwards") {
  std::vector<ConvSize> rows = conv_sizes();
  rows.push_back({"a product of matrices", {2, 5, 4, 6}, {7, 1, 1, 6}, {}});
  rows.push_back({"64 channels", {3, 14, 14, 64}, {64, 3, 3, 64}, {.padding = 1}});
  for (Precision policy : {Precision::strict, Precision::fast})
    for (DType t : {DType::f32, DType::f64}) {
      set_precision(policy);
      for (const auto& [what, xs, ws, p, large] : rows) {
        CAPTURE(what);
        Tensor x = randn(xs, {.seed = 1}, t), w = randn(ws, {.seed = 2}, t), b = randn({ws[0]}, {.seed = 3}, t);
        Tensor y = kernel::conv2d(x, w, b, p), z = randn(y.shape(), {.seed = 5}, t), u = randn(xs, {.seed = 6}, t);
        auto sum = [](const Tensor& a, const Tensor& c) { return kernel::binary(kernel::Binary::add, a, c); };
        auto values = [](const Tensor& v) { return v.to(DType::f64).to_vector<double>(); };
        CHECK(values(kernel::conv2d(x, w, b, p, z)) == values(sum(y, z)));
        CHECK(values(kernel::conv2d(x, w, {}, p, z)) == values(sum(kernel::conv2d(x, w, {}, p), z)));
        CHECK(values(kernel::conv2d_input_grad(z, w, xs, p, u)) ==
              values(sum(kernel::conv2d_input_grad(z, w, xs, p), u)));
      }
    }
  set_precision(Precision::strict);
  Tensor x = Tensor::ones({1, 3, 3, 2}), w = Tensor::ones({4, 1, 1, 2});
  CHECK_THROWS_WITH_AS(kernel::conv2d(x, w, {}, {}, x),
                       doctest::Contains("[conv2d] (1,3,3,2) to add, expects (1,3,3,4)"), Error);
  CHECK_THROWS_WITH_AS(kernel::conv2d_input_grad(kernel::conv2d(x, w, {}, {}), w, x.shape(), {}, w),
                       doctest::Contains("[conv2d_input_grad] (4,1,1,2) to add, expects (1,3,3,2)"), Error);
  CHECK_THROWS_WITH_AS(kernel::conv2d(x, w, {}, {}, Tensor::ones({1, 3, 3, 4}, DType::f64)),
                       doctest::Contains("[conv2d] operands are f32"), Error);
}

TEST_CASE("f32 group normalisation agrees with f64, far from the origin too") {
  struct Case {
    int64_t channels;
    bool silu;
    double centre;
  };
  // 168: eight vectors of sixteen channels at once, two alone, and a part of one
  for (auto [channels, silu, centre] :
       {Case{32, true, 0}, {32, true, 100}, {168, true, 0}, {168, false, 0}, {168, false, 100}}) {
    Shape s{3, 16, 16, channels}, nc{3, channels};
    Tensor x = kernel::affine(randn(s, {.seed = 1}), 1, centre), a = randn(nc, {.seed = 2}),
           b = randn(nc, {.seed = 3});
    Tensor g = randn(s, {.seed = 4}), u = randn(s, {.seed = 5});
    kernel::GroupNormOptions p{.groups = 8, .silu = silu};
    auto all = [&](DType t) {
      auto norm = kernel::group_norm(x.to(t), a.to(t), b.to(t), p);
      auto d = kernel::group_norm_vjp(x.to(t), a.to(t), b.to(t), g.to(t), norm, p);
      auto dd = kernel::group_norm_vjp2(x.to(t), a.to(t), b.to(t), g.to(t), u.to(t), {}, {}, norm, p);
      return std::vector<Tensor>{norm.y, d.dx, d.da, d.ds, dd.dx, dd.da, dd.ds, dd.dg};
    };
    auto narrow = all(DType::f32), wide = all(DType::f64);
    for (size_t i = 0; i < wide.size(); ++i) {
      CAPTURE(i);
      CAPTURE(channels);
      CAPTURE(centre);
      CHECK(difference(narrow[i].to(DType::f64), wide[i]) < (centre == 0 ? 3e-6 : 3e-5));
    }
  }
}

TEST_CASE("dropout: the mask is a function of its key, its rate is p, the mean is kept") {
  Shape s{4, 16, 16, 8};
  Tensor mask = kernel::dropout_mask(s, 0.3, {.seed = 1, .step = 2});
  CHECK(mask.to_vector<uint8_t>() == kernel::dropout_mask(s, 0.3, {.seed = 1, .step = 2}).to_vector<uint8_t>());
  CHECK(mask.to_vector<uint8_t>() != kernel::dropout_mask(s, 0.3, {.seed = 1, .step = 3}).to_vector<uint8_t>());
  double kept = kernel::sum(mask.to(DType::f64), {}, false).item() / static_cast<double>(s.numel());
  CHECK(std::abs(kept - 0.7) < 4 * std::sqrt(0.21 / static_cast<double>(s.numel())));  // 4 standard errors
  Var y = dropout(Tensor::ones(s), {.p = 0.3, .key = {.seed = 1, .step = 2}});
  CHECK(mean(y).item() == doctest::Approx(kept / 0.7));
}

TEST_CASE("a VAPO step runs six convolutions a layer, less what the first layer spares") {
  Conv2dOptions p{.padding = 1};
  std::vector<Var> weights;
  for (uint64_t i = 0; i < 3; ++i) weights.push_back(Var::leaf(randn({8, 3, 3, 8}, {.seed = i})));
  Var x = Var::leaf(randn({2, 6, 6, 8}, {.seed = 7})), v = randn({2, 6, 6, 8}, {.seed = 8});
  auto network = [&](const Var& in) {
    Var h = in;
    for (const Var& w : weights) h = silu(conv2d(h, w, {}, p));
    return sum(square(in - h));
  };
  auto calls = [](const std::function<void()>& f) {
    int64_t before = kernel::convolution_count();
    f();
    return kernel::convolution_count() - before;
  };
  CHECK(calls([&] { grad(network(x.detach()), weights); }) == 3 * 3 - 1);
  // ∇ₓΦ: forward and input gradient; then each of the two has a gradient in its weight and in its other operand.
  // The first layer's input has no further derivative.
  CHECK(calls([&] {
          Var dphi = grad(network(x), x, {.create_graph = true});
          grad(mean(square(dphi - v)), weights);
        }) == 3 * 6 - 1);
}

TEST_CASE("precision: how far fast and bf16 are from strict") {
  auto results = [](Precision precision) {
    set_precision(precision);
    Tensor x = randn({4, 16, 16, 64}, {.seed = 1}), w = randn({64, 3, 3, 64}, {.seed = 2});
    Tensor y = kernel::conv2d(x, w, {}, {.padding = 1});
    std::vector<Tensor> out{y, kernel::conv2d_input_grad(y, w, x.shape(), {.padding = 1}),
                            kernel::conv2d_weight_grad(x, y, w.shape(), {.padding = 1}),
                            kernel::matmul(x.reshape({1024, 64}), x.reshape({1024, 64}), {.transpose_b = true})};
    set_precision(Precision::strict);
    return out;
  };
  auto strict = results(Precision::strict), fast = results(Precision::fast);
  for (size_t i = 0; i < strict.size(); ++i) {
    double far = difference(fast[i], strict[i]);
    CHECK(far < 5e-6);
    if (i < 3) CHECK(far > 0);  // another algorithm
  }
  if (!cpu_has_bf16()) {
    CHECK_THROWS_WITH_AS(set_precision(Precision::bf16), doctest::Contains("no avx512_bf16"), InputError);
    return;
  }
  auto rough = results(Precision::bf16);
  for (size_t i = 0; i < strict.size(); ++i) {
    double far = difference(rough[i], strict[i]);
    CHECK(far < 1e-2);
    CHECK(far > 1e-5);
  }
}

TEST_CASE("errors over images name the operation and the shapes") {
  Var x = Tensor::ones({2, 8, 8, 3}), w = Tensor::ones({8, 3, 3, 4}), v = Tensor::ones({8, 3, 3, 3});
  auto contains = [](auto&&... parts) { return doctest::Contains(parts...); };
  CHECK_THROWS_WITH_AS(conv2d(x, w), contains("[conv2d] input has 3 channels, weight expects 4: input (2,8,8,3)"),
                       Error);
  CHECK_THROWS_WITH_AS(conv2d(x, v, Tensor::ones({7})), contains("[conv2d] bias (7)"), Error);
  CHECK_THROWS_WITH_AS(conv2d(x, v, {}, {.stride = 0}), contains("must be at least 1"), Error);
  CHECK_THROWS_WITH_AS(conv2d(x, v, {}, {.dilation = 4}), contains("does not fit an input of 8×8"), Error);
  CHECK_THROWS_WITH_AS(conv2d(x, v.value().to(DType::f64)), contains("[conv2d] operands are f32"), Error);
  CHECK_THROWS_WITH_AS(conv2d_input_grad(x, v, {2, 8, 8, 3}, {.padding = 1}), contains("expects (2,8,8,8)"), Error);
  CHECK_THROWS_WITH_AS(group_norm(x, Tensor::ones({3}), Tensor::ones({3}), 2),
                       contains("3 channels of (2,8,8,3) do not divide into 2 groups"), Error);
  CHECK_THROWS_WITH_AS(group_norm_silu(x, Tensor::ones({3}), Tensor::ones({3}), 3, 1e-5, Tensor::ones({2, 3})),
                       contains("[norm_coefficients] scale and shift f32 (2,3) on cpu: expects f32 (2,6)"), Error);
  CHECK_THROWS_WITH_AS(norm_coefficients(Tensor::ones({3}), Tensor::ones({4}), {}, 2),
                       contains("[norm_coefficients] biases f32 (4)"), Error);
  CHECK_THROWS_WITH_AS(norm_coefficients(Tensor::ones({3, 1}), Tensor::ones({3, 1}), {}, 2),
                       contains("[norm_coefficients] weights f32 (3,1)"), Error);
  CHECK_THROWS_WITH_AS(attention(x, x, x, 1), contains("[attention]"), Error);
  CHECK_THROWS_WITH_AS(upsample_nearest2d(x, 0), contains("[upsample_nearest2d]"), Error);
  CHECK_THROWS_WITH_AS(dropout(x, {.p = 1}), contains("[dropout] probability 1"), Error);
}
