#pragma once
// Every Tensor → Tensor operation, with its shape contract. Nothing here knows of derivatives. All results are
// fresh tensors; operands must agree in dtype (there is no promotion) and device unless a line says otherwise.
// Errors are vapo::Error with the operation's name and the shapes.

#include <cmath>
#include <compare>
#include <span>
#include <vector>

#include "tensor/functions.h"
#include "tensor/random.h"
#include "tensor/tensor.h"

namespace vapo::kernel {

// ---- elementwise, one operand: y = f(x), with p the function's parameter (functions.h says which has one)
Tensor unary(int function, const Tensor& x, double p);
struct ValueAndSlope {
  Tensor value, slope;
};
ValueAndSlope unary_with_slope(int function, const Tensor& x);  // f(x) and f'(x) in one pass; f one of Towers
Tensor scaled2(int function, const Tensor& x, const Tensor& a, const Tensor& b, double p);  // a·b·f(x), same shapes
// The vjp of a·f'(x) for the cotangent u, where f'(x) is known: a·u·f''(x) and u·f'(x), in one pass. `function` is f''.
struct ScaledGrads {
  Tensor dx, da;
};
ScaledGrads scaled_vjp(int function, const Tensor& x, const Tensor& a, const Tensor& slope, const Tensor& u);
template <class F>
Tensor unary(const Tensor& x, double p = 0) {
  return unary(Functions::index_of<F>(), x, p);
}
Tensor affine(const Tensor& x, double a, double b);  // a·x + b
Tensor fill(const Shape& shape, double value, TensorOptions options);

// ---- elementwise, two operands, broadcast by NumPy's rule
enum class Binary {
  add,
  sub,
  mul,
  div,
  maximum,
  minimum,
  share,        // 0 where a < b, ½ where a = b, else (at NaN too) 1: the slope of maximum(a, b) in a
  mul_or_zero,  // a·b, and 0 where b = 0, even beside an infinite or NaN a
  div_or_zero,  // a/b, and 0 where b = 0
  eq,  // the comparisons: 1 or 0 in the operands' dtype. NaN is unequal to all, and neither above nor below
  ne,
  lt,
  le,
  gt,
  ge
};
inline constexpr int binary_count = static_cast<int>(Binary::ge) + 1;
Tensor binary(Binary op, const Tensor& a, const Tensor& b);
std::vector<Tensor> convert_each(std::span<const Tensor> xs,
                                 DType dtype);  // each in that dtype; all of one, and on one device
Tensor addcmul(const Tensor& c, const Tensor& a, const Tensor& b);  // c + a·b, of one shape
// a[i] + b[i], each pair of one shape and dtype, all on one device; in the memory of a[i] where nothing else has it.
std::vector<Tensor> add_each(std::vector<Tensor> a, std::span<const Tensor> b);

// a where the condition is not 0 (NaN is not), else b; all three broadcast. The condition is of a's and b's dtype,
// as comparisons give it, or u8 or i64.
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);

// ---- reductions and running sums. dims empty = all; keepdim leaves 1 in their place
Tensor sum(const Tensor& x, const Dims& dims, bool keepdim);
Tensor amax(const Tensor& x, const Dims& dims, bool keepdim);  // of at least one element
// Element i along dim is the sum of elements 0 … i of x, or of i … n−1 where `reverse`. Sums run in f64.
Tensor cumsum(const Tensor& x, int64_t dim, bool reverse = false);
Tensor broadcast_to(const Tensor& x, const Shape& shape);
Tensor sum_to(const Tensor& x, const Shape& shape);  // the adjoint of broadcast_to
Tensor sum_squares(std::span<const Tensor> xs);      // Σx² over all elements of all tensors: f64 ()
bool all_finite(const Tensor& x);
Tensor norm(const Tensor& x, const Dims& dims, bool keepdim);  // √Σx²: squares and sums in f64

