// Checks, allocation and dispatch of the kernels over images.

#include <atomic>

#include "tensor/backend.h"
#include "tensor/kernels.h"
#include "tensor/precision.h"

namespace vapo {

namespace kernel {
namespace {

void check_pair(const char* op, const Tensor& a, const Tensor& b) {
  VAPO_CHECK(a.defined() && b.defined(), "[{}] an operand is undefined", op);
  VAPO_CHECK(is_floating(a.dtype()) && a.dtype() == b.dtype(), "[{}] operands are {} {} and {} {}", op,
             name_of(a.dtype()), a.shape().str(), name_of(b.dtype()), b.shape().str());
  VAPO_CHECK(a.device() == b.device(), "[{}] operands {} and {} are on {} and {}. Hint: move one with to()", op,
             a.shape().str(), b.shape().str(), name_of(a.device()), name_of(b.device()));
}
Shape output_shape(const ConvGeometry& s) { return {s.n, s.oh, s.ow, s.o}; }
void check_cotangent(const char* op, const ConvGeometry& s, const Tensor& g) {
  VAPO_CHECK(g.shape() == output_shape(s), "[{}] cotangent {}, expects {}", op, g.shape().str(),
             output_shape(s).str());
}
// A 1×1 window that moves by one pixel: a product of matrices.
bool is_product(const ConvGeometry& s) {
  return s.kh == 1 && s.kw == 1 && s.p.groups == 1 && s.p.stride == Pair(1) && s.p.padding == Pair(0);
}
void check_addend(const char* op, const Tensor& x, const Tensor& add, const Shape& y) {
  if (!add.defined()) return;
  check_pair(op, x, add);
  VAPO_CHECK(add.shape() == y, "[{}] {} to add, expects {}", op, add.shape().str(), y.str());
}
Tensor with_addend(const Tensor& y, const Tensor& add) {
  if (add.defined()) VAPO_ON(y.device(), binary(Binary::add, y, add, y));
  return y;
}
// Convolutions of x that a GPU computes by cuDNN's plans, whose kernels add a bias and a tensor without a pass of its own.
bool takes_plans(const Tensor& x) {
  return x.device() == Device::cuda &&
         (x.dtype() == DType::bf16 || (x.dtype() == DType::f32 && precision() != Precision::strict));
}
Tensor rows_of(const Tensor& x) { return x.reshape({x.dim(0) * x.dim(1) * x.dim(2), x.dim(3)}); }

constinit std::atomic<int64_t> convolutions = 0;
constinit std::atomic<double> flops = 0;

}  // namespace

double flop_count() { return flops.load(std::memory_order_relaxed); }
int64_t convolution_count() { return convolutions.load(std::memory_order_relaxed); }

Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& p, const Tensor& add) {
  check_pair("conv2d", x, w);
  convolutions.fetch_add(1, std::memory_order_relaxed);
  ConvGeometry s = conv_geometry("conv2d", x.shape(), w.shape(), p);
  if (b.defined()) {
    check_pair("conv2d", x, b);
    VAPO_CHECK(b.shape() == Shape{s.o}, "[conv2d] bias {} for weight {}: expects ({})", b.shape().str(),
               w.shape().str(), s.o);
  }
  check_addend("conv2d", x, add, output_shape(s));
  if (is_product(s) && !(takes_plans(x) && (b.defined() || add.defined())))
    return with_addend(linear(rows_of(x), w.reshape({s.o, s.c}), b).reshape(output_shape(s)), add);
  count_flops(s.flops());
  Tensor y = Tensor::empty(output_shape(s), x.options());
  VAPO_ON(x.device(), conv2d(s, x, w, b, add, y));
  return y;
}

Tensor conv2d_input_grad(const Tensor& g, const Tensor& w, const Shape& x_shape, const Conv2dOptions& p,
                         const Tensor& add) {
  check_pair("conv2d_input_grad", g, w);
  convolutions.fetch_add(1, std::memory_order_relaxed);
  ConvGeometry s = conv_geometry("conv2d_input_grad", x_shape, w.shape(), p);
  check_cotangent("conv2d_input_grad", s, g);
  check_addend("conv2d_input_grad", g, add, x_shape);
  if (is_product(s) && !(takes_plans(g) && add.defined()))
    return with_addend(matmul(rows_of(g), w.reshape({s.o, s.c})).reshape(x_shape), add);
  count_flops(s.flops());
  Tensor dx = Tensor::empty(x_shape, g.options());
  VAPO_ON(g.device(), conv2d_input_grad(s, g, w, add, dx));
  return dx;
}

Tensor conv2d_weight_grad(const Tensor& x, const Tensor& g, const Shape& w_shape, const Conv2dOptions& p) {
  check_pair("conv2d_weight_grad", x, g);
  convolutions.fetch_add(1, std::memory_order_relaxed);
  ConvGeometry s = conv_geometry("conv2d_weight_grad", x.shape(), w_shape, p);
  check_cotangent("conv2d_weight_grad", s, g);
  if (is_product(s)) return matmul(rows_of(g), rows_of(x), {.transpose_a = true}).reshape(w_shape);
  count_flops(s.flops());
  Tensor dw = Tensor::empty(w_shape, x.options());
  VAPO_ON(x.device(), conv2d_weight_grad(s, x, g, dw));
  return dw;
}

Tensor pool_sum2d(const Tensor& x, Pair k, double scale) {
  VAPO_CHECK(x.rank() == 4 && is_floating(x.dtype()), "[pool_sum2d] {} {} is no image (N,H,W,C) of f32 or f64",
             name_of(x.dtype()), x.shape().str());
  VAPO_CHECK(k.h >= 1 && k.w >= 1 && x.dim(1) % k.h == 0 && x.dim(2) % k.w == 0,
             "[pool_sum2d] windows of {}×{} do not tile an image of {}×{}", k.h, k.w, x.dim(1), x.dim(2));
  Tensor y = Tensor::empty({x.dim(0), x.dim(1) / k.h, x.dim(2) / k.w, x.dim(3)}, x.options());
  VAPO_ON(x.device(), pool_sum2d(x, k, scale, y));
  return y;
}

Tensor upsample_nearest2d(const Tensor& x, Pair k, double scale) {
  VAPO_CHECK(x.rank() == 4 && is_floating(x.dtype()),
             "[upsample_nearest2d] {} {} is no image (N,H,W,C) of f32 or f64", name_of(x.dtype()), x.shape().str());
  VAPO_CHECK(k.h >= 1 && k.w >= 1, "[upsample_nearest2d] scale ({},{}) must be at least 1", k.h, k.w);
  Tensor y = Tensor::empty({x.dim(0), x.dim(1) * k.h, x.dim(2) * k.w, x.dim(3)}, x.options());
  VAPO_ON(x.device(), upsample_nearest2d(x, k, scale, y));
  return y;
}

namespace {
ConvGeometry windows(const char* op, const Tensor& x, const Window& k) {
  VAPO_CHECK(x.defined() && x.rank() == 4 && is_floating(x.dtype()) && x.dim(1) >= 1 && x.dim(2) >= 1,
             "[{}] {} {} is no image (N,H,W,C) of f32 or f64", op, x.defined() ? name_of(x.dtype()) : "undefined",
             x.defined() ? x.shape().str() : "");
  VAPO_CHECK(k.padding.h < k.size.h && k.padding.w < k.size.w,
             "[{}] padding ({},{}) is no less than the window of {}×{}", op, k.padding.h, k.padding.w, k.size.h,
             k.size.w);
  return conv_geometry(op, x.shape(), {x.dim(3), k.size.h, k.size.w, x.dim(3)},
                       {.stride = k.stride, .padding = k.padding});
}
}  // namespace

Tensor pool2d(Pool pool, const Tensor& x, const Window& k) {
  ConvGeometry s = windows("pool2d", x, k);
  Tensor y = Tensor::empty(output_shape(s), x.options());
  VAPO_ON(x.device(), pool2d(s, pool, x, y));
  return y;
}

Maxima max_pool2d(const Tensor& x, const Window& k) {
  ConvGeometry s = windows("max_pool2d", x, k);
  Maxima out{Tensor::empty(output_shape(s), x.options()), Tensor::empty(output_shape(s), {DType::i64, x.device()})};
  VAPO_ON(x.device(), max_pool2d(s, x, out.y, out.index));
  return out;
}

}  // namespace kernel

void count_flops(double flops) { kernel::flops.fetch_add(flops, std::memory_order_relaxed); }

}  // namespace vapo
