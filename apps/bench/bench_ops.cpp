// vapo bench ops: one row for each operation and pass, at the sizes of an image network.

#include <fmt/format.h>

#include <algorithm>

#include "apps/bench/bench.h"
#include "apps/bench/timed_ops.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "nn/optimizer.h"
#include "tensor/random.h"

namespace vapo::app {
namespace {

double bytes_of(const Shape& s, DType t = operands().dtype) {
  return static_cast<double>(size_of(t)) * static_cast<double>(s.numel());
}

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

// The three passes of an elementwise, normalising or moving operation.
void passes(Table& table, const TimedOp& op) {
  if (!table.wants(op.name)) return;
  std::vector<Var> in;
  for (const TimedOperand& x : op.operands) in.push_back(Var::leaf(draw(x.shape, in.size()).to(x.dtype)));
  const Shape& shape = in[0].shape();
  auto row = [&](const char* pass, double arrays, double flops) {
    return Row{op.name, shape.str(), pass, flops, arrays * bytes_of(shape)};
  };
  table.measure(row("forward", op.arrays.forward, op.flops), [&] {
    NoGradGuard off;
    op.f(in);
  });
  Var y = op.f(in), g = Var::leaf(draw(y.shape(), 10));
  table.measure(row("vjp", op.arrays.vjp, 2 * op.flops),
                [&] { grad(std::span(&y, 1), in, {.retain_graph = true}, std::span(&g, 1)); });
  if (op.arrays.second == 0) return;
  Var dx = grad(std::span(&y, 1), std::span(&in[0], 1), {.create_graph = true}, std::span(&g, 1))[0];
  Var u = draw(dx.shape(), 11);
  in.push_back(g);
  table.measure(row("double", op.arrays.second, 4 * op.flops), [&] {
    grad(std::span(&dx, 1), in, {.retain_graph = true, .allow_unused = true}, std::span(&u, 1));
  });
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
  convolutions(table, options.quick);
  for (const TimedOp& op : timed_ops(operands().dtype, options.batch, options.quick)) passes(table, op);
  optimizer(table, options.quick);
}

}  // namespace vapo::app