// ---- matrix products
struct MatmulOptions {
  bool transpose_a = false, transpose_b = false;  // of the last two dimensions, without a copy
};
// (…,m,k) × (…,k,n) → (…,m,n) after the flags; batch dimensions broadcast. Rank ≥ 2. `add`, of the result's shape or
// undefined, is added: on the CPU with the bits of an addition afterwards, on a GPU rounded once. There, where it is moved
// in and nothing else holds its elements, the result takes their place.
Tensor matmul(const Tensor& a, const Tensor& b, MatmulOptions options = {}, Tensor add = {});
// x (…,in), w (out,in), b (out) or undefined → (…,out):  x wᵀ + b, plus `add`, of the result's shape or undefined.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& b, const Tensor& add = {});

// ---- images: x (N,H,W,C), channels last. Sizes given as (height, width), or one number for both
struct Pair {
  int64_t h, w;
  Pair(int64_t both) : h(both), w(both) {}
  Pair(int64_t h_, int64_t w_) : h(h_), w(w_) {}
  friend auto operator<=>(const Pair&, const Pair&) = default;
};
struct Conv2dOptions {
  Pair stride = 1, padding = 0, dilation = 1;  // padding with zeros, on both sides alike
  int64_t groups = 1;                          // channels [i·C/groups, …) of x meet outputs [i·O/groups, …)
  friend auto operator<=>(const Conv2dOptions&, const Conv2dOptions&) = default;
};
// The convolution and its two adjoints: bilinear, and closed under differentiation. `add`, of the result's shape or
// undefined, is added to the result: on the CPU with the bits of an addition afterwards, on a GPU rounded once.
// w (O,kH,kW,C/groups), b (O) or undefined → y (N,H',W',O),  H' = ⌊(H + 2·padding − dilation·(kH−1) − 1)/stride⌋ + 1
Tensor conv2d(const Tensor& x, const Tensor& w, const Tensor& b, const Conv2dOptions& p, const Tensor& add = {});
// g (N,H',W',O), w → x_shape: ⟨conv2d(x,w), g⟩ = ⟨x, conv2d_input_grad(g,w)⟩
Tensor conv2d_input_grad(const Tensor& g, const Tensor& w, const Shape& x_shape, const Conv2dOptions& p,
                         const Tensor& add = {});
// x, g → w_shape: ⟨conv2d(x,w), g⟩ = ⟨w, conv2d_weight_grad(x,g)⟩
Tensor conv2d_weight_grad(const Tensor& x, const Tensor& g, const Shape& w_shape, const Conv2dOptions& p);
int64_t convolution_count();  // calls of the three since the program started: what a step costs
double flop_count();          // of products and convolutions since then, by the definition: 2 a multiply-add
// Sums over windows of k.h × k.w, times scale: (N,H,W,C) → (N,H/k,W/k,C); k divides H and W. Its adjoint repeats.
Tensor pool_sum2d(const Tensor& x, Pair k, double scale);
Tensor upsample_nearest2d(const Tensor& x, Pair k, double scale);
enum class Pool { maximum, mean };
struct Window {
  Pair size, stride = 1, padding = 0;  // padding is smaller than size: no window lies outside
};
// Of the pixels of each window that lie inside the image, as many as these are: (N,H,W,C) → (N,H',W',C), H' as
// conv2d's. Of inference alone: it has no adjoint here.
Tensor pool2d(Pool pool, const Tensor& x, const Window& window);
struct Maxima {
  Tensor y, index;  // (N,H',W',C); index i64: the pixel, row·W + column
};
// pool2d's maxima with where they lie: the first of equal ones; a NaN, the last one, before all numbers. Adjoint:
// scatter_add at the index, along the pixels.
Maxima max_pool2d(const Tensor& x, const Window& window);

