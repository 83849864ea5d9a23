// vapo bench ops: one row for each operation and pass, at the sizes of an image network.

#include <fmt/format.h>

#include <algorithm>

#include "apps/bench/bench.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "nn/optimizer.h"
#include "tensor/random.h"

namespace vapo::app {
namespace {

using Vars = std::span<const Var>;

double bytes_of(const Shape& s, DType t = operands().dtype) {
  return static_cast<double>(size_of(t)) * static_cast<double>(s.numel());
}

struct Operand {
  Shape shape;
  DType dtype = operands().dtype;
};
// Scale and shift of group norm: of bf16 activations they stay in f32.
Operand of_norm(const Shape& shape) { return {shape, compute_dtype(operands().dtype)}; }

struct ConvSize {
  int64_t in, out, size, batch;
};

void convolutions(Table& table, bool quick) {
  for (ConvSize c : {ConvSize{64, 64, 14, 32},
                     {128, 128, 32, 16},
                     {256, 256, 16, 32},
                     {512, 256, 16, 16},
                     {3, 128, 32, 16},
                     {128, 3, 32, 16},
                     {16, 16, 28, 32},
                     {32, 32, 28, 64},
                     {32, 32, 14, 32},
                     {32, 64, 8, 64},
                     {64, 64, 7, 64},
                     {256, 256, 8, 32},
                     {256, 256, 4, 64},
                     {256, 256, 8, 1}}) {
    if (!table.wants("conv2d")) return;
    if (quick)
      c = {std::max<int64_t>(3, c.in / 8), std::max<int64_t>(3, c.out / 8), std::min<int64_t>(5, c.size), 1};
    Conv2dOptions p{.padding = 1};
    Tensor x = draw({c.batch, c.size, c.size, c.in}, 1), w = draw({c.out, 3, 3, c.in}, 2), b = draw({c.out}, 3);
    Tensor g = kernel::conv2d(x, w, b, p);
    double flops = 2.0 * static_cast<double>(g.numel() * 9 * c.in);
    double bytes = bytes_of(x.shape()) + bytes_of(g.shape());
    Row row{"conv2d 3x3", fmt::format("{}->{} @{}x{} n{}", c.in, c.out, c.size, c.size, c.batch), "", flops, bytes};
    row.pass = "forward";
    table.measure(row, [&] { kernel::conv2d(x, w, b, p); });
    row.pass = "input grad";
    table.measure(row, [&] { kernel::conv2d_input_grad(g, w, x.shape(), p); });
    row.pass = "weight grad";
    table.measure(row, [&] { kernel::conv2d_weight_grad(x, g, w.shape(), p); });
  }
}

// Arrays of the operands' size that each pass reads and writes at least.
struct Traffic {
  double forward, vjp, second;
};

// The three passes of an elementwise, normalising or moving operation. flops: of the forward pass.
void passes(Table& table, const char* name, const std::vector<Operand>& wanted, Traffic arrays, double flops,
            const std::function<Var(Vars)>& f) {
  if (!table.wants(name)) return;
  std::vector<Var> in;
  for (size_t i = 0; i < wanted.size(); ++i) in.push_back(Var::leaf(draw(wanted[i].shape, i).to(wanted[i].dtype)));
  const Shape& shape = wanted[0].shape;
  Row row{name, shape.str(), "forward", flops, arrays.forward * bytes_of(shape)};
  table.measure(row, [&] {
    NoGradGuard off;
    f(in);
  });
  Var y = f(in), g = Var::leaf(draw(y.shape(), 10));
  row = {name, shape.str(), "vjp", 2 * flops, arrays.vjp * bytes_of(shape)};
  table.measure(row, [&] { grad(std::span(&y, 1), in, {.retain_graph = true}, std::span(&g, 1)); });
  if (arrays.second == 0) return;
  Var dx = grad(std::span(&y, 1), std::span(&in[0], 1), {.create_graph = true}, std::span(&g, 1))[0];
  Var u = draw(dx.shape(), 11);
  in.push_back(g);
  row = {name, shape.str(), "double", 4 * flops, arrays.second * bytes_of(shape)};
  table.measure(
      row, [&] { grad(std::span(&dx, 1), in, {.retain_graph = true, .allow_unused = true}, std::span(&u, 1)); });
}

void optimizer(Table& table, bool quick) {
  if (!table.wants("adam")) return;
  Shape s{quick ? 1000 : 1 << 21};
  TensorOptions f32{DType::f32, operands().device};
  kernel::Slot slot{draw(s, 1).to(DType::f32), draw(s, 2).to(DType::f32), Tensor::zeros(s, f32),
                    Tensor::zeros(s, f32), draw(s, 3).to(DType::f32)};
  kernel::AdamUpdate update{1e-4, 0.9, 0.999, 1e-8, 0, false, 1, 1, INFINITY, false, 0.999};
  table.measure({"adam + ema", s.str(), "step", 0, 9 * bytes_of(s, DType::f32)}, [&] {
    kernel::adam_update(std::span(&slot, 1), update);
    ++update.step;
  });
}

}  // namespace

void bench_ops(const BenchOptions& options, const Machine& machine) {
  Table table(options, machine);
  int64_t n = options.batch > 0 ? options.batch : options.quick ? 2 : 16;
  int64_t size = options.quick ? 4 : 32, width = options.quick ? 64 : 128;
  convolutions(table, options.quick);
  Operand image{{n, size, size, width}}, row{{n, 1, 1, width}}, channels = of_norm({width}), modulation{{n, width}},
                                                                each = of_norm({n, width});
  passes(table, "add", {image, image}, {3, 0, 0}, 0, [](Vars x) { return add(x[0], x[1]); });
  passes(table, "mul broadcast", {image, row}, {2, 4, 0}, 0, [](Vars x) { return mul(x[0], x[1]); });
  passes(table, "silu", {image}, {2, 3, 6}, 0, [](Vars x) { return silu(x[0]); });
  passes(table, "group_norm", {image, channels, channels}, {2, 3, 5}, 0,
         [](Vars x) { return group_norm(x[0], x[1], x[2], 32); });
  passes(table, "group_norm_silu", {image, channels, channels, modulation, modulation}, {2, 3, 5}, 0,
         [](Vars x) { return group_norm_silu(x[0], x[1], x[2], 32, 1e-5, x[3], x[4]); });
  passes(table, "norm composite", {image, each, each}, {2, 3, 5}, 0,
         [](Vars x) { return group_norm_composite(x[0], x[1], x[2], {.groups = 32, .silu = true}); });
  passes(table, "avg_pool2d", {image}, {1.25, 1.25, 0}, 0, [](Vars x) { return avg_pool2d(x[0], 2); });
  passes(table, "upsample", {image}, {5, 5, 0}, 0, [](Vars x) { return upsample_nearest2d(x[0], 2); });
  passes(table, "sum over pixels", {image}, {1, 1, 0}, 0, [](Vars x) { return sum(x[0], {1, 2}); });
  int64_t count = size * 8;
  Operand tokens{{n, count, width}};
  double products = 4.0 * static_cast<double>(n * count * count * width);
  passes(table, "attention", {tokens, tokens, tokens}, {4, 8, 16}, products,
         [](Vars x) { return attention(x[0], x[1], x[2], 1); });
  passes(table, "linear", {{{n * 32, 512}}, {{256, 512}}}, {1.5, 2, 3},
         2.0 * static_cast<double>(n) * 32 * 512 * 256, [](Vars x) { return linear(x[0], x[1]); });
  optimizer(table, options.quick);
}

}  // namespace vapo::app
