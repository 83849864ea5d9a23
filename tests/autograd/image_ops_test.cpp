// Operations over images: derivatives against differences, adjoints, fused against composite, f32 against f64, errors.

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "rows.h"
#include "tensor/device.h"
#include "tensor/parallel.h"
#include "tensor/precision.h"
#include "tensor/random.h"

using namespace vapo;

namespace {

struct ConvRow {
  const char* name;
  Shape x, w;
  Conv2dOptions p;
};
const std::vector<ConvRow>& conv_table() {
  static const std::vector<ConvRow> rows = {
      {"plain", {2, 5, 4, 3}, {4, 3, 3, 3}, {}},
      {"padding", {2, 4, 6, 3}, {2, 3, 3, 3}, {.padding = 1}},
      {"stride with rows left over", {2, 8, 7, 3}, {2, 3, 3, 3}, {.stride = 2}},
      {"stride, padding, rows left over", {1, 8, 6, 2}, {3, 3, 3, 2}, {.stride = 2, .padding = 1}},
      {"different strides", {1, 9, 8, 2}, {2, 3, 2, 2}, {.stride = {2, 3}, .padding = {1, 0}}},
      {"dilation", {2, 7, 8, 2}, {2, 3, 3, 2}, {.padding = 2, .dilation = 2}},
      {"different dilations",
       {1, 9, 5, 2},
       {2, 3, 3, 2},
       {.stride = {2, 1}, .padding = {0, 1}, .dilation = {2, 1}}},
      {"groups", {2, 4, 3, 6}, {4, 3, 3, 3}, {.padding = 1, .groups = 2}},
      {"depthwise", {2, 4, 3, 4}, {4, 3, 3, 1}, {.padding = 1, .groups = 4}},
      {"depthwise, two outputs each", {1, 5, 5, 3}, {6, 3, 3, 1}, {.stride = 2, .padding = 1, .groups = 3}},
      {"1x1", {2, 3, 4, 5}, {3, 1, 1, 5}, {}},
      {"1x1 with stride", {2, 5, 4, 3}, {2, 1, 1, 3}, {.stride = 2}},
      {"1x1 with padding", {1, 3, 3, 2}, {2, 1, 1, 2}, {.padding = 1}},
      {"1x1 with groups", {1, 3, 3, 4}, {2, 1, 1, 2}, {.groups = 2}},
      {"one pixel", {3, 1, 1, 4}, {2, 3, 3, 4}, {.padding = 1}},
      {"one row", {2, 1, 6, 3}, {2, 1, 3, 3}, {.padding = {0, 1}}},
      {"the whole image", {2, 4, 4, 2}, {3, 4, 4, 2}, {}},
      {"padding wider than the window", {1, 3, 3, 2}, {2, 3, 3, 2}, {.padding = 3}},
      {"5x2 window", {2, 6, 5, 2}, {3, 5, 2, 2}, {.padding = {2, 1}}},
      {"no image", {0, 4, 4, 2}, {3, 3, 3, 2}, {}},
  };
  return rows;
}

std::vector<Row> conv_rows() {
  std::vector<Row> rows;
  for (const ConvRow& c : conv_table()) {
    Conv2dOptions p = c.p;
    Shape x = c.x, w = c.w, y = kernel::conv2d(Tensor::zeros(x), Tensor::zeros(w), {}, p).shape();
    rows.push_back({std::string("conv2d ") + c.name, [=](Vars v) { return conv2d(v[0], v[1], {}, p); }, {x, w}});
    rows.push_back({std::string("conv2d with bias ") + c.name,
                    [=](Vars v) { return conv2d(v[0], v[1], v[2], p); },
                    {x, w, {w[0]}}});
    rows.push_back({std::string("conv2d_input_grad ") + c.name,
                    [=](Vars v) { return conv2d_input_grad(v[0], v[1], x, p); },
                    {y, w}});
    rows.push_back({std::string("conv2d_weight_grad ") + c.name,
                    [=](Vars v) { return conv2d_weight_grad(v[0], v[1], w, p); },
                    {x, y}});
  }
  return rows;
}

std::vector<Row> resample_rows() {
  auto pad = [](Pad2d p) { return [p](Vars v) { return pad2d(v[0], p); }; };
  auto pool = [](Pair k) { return [k](Vars v) { return avg_pool2d(v[0], k); }; };
  auto up = [](Pair k) { return [k](Vars v) { return upsample_nearest2d(v[0], k); }; };
  return {
      {"avg_pool2d", pool(2), {{2, 4, 6, 3}}},
      {"avg_pool2d, rows left over", pool(2), {{2, 5, 7, 3}}},
      {"avg_pool2d of 3x2", pool({3, 2}), {{1, 6, 4, 2}}},
      {"avg_pool2d of one", pool(1), {{1, 2, 3, 2}}},
      {"avg_pool2d of no image", pool(2), {{0, 4, 4, 2}}},
      {"upsample_nearest2d", up(2), {{2, 3, 2, 3}}},
      {"upsample_nearest2d of 1x3", up({1, 3}), {{2, 2, 2, 20}}},
      {"upsample_nearest2d of one pixel", up(4), {{2, 1, 1, 3}}},
      {"pad2d", pad({.left = 1, .right = 2, .top = 0, .bottom = 3}), {{2, 3, 4, 2}}},
      {"pad2d that cuts", pad({.left = -1, .right = 2, .top = 1, .bottom = -2}), {{1, 4, 3, 2}}},
      {"pad2d before a strided conv2d",
       [](Vars v) {
         return conv2d(pad2d(v[0], {.left = 0, .right = 1, .top = 0, .bottom = 1}), v[1], {}, {.stride = 2});
       },
       {{2, 6, 5, 2}, {3, 3, 3, 2}}},
  };
}

struct NormRow {
  const char* name;
  Shape x;
  int64_t groups;
};
const NormRow norm_table[] = {
    {"images", {2, 3, 4, 6}, 3},    {"one group", {2, 3, 3, 4}, 1}, {"groups = channels", {2, 3, 2, 5}, 5},
    {"one pixel", {3, 1, 1, 6}, 2}, {"sequence", {2, 7, 4}, 2},     {"vectors", {3, 8}, 2},
    {"wide", {1, 3, 3, 40}, 4},     {"no image", {0, 3, 3, 4}, 2},  {"many pixels", {1, 9, 8, 18}, 6},
    {"wider", {1, 3, 7, 84}, 4},  // in f64: eight vectors of eight channels at once, two alone, and a part of one
};

kernel::GroupNormOptions options(const NormRow& r, bool silu, bool masked) {
  kernel::GroupNormOptions p{.groups = r.groups, .silu = silu};
  if (masked) p.mask = kernel::dropout_mask(r.x, 0.3, {.seed = 5}), p.mask_scale = 1 / 0.7;
  return p;
}
std::vector<Row> norm_rows() {
  std::vector<Row> rows;
  for (const NormRow& r : norm_table)
    for (int kind = 0; kind < 3; ++kind) {
      kernel::GroupNormOptions p = options(r, kind > 0, kind > 1);
      Shape nc{r.x[0], r.x.back()};
      rows.push_back({std::string("group_norm ") + r.name,
                      [p](Vars v) { return group_norm_fused(v[0], v[1], v[2], p); },
                      {r.x, nc, nc}});
    }
  rows.push_back(
      {"group_norm of w, b", [](Vars v) { return group_norm(v[0], v[1], v[2], 2); }, {{2, 3, 3, 4}, {4}, {4}}});
  rows.push_back({"group_norm_silu with scale, shift and dropout",
                  [](Vars v) {
                    return group_norm_silu(v[0], v[1], v[2], 2, 1e-5, v[3], v[4], {.p = 0.25, .key = {.seed = 4}});
                  },
                  {{2, 3, 3, 4}, {4}, {4}, {2, 4}, {2, 4}}});
  return rows;
}

std::vector<Row> other_rows() {
  return {
      {"attention, one head",
       [](Vars v) { return attention(v[0], v[1], v[2], 1); },
       {{2, 4, 3}, {2, 4, 3}, {2, 4, 3}}},
      {"attention, two heads, other keys",
       [](Vars v) { return attention(v[0], v[1], v[2], 2); },
       {{2, 3, 4}, {2, 5, 4}, {2, 5, 4}}},
      {"attention of a thing with itself", [](Vars v) { return attention(v[0], v[0], v[0], 2); }, {{1, 4, 4}}},
      {"dropout", [](Vars v) { return dropout(v[0], {.p = 0.4, .key = {.seed = 9}}); }, {{2, 3, 3, 4}}},
  };
}

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

TEST_CASE("convolutions: derivatives to third order") { check_rows(conv_rows()); }
TEST_CASE("resampling and padding: derivatives to third order") { check_rows(resample_rows()); }
TEST_CASE("group normalisation: derivatives to third order") { check_rows(norm_rows()); }
TEST_CASE("attention, dropout: derivatives to third order") { check_rows(other_rows()); }

TEST_CASE("adjoint pairs over images: the inner product of Ax and y is that of x and its adjoint of y") {
  for (const Row& row : conv_rows())
    if (row.shapes.size() == 2) check_adjoint(row);
  for (const Row& row : resample_rows()) check_adjoint(row);
  check_adjoint(other_rows().back());
}

TEST_CASE("fused group normalisation equals its composite: value, vjp and second derivative") {
  for (const NormRow& r : norm_table)
    for (int kind = 0; kind < 3; ++kind) {
      CAPTURE(r.name);
      CAPTURE(kind);
      kernel::GroupNormOptions p = options(r, kind > 0, kind > 1);
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
  std::vector<ConvRow> rows = conv_table();
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
    for (const ConvRow& c : rows) {
      CAPTURE(c.name);
      CAPTURE(threads);
      CAPTURE(name_of(policy));
      Tensor x = randn(c.x, {.seed = 1}), w = randn(c.w, {.seed = 2}), b = randn({c.w[0]}, {.seed = 3});
      Tensor y = kernel::conv2d(x, w, b, c.p), g = randn(y.shape(), {.seed = 4});
      auto wide = [](const Tensor& t) { return t.to(DType::f64); };
      CHECK(difference(wide(y), kernel::conv2d(wide(x), wide(w), wide(b), c.p)) < bound);
      CHECK(difference(wide(kernel::conv2d_input_grad(g, w, c.x, c.p)),
                       kernel::conv2d_input_grad(wide(g), wide(w), c.x, c.p)) < bound);
      CHECK(difference(wide(kernel::conv2d_weight_grad(x, g, c.w, c.p)),
                       kernel::conv2d_weight_grad(wide(x), wide(g), c.w, c.p)) < 2 * bound);
    }
  }
  set_num_threads(before);
  set_precision(Precision::strict);
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
  CHECK_THROWS_WITH_AS(attention(x, x, x, 1), contains("[attention]"), Error);
  CHECK_THROWS_WITH_AS(upsample_nearest2d(x, 0), contains("[upsample_nearest2d]"), Error);
  CHECK_THROWS_WITH_AS(dropout(x, {.p = 1}), contains("[dropout] probability 1"), Error);
}