// ---- group normalisation with what follows it, in one operation. x (N,…,C); a, s (N,C), f32
// where x is bf16. In each sample and group
// of channels, with mean, variance and sums over the group's M elements:
//   ŷ = (x − mean)·rstd,  rstd = 1/√(var + eps),   z = a·ŷ + s,   y = m·φ(z)
// φ = silu or the identity; m = mask·mask_scale where there is a dropout mask (u8, 0 or 1, x's shape), else 1.
struct GroupNormOptions {
  int64_t groups = 1;  // divides C
  double eps = 1e-5;
  bool silu = false;
  Tensor mask = {};
  double mask_scale = 1;
};
struct Normalized {
  Tensor y, mean, rest, rstd;  // statistics (N,groups), from f64 sums: the derivatives take them back. The mean is
                               // mean + rest: of a constant group ŷ is 0, to the last bit
};
Normalized group_norm(const Tensor& x, const Tensor& a, const Tensor& s, const GroupNormOptions& p);
// Cotangents of x, a and s for the cotangent g of y; dx is left undefined where it is not wanted. Here and in the second
// derivative what `add` has (of the results' shapes and dtypes, or undefined) is added to them before they are rounded.
struct NormGrads {
  Tensor dx = {}, da = {}, ds = {};
};
NormGrads group_norm_vjp(const Tensor& x, const Tensor& a, const Tensor& s, const Tensor& g,
                         const Normalized& stats, const GroupNormOptions& p, bool want_dx = true,
                         const NormGrads& add = {});
// The second derivative: the gradient of ⟨u, dx⟩ + ⟨ua, da⟩ + ⟨us, ds⟩ in x, a, s and g. u, ua, us may be undefined (0).
struct NormGrads2 {
  Tensor dx = {}, da = {}, ds = {}, dg = {};
};
NormGrads2 group_norm_vjp2(const Tensor& x, const Tensor& a, const Tensor& s, const Tensor& g, const Tensor& u,
                           const Tensor& ua, const Tensor& us, const Normalized& stats, const GroupNormOptions& p,
                           const NormGrads2& add = {});

// What group_norm takes for n samples from weights w, b (C) and e (N,2C) = [scale, shift], or undefined: both 0.
//   a = w·(one + scale),  s = b·(one + scale) + shift;  f32 or f64
// With one = 0 the map is its own derivative in e.
struct NormCoefficients {
  Tensor a, s;  // (N,C)
};
NormCoefficients norm_coefficients(const Tensor& w, const Tensor& b, const Tensor& e, int64_t n, double one = 1);
// Cotangents of w, b and e for those of a and s, of which one may be undefined (0):
//   dw = Σₙ da·(one + scale),  db = Σₙ ds·(one + scale),  de = [da·w + ds·b, ds]
// Sums run in f64. dw and db, and de, are left undefined where they are not wanted.
struct CoefficientGrads {
  Tensor dw, db, de;
};
CoefficientGrads norm_coefficients_vjp(const Tensor& w, const Tensor& b, const Tensor& e, const Tensor& da,
                                       const Tensor& ds, double one = 1, bool want_weights = true,
                                       bool want_e = true);

// ---- y = softmax(scale·x) over the last dimension, and the cotangent of x for the cotangent g of y:
//   dx = scale·y·(g − ⟨y,g⟩)
Tensor softmax(const Tensor& x, double scale = 1);
Tensor softmax_vjp(const Tensor& y, const Tensor& g, double scale = 1);
// The second derivative: the gradient of ⟨u, dx⟩ in y and g. add_dy and add_dg, of their shape or undefined, are added:
// on the CPU with the bits of an addition afterwards, on a GPU rounded once.
//   dy = scale·(u·(g − ⟨y,g⟩) − g·⟨y,u⟩),  dg = scale·y·(u − ⟨y,u⟩)
struct SoftmaxGrads2 {
  Tensor dy, dg;
};
SoftmaxGrads2 softmax_vjp2(const Tensor& y, const Tensor& g, const Tensor& u, double scale = 1,
                           const Tensor& add_dy = {}, const Tensor& add_dg = {});
// u8: 0 with probability p, else 1
Tensor dropout_mask(const Shape& shape, double p, const RandomKey& key, Device device = Device::cpu);

// ---- moving elements (any dtype)
Tensor permute(const Tensor& x, const Dims& dims);  // result dimension i is dimension dims[i] of x
Tensor concat(std::span<const Tensor> xs, int64_t dim);
// The pieces of x along dim, of these sizes, which add up; those that are not wanted are left undefined.
std::vector<Tensor> split(const Tensor& x, int64_t dim, const std::vector<int64_t>& sizes,
                          const std::vector<bool>& wanted);
