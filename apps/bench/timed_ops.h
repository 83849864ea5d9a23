#pragma once
// The operations that `vapo bench ops` times, at the sizes of an image network. Each of the table of all operations
// (tests/op_cases.h), whose sizes are those of tests, is here or among those that tests/apps/bench_test.cpp excuses.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "autograd/ops.h"

namespace vapo::app {

struct TimedOperand {
  Shape shape;
  DType dtype;
};
struct TimedOp {
  const char* op;    // as autograd/ops.h calls it
  const char* name;  // of its row
  std::vector<TimedOperand> operands;
  // Of the first operand's size: how many each pass reads and writes at least; second = 0: it is not timed.
  struct Arrays {
    double forward, vjp, second;
  } arrays;
  double flops;  // of the forward pass; 0 where memory bounds it
  std::function<Var(std::span<const Var>)> f;
};

// Of that dtype, but for what stays wider beside bf16; batch 0: the table's own.
std::vector<TimedOp> timed_ops(DType dtype, int64_t batch, bool quick);

// A convolution's three passes are operations, each of which is timed by itself.
inline constexpr const char* timed_convolutions[] = {"conv2d", "conv2d_input_grad", "conv2d_weight_grad"};

}  // namespace vapo::app
