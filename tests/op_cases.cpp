#include "tests/op_cases.h"

#include <fmt/format.h>

#include "tensor/random.h"

namespace vapo {
namespace {

Tensor like(const Tensor& constant, const Var& x) { return constant.to(x.dtype()).to(x.device()); }
Tensor index_of(const std::vector<int64_t>& values, const Shape& shape) { return Tensor::from(values, shape); }
Tensor drawn_index(const Shape& shape, int64_t size) {
  std::vector<int64_t> out;
  for (double v : rand(shape, {.seed = 4}, 0, static_cast<double>(size), DType::f64).to_vector<double>())
    out.push_back(std::min(static_cast<int64_t>(v), size - 1));
  return index_of(out, shape);
}

void add_unary(OpTable& table) {
  auto add = [&](const char* op, const char* what, const std::function<Var(const Var&)>& f, OpTraits traits = {}) {
    auto of_x = [f](Vars x) { return f(x[0]); };
    for (const Shape& s : {Shape{}, Shape{1}, Shape{3, 5}, Shape{2, 1, 4}, Shape{0, 3}})
      table.add(op, what, {s}, traits, of_x);
    traits.differences = false;
    table.add(op, what, {{33, 17}}, traits, of_x);  // vectors, and what is left of them
  };
  constexpr OpTraits above{.low = 0.5, .high = 2}, right{.low = 0.1, .high = 2}, left{.low = -2, .high = -0.1};
  add("neg", "", neg, linear_map);
  add("exp", "", exp);
  add("expm1", "", expm1);
  add("log", "", log, above);
  add("log1p", "", log1p, {.low = -0.5, .high = 2});
  add("sqrt", "", sqrt, above);
  add("rsqrt", "", rsqrt, above);
  add("square", "", square);
  add("sin", "", sin);
  add("cos", "", cos);
  auto slope = [](const Var& x) { return leaky_relu(x, 0.2); };
  for (const OpTraits& side : {right, left}) {
    const char* what = side.low > 0 ? "right of 0" : "left of 0";
    add("abs", what, abs, side);
    add("relu", what, relu, side);
    add("leaky_relu", what, slope, side);
  }
  table.add("abs", "around 0", {{4, 33}}, between_back_ends, [](Vars x) { return abs(x[0]); });
  table.add("relu", "around 0", {{4, 33}}, between_back_ends, [](Vars x) { return square(relu(x[0])); });
  table.add("leaky_relu", "around 0", {{4, 33}}, between_back_ends, [=](Vars x) { return slope(x[0]); });
  auto clamped = [](const Var& x) { return clamp(x, -2, 2); };
  add("clamp", "within", clamped, {.low = -1.9, .high = 1.9});
  add("clamp", "without", clamped, {.low = 2.1, .high = 3});
  add("clamp", "from below", [](const Var& x) { return clamp(x, 0.0625); });
  add("clamp", "from above", [](const Var& x) { return clamp(x, {}, 0.0625); });
  table.add("clamp", "around both", {{4, 33}}, between_back_ends, [](Vars x) { return clamp(x[0], -0.5, 0.75); });
  constexpr OpTraits tower{.order = 3};
  add("tanh", "", tanh, tower);
  add("sigmoid", "", sigmoid, tower);
  add("silu", "", silu, tower);
  add("gelu", "", gelu, tower);
  add("softplus", "", softplus, tower);
  add("affine", "", [](const Var& x) { return affine(x, -1.5, 0.25); });
  add(
      "affine", "without b", [](const Var& x) { return affine(x, -2, 0); }, linear_map);
  add("pow", "3", [](const Var& x) { return pow(x, 3); });
  add("pow", "0", [](const Var& x) { return pow(x, 0); });
  add(
      "pow", "-1.5", [](const Var& x) { return pow(x, -1.5); }, above);
  add(
      "to", "f64", [](const Var& x) { return to(x, DType::f64); }, linear_map);
}

void add_binary(OpTable& table) {
  const std::vector<std::vector<Shape>> pairs = {
      {{3, 4}, {3, 4}}, {{3, 4}, {4}}, {{4}, {3, 4}}, {{3, 1}, {1, 4}}, {{2, 1, 3}, {5, 1}},
      {{}, {2, 2}},     {{2, 2}, {}},  {{}, {}},      {{0, 4}, {4}},    {{1}, {1, 1, 1}}};
  auto add_all = [&](const char* op, Var (*f)(const Var&, const Var&), const OpTraits& traits = {}) {
    for (const auto& p : pairs) table.add(op, "", p, traits, [f](Vars x) { return f(x[0], x[1]); });
  };
  add_all("add", add);
  add_all("sub", sub);
  add_all("mul", mul, linear_map);
  for (const Shape& s : {Shape{3, 7}, Shape{2, 5000}})
    table.add("addcmul", "", {s, s, s}, s.numel() > 100 ? between_back_ends : OpTraits{},
              [](Vars x) { return addcmul(x[0], x[1], x[2]); });
  add_all("div", div, {.low = 0.5, .high = 2, .linear = true});
  // normal numbers of these seeds stay further apart than the difference reaches
  add_all("maximum", maximum);
  add_all("minimum", minimum);
  add_all(
      "where", +[](const Var& a, const Var& b) {
        return where(like(kernel::unary<Step>(randn({2, 1, 1}, {.seed = 9}, DType::f64)), a), a, b);
      });
  constexpr OpTraits constant{.order = 0};
  add_all("eq", eq, constant);
  add_all("ne", ne, constant);
  add_all("lt", lt, constant);
  add_all("le", le, constant);
  add_all("gt", gt, constant);
  add_all("ge", ge, constant);
  table.add("where", "the smaller", {{3, 1, 20}, {2, 1}}, between_back_ends,
            [](Vars x) { return where(lt(x[0], x[1]), x[0], x[1]); });
  auto mask = [](const Shape& s, const Var& x) { return kernel::dropout_mask(s, 0.5, {.seed = 8}, x.device()); };
  for (int64_t n : {5, 40})
    table.add("where", "by u8", {{3, n}, {}}, [=](Vars x) { return where(mask({4, 1, n}, x[0]), x[0], x[1]); });
  for (const Shape& s : {Shape{4, 5}, Shape{4, 1}, Shape{}})  // the mask, of (4,5), is broadcast to or from
    table.add("masked", "", {s}, linear_map, [=](Vars x) { return masked(x[0], like(mask({4, 5}, x[0]), x[0])); });
}

void add_reductions(OpTable& table) {
  const std::vector<std::pair<Shape, Dims>> places = {{{2, 3, 4}, {}},     {{2, 3, 4}, {1}}, {{2, 3, 4}, {0, -1}},
                                                      {{2, 3, 4}, {0, 1}}, {{5}, {0}},       {{}, {}},
                                                      {{3, 1, 2}, {1}},    {{0, 3}, {1}}};
  auto over = [](const Dims& dims, bool keepdim) { return dims.str() + (keepdim ? " kept" : ""); };
  auto add = [&](const char* op, Var (*f)(const Var&, const Dims&, bool), const OpTraits& traits = {}) {
    for (const auto& [shape, dims] : places)
      for (bool keepdim : {false, true})
        if (shape != Shape{0, 3} || op != std::string("mean"))
          table.add(op, over(dims, keepdim), {shape}, traits,
                    [f, dims = dims, keepdim](Vars x) { return f(x[0], dims, keepdim); });
  };
  add("sum", sum, linear_map);
  add("mean", mean, linear_map);
  add("amax", amax);
  add("logsumexp", logsumexp);
  add("norm", norm);
  for (const Dims& d : {Dims{}, Dims{0}, Dims{1}, Dims{-1}, Dims{0, 2}}) {
    table.add("sum", d.str(), {{6, 70, 5}}, linear_map, [d](Vars x) { return sum(x[0], d); });
    table.add("amax", d.str(), {{6, 70, 5}}, between_back_ends, [d](Vars x) { return amax(x[0], d); });
  }
  table.add("sum", "of many", {{200000}}, between_back_ends, [](Vars x) { return sum(x[0]); });
  table.add("sum", "of tall columns", {{9000, 3}}, between_back_ends, [](Vars x) { return sum(x[0], {0}); });
  table.add("norm", "of rows", {{5, 40}}, [](Vars x) { return norm(x[0], {1}); });
  for (const auto& [shape, dims] : places) {
    table.add("softmax", dims.str(), {shape}, [dims = dims](Vars x) { return softmax(x[0], dims); });
    table.add("softmax", dims.str() + " scaled", {shape},
              [dims = dims](Vars x) { return softmax(x[0], dims, -0.6); });
    for (double correction : {0.0, 1.0, 0.5})
      if (shape != Shape{} && shape != Shape{3, 1, 2})
        table.add("var", fmt::format("{} correction {}", dims.str(), correction), {shape},
                  [=, dims = dims](Vars x) { return var(x[0], dims, correction, true); });
  }
  for (double correction : {0.0, 1.0})
    table.add("var", fmt::format("[1] correction {}", correction), {{5, 40, 3}},
              [=](Vars x) { return var(x[0], {1}, correction); });
  for (double scale : {1.0, 0.25})
    table.add("softmax", fmt::format("of {} times rows", scale), {{7, 300}},
              [=](Vars x) { return softmax(x[0], {-1}, scale); });
  auto add_cumsum = [&](const Shape& s, int64_t dim, bool differences) {
    for (bool reverse : {false, true})
      table.add("cumsum", fmt::format("{}{}", dim, reverse ? " reverse" : ""), {s},
                {.linear = true, .differences = differences}, [=](Vars x) { return cumsum(x[0], dim, reverse); });
  };
  for (const Shape& s : {Shape{7}, Shape{2, 3, 4}, Shape{3, 1, 2}, Shape{1, 70, 2}, Shape{0, 3}, Shape{3, 0, 2}})
    for (int dim = -1; dim < s.rank(); ++dim) add_cumsum(s, dim, true);
  for (auto [s, dim] : {std::pair(Shape{3, 700}, 1), {{700, 3}, 0}, {{2, 5, 4}, 1}, {{70000}, 0}, {{256}, -1}})
    add_cumsum(s, dim, false);
  for (auto [from, to] :
       {std::pair(Shape{}, Shape{2, 3}), {{3, 1}, {2, 3, 4}}, {{4}, {4}}, {{1}, {0}}, {{30, 1}, {2, 30, 4}}}) {
    table.add("broadcast_to", to.str(), {from}, linear_map, [to = to](Vars x) { return broadcast_to(x[0], to); });
    table.add("sum_to", from.str(), {to}, linear_map, [from = from](Vars x) { return sum_to(x[0], from); });
  }
}

void add_products(OpTable& table) {
  auto add = [&](bool ta, bool tb, Shape a, Shape b) {
    table.add("matmul", fmt::format("{}{}", ta ? 'T' : 'N', tb ? 'T' : 'N'), {a, b}, linear_map,
              [ta, tb](Vars x) { return matmul(x[0], x[1], {.transpose_a = ta, .transpose_b = tb}); });
  };
  for (bool ta : {false, true})
    for (bool tb : {false, true}) {
      for (auto [batch_a, batch_b] :
           {std::pair(Shape{}, Shape{}), {{2}, {2}}, {{2}, {}}, {{}, {3}}, {{2, 1}, {1, 3}}, {{0}, {}}}) {
        Shape a = batch_a, b = batch_b;
        for (int64_t d : {ta ? 4 : 3, ta ? 3 : 4}) a.push_back(d);
        for (int64_t d : {tb ? 5 : 4, tb ? 4 : 5}) b.push_back(d);
        add(ta, tb, a, b);
      }
      add(ta, tb, ta ? Shape{2, 1, 9, 7} : Shape{2, 1, 7, 9}, tb ? Shape{3, 5, 9} : Shape{3, 9, 5});
    }
  add(false, false, {3, 1}, {1, 2});
  for (auto [ta, tb] : {std::pair(false, true), {true, false}})  // each operand, and each cotangent, in several
    table.add("matmul", fmt::format("beside other uses, {}{}", ta ? 'T' : 'N', tb ? 'T' : 'N'),
              {{2, 6, 6}, {2, 6, 6}}, [ta = ta, tb = tb](Vars x) {
                Var y = matmul(x[0], x[1], {ta, tb}), z = matmul(y, x[1], {ta, tb});
                return x[0] + (y + z) + matmul(z, matmul(y, x[0]));
              });
  auto with_bias = [](Vars x) { return linear(x[0], x[1], x[2]); };
  for (const Shape& x : {Shape{4}, Shape{3, 4}, Shape{2, 3, 4}, Shape{0, 4}}) {
    table.add("linear", "", {x, {5, 4}, {5}}, with_bias);
    table.add("linear", "without bias", {x, {1, 4}}, linear_map, [](Vars v) { return linear(v[0], v[1]); });
  }
  table.add("linear", "", {{6, 33}, {20, 33}, {20}}, with_bias);
  table.add("linear", "with an addend", {{3, 5, 8}, {6, 8}, {6}, {3, 5, 6}},
            [](Vars x) { return linear(x[0], x[1], x[2], x[3]); });
  table.add("linear", "beside other uses", {{3, 5, 8}, {8, 8}, {8}}, [](Vars x) {
    Var y = linear(x[0], x[1], x[2], x[0]);
    return x[0] + y + linear(linear(y, x[1], x[2], x[0]), x[1], {}, y);
  });
}

void add_moves(OpTable& table) {
  Tensor index = index_of({2, 0, 2, 1}, {4}), none = index_of({}, {0}), repeated = index_of({4, 0, 4, 2}, {4});
  Tensor classes = index_of({1, 1, 0, 4, 2, 1}, {2, 3});
  auto add = [&](const char* op, const char* what, std::vector<Shape> shapes, const std::function<Var(Vars)>& f) {
    bool one = shapes.size() == 1;
    table.add(op, what, std::move(shapes), {.linear = one}, f);
  };
  add("reshape", "", {{2, 6}}, [](Vars x) { return reshape(x[0], {4, -1}); });
  add("reshape", "to rank 0", {{1, 1}}, [](Vars x) { return reshape(x[0], {}); });
  add("permute", "", {{2, 3, 4}}, [](Vars x) { return permute(x[0], {2, 0, 1}); });
  add("permute", "of four", {{2, 3, 4, 5}}, [](Vars x) { return permute(x[0], {3, 1, 0, 2}); });
  add("permute", "of rank 0", {{}}, [](Vars x) { return permute(x[0], {}); });
  add("concat", "", {{2, 3}, {2, 1}, {2, 0}, {2, 4}}, [](Vars x) { return concat(x, 1); });
  add("concat", "", {{1, 3}, {4, 3}}, [](Vars x) { return concat(x, -2); });
  add("concat", "of one twice", {{2, 3}}, [](Vars x) { return concat({x[0], x[0]}, 0); });
  add("concat", "and slice", {{2, 3, 4}, {2, 5, 4}}, [](Vars x) {
    return slice(concat({x[0], x[1]}, 1), 1, {.start = 1, .step = 3});
  });
  add("split", "", {{2, 6, 2}}, [](Vars x) { return split(x[0], 1, 3)[1]; });
  add("split", "of given sizes", {{3, 6}}, [](Vars x) {
    std::vector<Var> parts = split(x[0], 1, std::vector<int64_t>{1, 3, 2});
    return concat({parts[2], parts[1]}, 1);
  });
  add("split", "all pieces used", {{2, 4}}, [](Vars x) {
    auto y = split(x[0], -1, 2);
    return concat({y[1], y[0]}, 0);
  });
  add("slice", "", {{2, 7}}, [](Vars x) { return slice(x[0], 1, {.start = 1, .stop = 6, .step = 2}); });
  add("slice", "from behind", {{2, 7}}, [](Vars x) { return slice(x[0], -1, {.start = -3}); });
  add("slice", "of nothing", {{4, 2}}, [](Vars x) { return slice(x[0], 0, {.start = 2, .stop = 2}); });
  add("index_select", "", {{2, 3, 2}}, [=](Vars x) { return index_select(x[0], 1, index); });
  add("index_select", "", {{2, 5, 3}}, [=](Vars x) { return index_select(x[0], 1, repeated); });
  add("index_select", "of nothing", {{3, 2}}, [=](Vars x) { return index_select(x[0], 0, none); });
  add("embedding", "", {{5, 3}}, [=](Vars x) { return embedding(x[0], classes); });
  struct Place {
    Shape x, index;
    int64_t dim;
  };
  for (auto [x, shape, dim] : std::vector<Place>{{{5}, {8}, 0},
                                                 {{2, 5, 3}, {2, 4, 3}, 1},
                                                 {{2, 5, 3}, {2, 9, 3}, -2},
                                                 {{2, 5, 3}, {2, 3, 2}, 1},
                                                 {{4, 3}, {2, 3}, 0},
                                                 {{4, 3}, {4, 1}, 1},
                                                 {{4, 5, 3}, {2, 7, 2}, 1},  // shorter than x beside the dimension
                                                 {{2, 3, 4, 2}, {1, 3, 2, 5}, 3},
                                                 {{3, 2}, {0, 2}, 0},
                                                 {{3, 2}, {3, 0}, 0},
                                                 {{0, 2}, {0, 1}, 1}}) {
    Tensor at = drawn_index(shape, x[x.wrap(dim, "op_cases")]);
    std::string what = fmt::format("{} of {}", dim, shape.str());
    table.add("gather", what, {x}, linear_map, [at, dim = dim](Vars v) { return gather(v[0], dim, at); });
    Shape larger = shape;
    for (int i = 0; i < larger.rank(); ++i) larger[i] += i % 2;
    for (const Shape& src : {shape, larger})
      table.add("scatter_add", what, {x, src},
                [at, dim = dim](Vars v) { return scatter_add(v[0], dim, at, v[1]); });
  }
}

}  // namespace

std::string OpCase::name() const {
  std::string out = op + (what.empty() ? "" : " " + what);
  for (const Shape& s : shapes) out += " " + s.str();
  return out;
}

std::vector<Tensor> OpCase::inputs(DType dtype) const {
  std::vector<Tensor> out;
  for (size_t i = 0; i < shapes.size(); ++i) {
    RandomKey key{.seed = 77, .step = i};
    Tensor x = traits.low < traits.high ? rand(shapes[i], key, traits.low, traits.high, DType::f64)
                                        : randn(shapes[i], key, DType::f64);
    out.push_back(x.to(dtype));
  }
  return out;
}

const std::vector<OpCase>& op_cases() {
  static const OpTable table = [] {
    OpTable t;
    for (auto part : {add_unary, add_binary, add_reductions, add_products, add_moves, add_image_ops}) part(t);
    return t;
  }();
  return table;
}

}  // namespace vapo
