#include "apps/bench/timed_ops.h"

namespace vapo::app {

std::vector<TimedOp> timed_ops(DType dtype, int64_t batch, bool quick) {
  using Vars = std::span<const Var>;
  int64_t n = batch > 0 ? batch : quick ? 2 : 16;
  int64_t size = quick ? 4 : 32, width = quick ? 64 : 128, count = size * 8;
  DType wide = compute_dtype(dtype);  // scale and shift of group norm: of bf16 activations they stay in f32
  TimedOperand image{{n, size, size, width}, dtype}, row{{n, 1, 1, width}, dtype}, channels{{width}, wide},
      modulation{{n, 2 * width}, dtype}, each{{n, width}, wide}, tokens{{n, count, width}, dtype};
  double products = 4.0 * static_cast<double>(n * count * count * width);
  std::vector<TimedOp> ops;
  auto add = [&](const char* op, const char* name, std::vector<TimedOperand> operands, TimedOp::Arrays arrays,
                 double flops, const std::function<Var(Vars)>& f) {
    ops.push_back({op, name, std::move(operands), arrays, flops, f});
  };
  add("add", "add", {image, image}, {3, 0, 0}, 0, [](Vars x) { return x[0] + x[1]; });
  add("mul", "mul broadcast", {image, row}, {2, 4, 0}, 0, [](Vars x) { return mul(x[0], x[1]); });
  add("silu", "silu", {image}, {2, 3, 6}, 0, [](Vars x) { return silu(x[0]); });
  add("group_norm", "group_norm", {image, channels, channels}, {2, 3, 5}, 0,
      [](Vars x) { return group_norm(x[0], x[1], x[2], 32); });
  add("group_norm_silu", "group_norm_silu", {image, channels, channels, modulation}, {2, 3, 5}, 0,
      [](Vars x) { return group_norm_silu(x[0], x[1], x[2], 32, 1e-5, x[3]); });
  add("group_norm_composite", "norm composite", {image, each, each}, {2, 3, 5}, 0,
      [](Vars x) { return group_norm_composite(x[0], x[1], x[2], {.groups = 32, .silu = true}); });
  add("avg_pool2d", "avg_pool2d", {image}, {1.25, 1.25, 0}, 0, [](Vars x) { return avg_pool2d(x[0], 2); });
  add("upsample_nearest2d", "upsample", {image}, {5, 5, 0}, 0, [](Vars x) { return upsample_nearest2d(x[0], 2); });
  add("sum", "sum over pixels", {image}, {1, 1, 0}, 0, [](Vars x) { return sum(x[0], {1, 2}); });
  add("attention", "attention", {tokens, tokens, tokens}, {4, 8, 16}, products,
      [](Vars x) { return attention(x[0], x[1], x[2], 1); });
  add("linear", "linear", {{{n * 32, 512}, dtype}, {{256, 512}, dtype}}, {1.5, 2, 3},
      2.0 * static_cast<double>(n) * 32 * 512 * 256, [](Vars x) { return linear(x[0], x[1]); });
  return ops;
}

}  // namespace vapo::app