Tensor slice(const Tensor& x, int64_t dim, int64_t start, int64_t stop,
             int64_t step);  // 0 ≤ start ≤ stop ≤ size, step ≥ 1
Tensor unslice(const Tensor& g, const Shape& shape, int64_t dim, int64_t start,
               int64_t step);                                            // its adjoint: zeros elsewhere
Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index);  // index (n) i64, in range
Tensor index_add(const Tensor& g, const Shape& shape, int64_t dim,
                 const Tensor& index);  // its adjoint: repeats add up
// y[…,k,…] = x[…,index[…,k,…],…] along dim. index: i64, x's shape but along dim, entries in [0, x.dim(dim)); the
// result has its shape. in_range: the caller knows that they are, and a GPU need not be waited for.
Tensor gather(const Tensor& x, int64_t dim, const Tensor& index, bool in_range = false);
// Its adjoint: y[…,index[…,k,…],…] += g[…,k,…] on zeros of `shape`; repeats add up in the order of k, on any device.
Tensor scatter_add(const Tensor& g, const Shape& shape, int64_t dim, const Tensor& index, bool in_range = false);

// ---- steps of embedded Runge–Kutta pairs: a state y (N,…), f32 or f64, and up to 7 derivatives k_j like it
inline constexpr size_t most_derivatives = 7;
struct RowSteps {  // of all rows alike or, where `each` is defined, of each
  double h = 1, rtol = 0, atol = 0;
  Tensor each = {};  // (N,3) f64, y's device: h, rtol and atol of every row
};
// y + h Σ_j w_j k_j, without the terms whose weight or h is 0, whatever their derivatives are
Tensor runge_kutta_step(const Tensor& y, std::span<const Tensor> ks, std::span<const double> weights,
                        const RowSteps& steps);
// Of all rows together (1,2), or of each (N,2), f64: Σ (h Σ_j w_j k_j / (atol + rtol·max(|a|, |b|)))² over the
// elements, and how many of b are not finite. What a row gives does not depend on the others.
Tensor runge_kutta_error(const Tensor& a, const Tensor& b, std::span<const Tensor> ks,
                         std::span<const double> weights, const RowSteps& steps);

// ---- the only kernels that write into existing storage: optimizers and EMA, f32 or f64, all tensors in one call
struct GradientNorm {  // of all gradients of a step, where they lie
  Tensor squares =
      {};  // ‖g‖², from sum_squares. Where it is not finite nothing is written; undefined: not looked at
  double limit = INFINITY;  // gradients are scaled to at most this norm: by min(1, limit/(‖g‖ + 1e-6))
};
struct AdamUpdate {
  double lr, beta1, beta2, eps, weight_decay;  // weight_decay is decoupled (AdamW) when `decoupled`
  bool decoupled;
  int64_t step;       // counts from 1: bias correction
  double grad_scale;  // every gradient is multiplied by this first (norm clipping)
  double clip_value;  // then clamped to ±clip_value; infinity for none
  bool clip_std;      // or each entry to ±(3·√v̂ + 0.1), v̂ the bias-corrected second moment before this step
  double ema_decay;   // e ← d·e + (1−d)·p, where an `ema` is given
  GradientNorm norm = {};
};
struct Slot {  // one parameter with what belongs to it; `ema` and `v` may be undefined
  Tensor param, grad, m, v, ema;
};
void adam_update(std::span<const Slot> slots, const AdamUpdate& update);
struct SgdUpdate {
  double lr, momentum, weight_decay;
  bool nesterov;
  double grad_scale, clip_value, ema_decay;
  GradientNorm norm = {};
};
void sgd_update(std::span<const Slot> slots, const SgdUpdate& update);
void lamb_update(std::span<const Slot> slots,
                 const AdamUpdate& update);  // Adam's direction, scaled to ‖p‖/‖direction‖ per tensor
void copy_into(const Tensor& target, const Tensor& source);  // same shape; dtype converted; from any device to any

}  // namespace vapo::kernel
