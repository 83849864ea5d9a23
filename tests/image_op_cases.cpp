// The part of the table that is over images and sequences.

#include <fmt/format.h>

#include <tuple>

#include "tensor/random.h"
#include "tests/op_cases.h"

namespace vapo {
namespace {

void add_convolutions(OpTable& table) {
  for (const ConvSize& c : conv_sizes()) {
    auto [what, x, w, p, large] = c;
    Shape y = kernel::conv2d(Tensor::zeros(x), Tensor::zeros(w), {}, p).shape();
    auto add = [&, what = what](const char* op, std::vector<Shape> shapes, const std::function<Var(Vars)>& f) {
      bool linear = shapes.size() == 2;
      table.add(op, what, std::move(shapes), {.linear = linear, .differences = !c.large}, f);
    };
    add("conv2d", {x, w}, [p = p](Vars v) { return conv2d(v[0], v[1], {}, p); });
    add("conv2d", {x, w, {w[0]}}, [p = p](Vars v) { return conv2d(v[0], v[1], v[2], p); });
    add("conv2d_input_grad", {y, w}, [p = p, x = x](Vars v) { return conv2d_input_grad(v[0], v[1], x, p); });
    add("conv2d_weight_grad", {x, y}, [p = p, w = w](Vars v) { return conv2d_weight_grad(v[0], v[1], w, p); });
  }
}

void add_resampling(OpTable& table) {
  auto pool = [&](const char* what, Pair k, const Shape& x) {
    table.add("avg_pool2d", what, {x}, linear_map, [k](Vars v) { return avg_pool2d(v[0], k); });
  };
  pool("", 2, {2, 4, 6, 3});
  pool("rows left over", 2, {2, 5, 7, 3});
  pool("rows left over", 2, {2, 5, 6, 3});
  pool("of 3x2", {3, 2}, {1, 6, 4, 2});
  pool("of one", 1, {1, 2, 3, 2});
  pool("of no image", 2, {0, 4, 4, 2});
  auto up = [&](const char* what, Pair k, const Shape& x) {
    table.add("upsample_nearest2d", what, {x}, linear_map, [k](Vars v) { return upsample_nearest2d(v[0], k); });
  };
  up("", 2, {2, 3, 2, 3});
  up("of 1x3", {1, 3}, {2, 2, 2, 20});
  up("of 2x3", {2, 3}, {2, 3, 2, 5});
  up("of one pixel", 4, {2, 1, 1, 3});
  auto pad = [&](const char* what, Pad2d p, const Shape& x) {
    table.add("pad2d", what, {x}, linear_map, [p](Vars v) { return pad2d(v[0], p); });
  };
  pad("", {.left = 1, .right = 2, .top = 0, .bottom = 3}, {2, 3, 4, 2});
  pad("that cuts", {.left = -1, .right = 2, .top = 1, .bottom = -2}, {1, 4, 3, 2});
  pad("that cuts", {.left = 1, .right = -1, .top = 2, .bottom = 0}, {2, 3, 4, 2});
  table.add("pad2d", "before a strided conv2d", {{2, 6, 5, 2}, {3, 3, 3, 2}}, linear_map,
            [](Vars v) { return conv2d(pad2d(v[0], {.right = 1, .bottom = 1}), v[1], {}, {.stride = 2}); });
  auto maxima = [&](const char* what, kernel::Window w, const Shape& x) {  // values far apart
    table.add("max_pool2d", what, {x}, {.low = -40, .high = 40}, [w](Vars v) { return max_pool2d(v[0], w); });
  };
  maxima("", {.size = 2, .stride = 2}, {2, 4, 6, 3});
  maxima("", {.size = 2, .stride = 2}, {2, 6, 8, 5});
  maxima("rows left over", {.size = 2, .stride = 2}, {1, 5, 7, 3});
  maxima("that overlaps", {.size = 3, .stride = 2}, {2, 7, 6, 2});
  maxima("that overlaps", {.size = 3, .stride = 2}, {1, 7, 6, 3});
  maxima("with padding", {.size = 3, .padding = 1}, {1, 4, 3, 2});
  maxima("of 2x3", {.size = {2, 3}, .stride = {1, 2}, .padding = {1, 1}}, {1, 4, 5, 9});
  maxima("of 3x2", {.size = {3, 2}, .stride = 1, .padding = {1, 1}}, {2, 5, 5, 4});
  maxima("of the whole image", {.size = {3, 4}}, {3, 3, 4, 1});
  maxima("of no image", {.size = 2}, {0, 4, 4, 2});
}

void add_norms(OpTable& table) {
  constexpr int64_t small = 60;  // elements of what is made of other operations, which have their own cases
  auto stored = [](const Var& v, const Var& x) { return to(v, compute_dtype(x.dtype())); };
  for (const NormCase& c : norm_cases())
    for (int kind = 0; kind < norm_kinds; ++kind) {
      Shape nc{c.x[0], c.x.back()};
      auto add = [&](const char* op, auto f) {
        table.add(op, fmt::format("{}, kind {}", c.what, kind), {c.x, nc, nc}, {.differences = !c.large},
                  [=](Vars v) {
                    return f(v[0], stored(v[1], v[0]), stored(v[2], v[0]), norm_options(c, kind, v[0].device()));
                  });
      };
      add("group_norm_fused", group_norm_fused);
      if (c.x.numel() <= small) add("group_norm_composite", group_norm_composite);
    }
  table.add("group_norm", "", {{2, 3, 3, 4}, {4}, {4}},
            [=](Vars v) { return group_norm(v[0], stored(v[1], v[0]), stored(v[2], v[0]), 2); });
  table.add("group_norm_silu", "", {{2, 3, 3, 4}, {4}, {4}},
            [=](Vars v) { return group_norm_silu(v[0], stored(v[1], v[0]), stored(v[2], v[0]), 2); });
  table.add("group_norm_silu", "with scale, shift and dropout", {{2, 3, 3, 4}, {4}, {4}, {2, 8}}, [=](Vars v) {
    return group_norm_silu(v[0], stored(v[1], v[0]), stored(v[2], v[0]), 2, 1e-5, v[3],
                           {.p = 0.25, .key = {.seed = 4}});
  });
  enum { both, scales, shifts };
  for (auto [what, result, n, with_e] : {std::tuple("", both, 3, true),
                                         {"a alone", scales, 3, true},
                                         {"s alone", shifts, 3, true},
                                         {"without an embedding", both, 3, false},
                                         {"of no sample", both, 0, true}}) {
    std::vector<Shape> shapes{{5}, {5}};
    if (with_e) shapes.push_back({n, 10});
    table.add("norm_coefficients", what, shapes, [=, result = result, n = n](Vars v) {
      std::vector<Var> as =
          norm_coefficients(stored(v[0], v[0]), stored(v[1], v[0]), v.size() > 2 ? stored(v[2], v[0]) : Var(), n);
      return result == both ? concat(as, 1) : as[result == scales ? 0 : 1];
    });
  }
  for (const Shape& e : {Shape{2, 16}, {70, 24}, {300, 66}})  // fewer rows and more than a block has
    table.add("norm_coefficients", "larger", {{e[1] / 2}, {e[1] / 2}, e}, between_back_ends, [=](Vars v) {
      return concat(norm_coefficients(stored(v[0], v[0]), stored(v[1], v[0]), stored(v[2], v[0]), v[2].dim(0)), 1);
    });
  table.add("dropout", "", {{2, 3, 3, 4}}, linear_map,
            [](Vars v) { return dropout(v[0], {.p = 0.4, .key = {.seed = 9}}); });
}

void add_attention(OpTable& table) {
  auto add = [&](const char* what, int64_t heads, const Shape& q, const Shape& k) {
    table.add("attention", what, {q, k, k}, [heads](Vars v) { return attention(v[0], v[1], v[2], heads); });
  };
  add("one head", 1, {2, 4, 3}, {2, 4, 3});
  add("two heads", 2, {2, 9, 8}, {2, 9, 8});
  add("two heads, other keys", 2, {2, 3, 4}, {2, 5, 4});
  table.add("attention", "of a thing with itself", {{1, 4, 4}},
            [](Vars v) { return attention(v[0], v[0], v[0], 2); });
}

}  // namespace

const std::vector<ConvSize>& conv_sizes() {
  static const std::vector<ConvSize> sizes = {
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
      {"nine rows", {2, 9, 8, 6}, {4, 3, 3, 6}, {.padding = 1}, true},
      {"groups and stride", {2, 9, 8, 6}, {4, 3, 3, 3}, {.stride = 2, .padding = 1, .groups = 2}, true},
      {"all at once",
       {1, 11, 9, 4},
       {8, 3, 3, 1},
       {.stride = {2, 1}, .padding = 2, .dilation = 2, .groups = 4},
       true},
      {"32 channels", {2, 8, 8, 32}, {64, 3, 3, 32}, {.padding = 1}, true},
      {"1x1 of 8 channels", {2, 5, 4, 8}, {16, 1, 1, 8}, {}, true},
  };
  return sizes;
}

const std::vector<NormCase>& norm_cases() {
  static const std::vector<NormCase> cases = {
      {"images", {2, 3, 4, 6}, 3},
      {"one group", {2, 3, 3, 4}, 1},
      {"groups = channels", {2, 3, 2, 5}, 5},
      {"one pixel", {3, 1, 1, 6}, 2},
      {"sequence", {2, 7, 4}, 2},
      {"vectors", {3, 8}, 2},
      {"wide", {1, 3, 3, 40}, 4},
      {"no image", {0, 3, 3, 4}, 2},
      {"many pixels", {1, 9, 8, 18}, 6},
      {"wider", {1, 3, 7, 84}, 4},  // in f64: eight vectors of eight channels at once, two alone, and a part of one
      {"larger images", {2, 5, 6, 12}, 3, true},
      {"one pixel of 8 channels", {3, 1, 1, 8}, 2, true},
      {"longer sequence", {2, 9, 40}, 1, true},
      {"32 groups", {2, 8, 8, 64}, 32, true},
      {"larger, groups = channels", {2, 7, 5, 12}, 12, true},
      {"groups of 3", {2, 5, 5, 12}, 4, true},
      {"groups of 4", {2, 6, 5, 16}, 4, true},
      {"groups of 8", {2, 8, 8, 32}, 4, true},
      {"groups of 12", {1, 20, 15, 24}, 2, true},
      {"more than three multiprocessors have room for", {13, 8, 8, 64}, 8, true},
      {"groups of 16", {1, 32, 32, 16}, 1, true},
      {"one wide group", {1, 3, 3, 320}, 1, true},
      {"half in one pass", {1, 80, 61, 4}, 1, true},  // of the derivatives some fit into shared memory, by dtype
      {"two passes", {1, 240, 250, 2}, 1, true},      // none does; more pixels would measure the rounding of f32
  };
  return cases;
}

kernel::GroupNormOptions norm_options(const NormCase& c, int kind, Device device) {
  kernel::GroupNormOptions p{.groups = c.groups, .silu = kind > 0};
  if (kind > 1) p.mask = kernel::dropout_mask(c.x, 0.3, {.seed = 5}, device), p.mask_scale = 1 / 0.7;
  return p;
}

void add_image_ops(OpTable& table) {
  add_convolutions(table);
  add_resampling(table);
  add_norms(table);
  add_attention(table);
}

}  // namespace vapo
