#pragma once
// Rows of the parity table: passes over memory, at sizes and places that vectors of 16 bytes fit and that they do not.

#include "elementwise_rows.h"

namespace vapo {

inline void pass_rows(const AddRow& add_row) {
  using Tensors = std::vector<Tensor>;
  using enum kernel::Binary;
  // in each type, of the same numbers
  auto add_each_type = [&](const std::string& name, std::vector<Shape> shapes, std::function<Tensor(Tensors)> f) {
    add_row(
        name, shapes,
        [=](const Tensors& x) {
          Tensors out{f(x)};
          for (DType t : {DType::u8, DType::i64, DType::f32, DType::f64}) {
            Tensors of_type;
            for (const Tensor& one : x) of_type.push_back(kernel::affine(kernel::unary<Abs>(one), 16, 0).to(t));
            out.push_back(f(of_type).to(DType::f64));
          }
          return out;
        },
        true);
  };

  for (const Shape& s : {Shape{1, 1300, 24},
                         {3, 700, 40},
                         {1, 5000, 3},
                         {2, 9, 520},
                         {70, 2, 8},
                         {1, 20000, 8},
                         {1, 3, 2100},
                         {2, 3001, 1},
                         {5, 4096, 1},
                         {1, 60000, 1},
                         {9, 1, 16}})
    add_row(
        fmt::format("sum, amax along the middle of {}", s.str()), {s},
        [](const Tensors& x) {
          Tensor shifted = kernel::affine(x[0], 1, 1);
          return Tensors{kernel::sum(shifted, {1}, false), kernel::amax(x[0], {1}, false),
                         kernel::sum(shifted, {0, 1}, false), kernel::sum(shifted, {}, false)};
        },
        true);
  for (int64_t dim : {0, 1, 2}) {
    add_each_type(fmt::format("concat along {} of 3", dim), {{2, 3, 5}, {2, 3, 5}, {2, 3, 5}},
                  [dim](const Tensors& x) { return kernel::concat(x, dim); });
    add_each_type(fmt::format("concat along {} of 43", dim), {{4, 4, 16}}, [dim](const Tensors& x) {
      Tensors parts(40, x[0]);
      Tensor none = kernel::slice(x[0], dim, 2, 2, 1);
      for (int64_t n : {3, 4}) parts.push_back(kernel::slice(x[0], dim, 1, n, 1));
      parts.insert(parts.begin() + 1, none);
      return kernel::concat(parts, dim);
    });
    for (int64_t start : {0, 1, 4, 8})
      for (int64_t step : {1, 2, 3})
        add_each_type(fmt::format("slice of {} from {} by {}", dim, start, step), {{16, 16, 16}},
                      [=](const Tensors& x) {
                        Tensor part = kernel::slice(x[0], dim, start, 16, step),
                               back = kernel::unslice(part, x[0].shape(), dim, start, step),
                               few = kernel::slice(x[0], dim, start, start + 8, step),
                               wide = kernel::unslice(few, {16, 16, 16}, dim, start / 2, step);
                        const Tensor all[] = {part.reshape({part.numel()}), back.reshape({back.numel()}),
                                              wide.reshape({wide.numel()})};
                        return kernel::concat(all, 0);
                      });
  }
  add_row(
      "lists added pair by pair", {{5, 7}, {2, 40}, {5, 7}, {2, 40}},
      [](const Tensors& x) {
        return kernel::add_each({x[0].clone(), x[1]}, std::vector{x[2], x[3]});
      },
      true);
  for (DType t : {DType::bf16, DType::f32, DType::f64})
    add_row(
        fmt::format("lists converted to {}", name_of(t)), {{5, 7}, {2, 4000}, {0, 3}, {1}},
        [t](const Tensors& x) {
          Tensors many(150, x[3]), out;
          many.insert(many.begin(), x.begin(), x.end());
          for (const Tensor& y : kernel::convert_each(many, t)) out.push_back(y.to(DType::f64));
          return out;
        },
        true);
  add_each_type("split", {{3, 21, 8}, {2, 5, 48}}, [](const Tensors& x) {
    Tensors out;
    for (const Tensor& part : kernel::split(x[0], 1, {4, 0, 9, 8}, {true, true, false, true}))
      if (part.defined()) out.push_back(part.reshape({part.numel()}));
    for (const Tensor& part : kernel::split(x[1], 2, {16, 16, 16}, {true, true, true}))
      out.push_back(part.reshape({part.numel()}));
    for (const Tensor& part : kernel::split(x[1], 2, {3, 45}, {true, true}))
      out.push_back(part.reshape({part.numel()}));
    return kernel::concat(out, 0);
  });
  for (const Shape& s : {Shape{2, 6, 4, 16}, {2, 6, 4, 5}, {1, 6, 4, 8}, {3, 6, 8, 1}, {1, 6, 4, 130}})
    add_row(
        fmt::format("pool_sum2d, upsample_nearest2d {}", s.str()), {s},
        [](const Tensors& x) {
          return Tensors{kernel::pool_sum2d(x[0], 2, 0.25),
                         kernel::pool_sum2d(x[0], {3, 1}, 1),
                         kernel::pool_sum2d(x[0], {6, 4}, 0.5),
                         kernel::upsample_nearest2d(x[0], 2, 1),
                         kernel::upsample_nearest2d(x[0], {1, 3}, 0.25),
                         kernel::upsample_nearest2d(x[0], 1, 2)};
        },
        true);
  for (auto [a, b] : {std::pair(Shape{3, 4, 5, 16}, Shape{3, 1, 1, 16}),
                      {{3, 4, 5, 16}, {16}},
                      {{6, 1}, {1, 24}},
                      {{3, 4, 5, 8}, {}},
                      {{2, 4, 4, 3}, {2, 1, 1, 1}},
                      {{3, 1, 5, 16}, {1, 4, 1, 16}},
                      {{2, 4, 8, 1}, {2, 4, 1, 8}},
                      {{5, 8}, {5, 1}},
                      {{4, 1, 16}, {3, 1}},
                      {{5, 3}, {3}}})
    add_row(
        fmt::format("broadcasts of {} and {}", a.str(), b.str()), {a, b},
        [](const Tensors& x) {
          Tensor y = kernel::binary(add, x[0], x[1]), step = kernel::unary<Step>(x[1]);
          return Tensors{y, kernel::binary(sub, x[1], x[0]), kernel::binary(maximum, x[0], x[1]),
                         kernel::broadcast_to(x[1], y.shape()), kernel::where(step, x[0], y)};
        },
        true);
  for (const auto& [s, dims] : {std::pair(Shape{2, 5, 3, 16}, Dims{0, 2, 1, 3}),
                                {{33, 70}, {1, 0}},
                                {{4, 6, 10}, {2, 0, 1}},
                                {{2, 3, 4, 5}, {3, 1, 0, 2}},
                                {{3, 4, 12}, {1, 0, 2}}})
    add_each_type(fmt::format("permute of {} to {}", s.str(), dims.str()), {s},
                  [dims = dims](const Tensors& x) { return kernel::permute(x[0], dims); });
  for (int64_t n : {1, 7, 8, 64, 256, 257, 264, 300, 1000, 1024, 1031, 1500, 2048})
    for (double scale : {1.0, -0.3})
      add_row(
          fmt::format("softmax and its vjps, {} times rows of {}", scale, n), std::vector<Shape>(5, {11, n}),
          [scale](const Tensors& x) {
            Tensors out{kernel::softmax(x[0], scale), kernel::softmax_vjp(x[0], x[1], scale)};
            for (const auto& [to_y, to_g] : {std::pair<Tensor, Tensor>{}, {x[3], {}}, {{}, x[4]}, {x[3], x[4]}}) {
              auto [dy, dg] = kernel::softmax_vjp2(x[0], x[1], x[2], scale, to_y, to_g);
              out.insert(out.end(), {dy, dg});
            }
            return out;
          },
          true);
  for (int64_t n : {1, 8, 1003})
    add_row(
        fmt::format("linear and its bias, rows of {}", n), {{3, 2, 4}, {n, 4}, {n}},
        [](const Tensors& x) { return Tensors{kernel::linear(x[0], x[1], x[2])}; }, true);
  for (const auto& [a, b, y] : {std::tuple(Shape{5, 8}, Shape{8, 7}, Shape{5, 7}),
                                {{3, 5, 8}, {3, 8, 7}, {3, 5, 7}},
                                {{2, 1, 5, 8}, {3, 8, 7}, {2, 3, 5, 7}},
                                {{5, 0}, {0, 7}, {5, 7}}})
    add_row(
        fmt::format("a product of {} and {}, and an addend", a.str(), b.str()), {a, b, y, {7}},
        [](const Tensors& x) {
          Tensors out{kernel::matmul(x[0], x[1], {}, x[2]), kernel::matmul(x[0], x[1], {}, x[2].clone()), x[2]};
          if (x[1].rank() == 2) {
            Tensor w = kernel::permute(x[1], {1, 0});
            out.insert(out.end(), {kernel::linear(x[0], w, x[3], x[2]), kernel::linear(x[0], w, {}, x[2]), x[2]});
          }
          return out;
        },
        true);
  // Where nothing else holds what has come, the cotangent of a second product takes its place: no memory is asked for.
  add_row(
      "cotangents of two products", {{64, 64}, {64, 64}, {64, 64}},
      [](const Tensors& t) {
        Var x = Var::leaf(t[0]), w = t[1], u = t[2];
        const Var both[] = {matmul(x, w), linear(x, w)}, cotangents[] = {u, u};
        auto asked = [&](size_t n) {
          int64_t before = memory_stats(x.device()).allocations;
          Tensor d = grad({both, n}, {&x, 1}, {.retain_graph = true}, {cotangents, n})[0].value();
          return std::pair(memory_stats(x.device()).allocations - before, d);
        };
        auto [of_one, d] = asked(1);
        auto [of_both, sum] = asked(2);
        bool in_place = x.device() == Device::cpu || of_both == of_one;
        return Tensors{d, sum, Tensor::scalar(in_place ? 1 : 0, DType::f64)};
      },
      true);
}

}  // namespace vapo
