// Checks, allocation and dispatch to the back end.

#include "tensor/kernels.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "tensor/backend.h"

namespace vapo {

namespace kernel {
namespace {

constexpr const char* binary_names[] = {"add",     "sub",   "mul",         "div",         "maximum",
                                        "minimum", "share", "mul_or_zero", "div_or_zero", "eq",
                                        "ne",      "lt",    "le",          "gt",          "ge"};
static_assert(std::size(binary_names) == binary_count);

void check_floating(const char* op, const Tensor& x) {
  VAPO_CHECK(x.defined(), "[{}] an operand is undefined", op);
  VAPO_CHECK(is_floating(x.dtype()), "[{}] needs f32 or f64, got {} of shape {}", op, name_of(x.dtype()),
             x.shape().str());
}
void check_same_dtype(const char* op, const Tensor& a, const Tensor& b) {
  check_floating(op, a);
  check_floating(op, b);
  VAPO_CHECK(a.dtype() == b.dtype(), "[{}] operands are {} {} and {} {}. Hint: convert one with to()", op,
             name_of(a.dtype()), a.shape().str(), name_of(b.dtype()), b.shape().str());
  VAPO_CHECK(a.device() == b.device(), "[{}] operands {} and {} are on {} and {}. Hint: move one with to()", op,
             a.shape().str(), b.shape().str(), name_of(a.device()), name_of(b.device()));
}
void check_same_shape(const char* op, const Tensor& a, const Tensor& b) {
  check_same_dtype(op, a, b);
  VAPO_CHECK(a.shape() == b.shape(), "[{}] operands have shapes {} and {}", op, a.shape().str(), b.shape().str());
}

// Reduces the runs of neighbouring dimensions of `dims` one after the other, the last first.
Tensor reduce(Reduction r, const char* op, const Tensor& x, const Dims& dims, bool keepdim) {
  check_floating(op, x);
  Shape kept = reduced_shape(x.shape(), dims, true, op), result = reduced_shape(x.shape(), dims, keepdim, op);
  if (r == Reduction::maximum)
    VAPO_CHECK(x.numel() > 0 || kept.numel() == 0, "[{}] of no elements: shape {}", op, x.shape().str());
  bool reduced[Shape::max_rank] = {};
  for (int i = 0; i < x.rank(); ++i) reduced[i] = dims.empty();
  for (int64_t d : dims) reduced[x.shape().wrap(d, op)] = true;

  Tensor y = x;
  Shape shape = x.shape();
  for (int last = shape.rank() - 1; last >= 0; --last) {
    if (!reduced[last]) continue;
    int first = last;
    while (first > 0 && reduced[first - 1]) --first;
    Around run;
    for (int j = 0; j < shape.rank(); ++j) (j < first ? run.outer : j <= last ? run.size : run.inner) *= shape[j];
    for (int j = first; j <= last; ++j) shape[j] = 1;
    if (run.size != 1) {
      Tensor next = Tensor::empty(shape, x.options());
      VAPO_ON(x.device(), reduce_middle(r, y, run, next));
      y = next;
    }
    last = first;
  }
  return y.reshape(result);
}

}  // namespace

Tensor unary(int function, const Tensor& x, double p) {
  check_floating("unary", x);
  Tensor y = Tensor::empty(x.shape(), x.options());
  VAPO_ON(x.device(), unary(function, x, nullptr, nullptr, p, y));
  return y;
}
ValueAndSlope unary_with_slope(int function, const Tensor& x) {
  check_floating("unary_with_slope", x);
  ValueAndSlope out{Tensor::empty(x.shape(), x.options()), Tensor::empty(x.shape(), x.options())};
  VAPO_ON(x.device(), unary_with_slope(function, x, out.value, out.slope));
  return out;
}
Tensor scaled2(int function, const Tensor& x, const Tensor& a, const Tensor& b, double p) {
  check_same_shape("scaled2", x, a);
  check_same_shape("scaled2", x, b);
  Tensor y = Tensor::empty(x.shape(), x.options());
  VAPO_ON(x.device(), unary(function, x, &a, &b, p, y));
  return y;
}
ScaledGrads scaled_vjp(int function, const Tensor& x, const Tensor& a, const Tensor& slope, const Tensor& u) {
  for (const Tensor* other : {&a, &slope, &u}) check_same_shape("scaled_vjp", x, *other);
  ScaledGrads out{Tensor::empty(x.shape(), x.options()), Tensor::empty(x.shape(), x.options())};
  VAPO_ON(x.device(), scaled_vjp(function, x, a, slope, u, out));
  return out;
}
Tensor affine(const Tensor& x, double a, double b) {
  check_floating("affine", x);
  Tensor y = Tensor::empty(x.shape(), x.options());
  VAPO_ON(x.device(), affine(x, a, b, y));
  return y;
}
Tensor fill(const Shape& shape, double value, TensorOptions options) {
  Tensor y = Tensor::empty(shape, options);
  VAPO_ON(y.device(), fill(value, y));
  return y;
}

Tensor binary(Binary op, const Tensor& a, const Tensor& b) {
  const char* name = binary_names[static_cast<int>(op)];
  check_same_dtype(name, a, b);
  Tensor y = Tensor::empty(broadcast_shapes(a.shape(), b.shape(), name), a.options());
  VAPO_ON(a.device(), binary(op, a, b, y));
  return y;
}

Tensor addcmul(const Tensor& c, const Tensor& a, const Tensor& b) {
  check_same_shape("addcmul", a, b);
  check_same_shape("addcmul", a, c);
  Tensor y = Tensor::empty(a.shape(), a.options());
  VAPO_ON(y.device(), addcmul(c, a, b, y));
  return y;
}
std::vector<Tensor> add_each(std::vector<Tensor> a, std::span<const Tensor> b) {
  VAPO_CHECK(a.size() == b.size(), "[add_each] {} tensors and {}", a.size(), b.size());
  if (a.empty()) return a;
  for (size_t i = 0; i < a.size(); ++i) {
    check_same_shape("add_each", a[i], b[i]);
    VAPO_CHECK(a[i].device() == a[0].device(), "[add_each] tensors on {} and {}", name_of(a[0].device()),
               name_of(a[i].device()));
  }
  std::vector<Tensor> y;
  for (const Tensor& x : a) y.push_back(x.held_once() ? x : Tensor::empty(x.shape(), x.options()));
  VAPO_ON(a[0].device(), add_each(a, b, y));
  return y;
}
std::vector<Tensor> convert_each(std::span<const Tensor> xs, DType dtype) {
  std::vector<Tensor> y;
  for (const Tensor& x : xs) {
    VAPO_CHECK(x.device() == xs[0].device() && x.dtype() == xs[0].dtype(),
               "[convert_each] tensors are {} on {} and {} on {}", name_of(xs[0].dtype()), name_of(xs[0].device()),
               name_of(x.dtype()), name_of(x.device()));
    y.push_back(Tensor::empty(x.shape(), {dtype, x.device()}));
  }
  if (!y.empty()) VAPO_ON(y[0].device(), convert_each(xs, y));
  return y;
}
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  check_same_dtype("where", a, b);
  VAPO_CHECK(condition.defined(), "[where] the condition is undefined");
  VAPO_CHECK(condition.dtype() == a.dtype() || !is_floating(condition.dtype()),
             "[where] the condition is {} {}, the operands are {}. Hint: compare in their dtype",
             name_of(condition.dtype()), condition.shape().str(), name_of(a.dtype()));
  VAPO_CHECK(condition.device() == a.device(),
             "[where] the condition {} is on {}, the operands are on {}. Hint: move one with to()",
             condition.shape().str(), name_of(condition.device()), name_of(a.device()));
  Shape shape = broadcast_shapes(condition.shape(), broadcast_shapes(a.shape(), b.shape(), "where"), "where");
  Tensor y = Tensor::empty(shape, a.options());
  VAPO_ON(y.device(),
          where(broadcast_to(condition.to(y.dtype()), shape), broadcast_to(a, shape), broadcast_to(b, shape), y));
  return y;
}

Tensor sum(const Tensor& x, const Dims& dims, bool keepdim) {
  return reduce(Reduction::sum, "sum", x, dims, keepdim);
}
Tensor amax(const Tensor& x, const Dims& dims, bool keepdim) {
  return reduce(Reduction::maximum, "amax", x, dims, keepdim);
}

Tensor cumsum(const Tensor& x, int64_t dim, bool reverse) {
  check_floating("cumsum", x);
  Around along = around(x.shape(), x.shape().wrap(dim, "cumsum"));
  Tensor y = Tensor::empty(x.shape(), x.options());
  if (y.numel() > 0) VAPO_ON(x.device(), cumsum(x, along, reverse, y));
  return y;
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  VAPO_CHECK(broadcasts_to(x.shape(), shape), "[broadcast_to] {} does not broadcast to {}", x.shape().str(),
             shape.str());
  if (x.shape() == shape) return x;
  Tensor y = Tensor::empty(shape, x.options());
  if (y.numel() > 0) VAPO_ON(x.device(), copy_strided(x, broadcast_strides(shape, x.shape()), y));
  return y;
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  VAPO_CHECK(broadcasts_to(shape, x.shape()), "[sum_to] {} is not a broadcast of {}", x.shape().str(), shape.str());
  if (x.shape() == shape) return x;
  Dims dims;
  int shift = x.rank() - shape.rank();
  for (int i = 0; i < x.rank(); ++i)
    if (i < shift || (shape[i - shift] == 1 && x.shape()[i] != 1)) dims.push_back(i);
  return (dims.empty() ? x : sum(x, dims, false)).reshape(shape);
}

Tensor sum_squares(std::span<const Tensor> xs) {
  for (const Tensor& x : xs) check_floating("sum_squares", x);
  for (const Tensor& x : xs)
    VAPO_CHECK(x.device() == xs[0].device(), "[sum_squares] tensors on {} and {}", name_of(xs[0].device()),
               name_of(x.device()));
  Tensor y = Tensor::empty({}, {DType::f64, xs.empty() ? Device::cpu : xs[0].device()});
  VAPO_ON(y.device(), sum_squares(xs, y));
  return y;
}
Tensor norm(const Tensor& x, const Dims& dims, bool keepdim) {
  check_floating("norm", x);
  Tensor squares = unary<Square>(x.to(DType::f64));  // f32 does not hold the square of 1e20, nor of 1e-23
  return unary<Sqrt>(sum(squares, dims, keepdim)).to(x.dtype());
}
bool all_finite(const Tensor& x) {
  check_floating("all_finite", x);
  return VAPO_ON(x.device(), all_finite(x));
}

namespace {
void check_addend(const char* op, const Tensor& add, const Shape& shape, const Tensor& operand) {
  check_same_dtype(op, operand, add);
  VAPO_CHECK(add.shape() == shape, "[{}] addend {} of a result {}", op, add.shape().str(), shape.str());
}
}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b, MatmulOptions o, Tensor add) {
  check_same_dtype("matmul", a, b);
  VAPO_CHECK(a.rank() >= 2 && b.rank() >= 2, "[matmul] operands {} and {} must have at least 2 dimensions",
             a.shape().str(), b.shape().str());
  int64_t m = a.dim(o.transpose_a ? -1 : -2), k = a.dim(o.transpose_a ? -2 : -1);
  int64_t n = b.dim(o.transpose_b ? -2 : -1), kb = b.dim(o.transpose_b ? -1 : -2);
  VAPO_CHECK(k == kb, "[matmul] {}{} × {}{}: inner sizes {} and {} differ", a.shape().str(),
             o.transpose_a ? "ᵀ" : "", b.shape().str(), o.transpose_b ? "ᵀ" : "", k, kb);
  auto batch_of = [](const Tensor& x) {
    return Shape(std::span(x.shape().begin(), static_cast<size_t>(x.rank() - 2)));
  };
  Shape batch = broadcast_shapes(batch_of(a), batch_of(b), "matmul");
  Shape shape = batch;
  shape.push_back(m);
  shape.push_back(n);
  if (add.defined()) check_addend("matmul", add, shape, a);
  Tensor y = add.defined() && add.held_once() ? add.alias() : Tensor::empty(shape, a.options());
  count_flops(2 * static_cast<double>(y.numel()) * static_cast<double>(k));
  MatmulSize size{o.transpose_a, o.transpose_b, m, n, k, broadcast_strides(batch, batch_of(a), batch_of(b))};
  if (y.numel() > 0) VAPO_ON(a.device(), matmul(size, a, b, {}, add, y));
  return y;
}

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b, const Tensor& add) {
  check_same_dtype("linear", x, w);
  VAPO_CHECK(x.rank() >= 1 && w.rank() == 2 && x.dim(-1) == w.dim(1),
             "[linear] input {} (…,in) and weight {} (out,in) do not fit", x.shape().str(), w.shape().str());
  if (b.defined()) {
    check_same_dtype("linear", x, b);
    VAPO_CHECK(b.rank() == 1 && b.dim(0) == w.dim(0), "[linear] bias {} for weight {}: expects ({})",
               b.shape().str(), w.shape().str(), w.dim(0));
  }
  Shape shape = x.shape();
  shape[x.rank() - 1] = w.dim(0);
  if (add.defined()) check_addend("linear", add, shape, x);
  int64_t rows = 1;
  for (int i = 0; i + 1 < x.rank(); ++i) rows *= x.shape()[i];
  Tensor y = Tensor::empty(shape, x.options());
  count_flops(2 * static_cast<double>(y.numel()) * static_cast<double>(w.dim(1)));
  if (y.numel() > 0) VAPO_ON(x.device(), matmul({false, true, rows, w.dim(0), w.dim(1)}, x, w, b, add, y));
  return y;
}

}  // namespace kernel
}  // namespace vapo
