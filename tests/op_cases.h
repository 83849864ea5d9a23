#pragma once
// The engine's operations, each at inputs of some shapes: one table. Derivatives are compared with differences over it
// (tests/autograd/op_cases_test.cpp), both back ends with each other (tests/cuda/parity.cpp), and each of its operations
// is timed or said not to be (tests/apps/bench_test.cpp). An operation of autograd/ops.h that it lacks is a failed test.

#include <climits>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "autograd/ops.h"

namespace vapo {

using Vars = std::span<const Var>;
inline constexpr int any_order = INT_MAX;

struct OpTraits {
  // Bounds of the inputs, where the operation has a domain or a kink; they are standard normal otherwise.
  double low = 0, high = 0;
  int order = any_order;    // of the highest derivative that exists; 0: the result is a constant
  bool linear = false;      // in the first input
  bool differences = true;  // false: too large to be compared with differences, or a kink within their reach
};

struct OpCase {
  const char* op;    // as autograd/ops.h calls it
  std::string what;  // which of its cases; may be empty
  std::vector<Shape> shapes;
  std::function<Var(Vars)> f;  // on the device of its inputs
  OpTraits traits;

  std::string name() const;  // op, what and shapes
  // Of that dtype, on the CPU: the same numbers in each, but for their rounding.
  std::vector<Tensor> inputs(DType dtype = DType::f64) const;
};

const std::vector<OpCase>& op_cases();

// Sizes that the table's convolutions and group norms have, for what else is to hold at them.
struct ConvSize {
  const char* what;
  Shape x, w;
  Conv2dOptions options;
  bool large = false;
};
const std::vector<ConvSize>& conv_sizes();

struct NormCase {
  const char* what;
  Shape x;
  int64_t groups;
  bool large = false;
};
const std::vector<NormCase>& norm_cases();
// The fused operation with silu where kind > 0 and a mask of dropout where kind = 2.
inline constexpr int norm_kinds = 3;
kernel::GroupNormOptions norm_options(const NormCase& c, int kind, Device device = Device::cpu);

// The parts of the table.
struct OpTable : std::vector<OpCase> {
  void add(const char* op, std::string what, std::vector<Shape> shapes, const OpTraits& traits,
           std::function<Var(Vars)> f) {
    push_back({op, std::move(what), std::move(shapes), std::move(f), traits});
  }
  void add(const char* op, std::string what, std::vector<Shape> shapes, std::function<Var(Vars)> f) {
    add(op, std::move(what), std::move(shapes), {}, std::move(f));
  }
};
void add_image_ops(OpTable& table);
inline constexpr OpTraits linear_map{.linear = true}, between_back_ends{.differences = false};

}  // namespace vapo
