#pragma once
// Every differentiable operation, one line of mathematics each. All can be differentiated again, to any order
// unless a line gives its limit. Shapes and errors are those of tensor/kernels.h.

#include <optional>
#include <span>
#include <vector>

#include "autograd/var.h"
#include "tensor/operators.h"

namespace vapo {

// ---- two operands, broadcast
Var add(const Var& a, const Var& b);
Var sub(const Var& a, const Var& b);
Var mul(const Var& a, const Var& b);
Var div(const Var& a, const Var& b);
Var addcmul(const Var& c, const Var& a, const Var& b);  // c + a·b, all of one shape
Var maximum(const Var& a, const Var& b);                // NaN if either is. Slopes: ½ each at a tie, 1 each at NaN
Var minimum(const Var& a, const Var& b);
// 1 or 0 in the operands' dtype: constants, which `where` takes. NaN is unequal to all, and neither above nor below.
Var eq(const Var& a, const Var& b);
Var ne(const Var& a, const Var& b);
Var lt(const Var& a, const Var& b);
Var le(const Var& a, const Var& b);
Var gt(const Var& a, const Var& b);
Var ge(const Var& a, const Var& b);
Var where(const Var& condition, const Var& a,
          const Var& b);  // a where it is not 0, else b; no slope in the condition
inline Var operator+(const Var& a, const Var& b) { return add(a, b); }
inline Var operator-(const Var& a, const Var& b) { return sub(a, b); }
inline Var operator*(const Var& a, const Var& b) { return mul(a, b); }
inline Var operator/(const Var& a, const Var& b) { return div(a, b); }
Var affine(const Var& x, double a, double b);  // a·x + b
Var to(const Var& x, DType dtype);             // x itself where it has that dtype; the cotangent is converted back
inline Var operator*(double a, const Var& x) { return affine(x, a, 0); }
inline Var operator*(const Var& x, double a) { return affine(x, a, 0); }
inline Var operator/(const Var& x, double a) { return affine(x, 1 / a, 0); }
inline Var operator+(const Var& x, double b) { return affine(x, 1, b); }
inline Var operator+(double b, const Var& x) { return affine(x, 1, b); }
inline Var operator-(const Var& x, double b) { return affine(x, 1, -b); }
inline Var operator-(double b, const Var& x) { return affine(x, -1, b); }

// x·mask, and 0 where the mask is 0 though x be infinite or NaN: how a vjp selects. No slope in the mask.
Var masked(const Var& x, const Tensor& mask);

// ---- one operand
Var neg(const Var& x);
inline Var operator-(const Var& x) { return neg(x); }
Var exp(const Var& x);
Var expm1(const Var& x);  // e^x − 1, exact near 0
Var log(const Var& x);
Var log1p(const Var& x);  // log(1 + x), exact near 0
Var sqrt(const Var& x);
Var rsqrt(const Var& x);  // x^(−½)
Var square(const Var& x);
Var sin(const Var& x);
Var cos(const Var& x);
Var abs(const Var& x);  // slope 0 at 0, NaN at NaN
Var pow(const Var& x, double exponent);
Var relu(const Var& x);  // slope 0 at 0, 1 at NaN
Var leaky_relu(const Var& x, double slope = 0.01);
// min(max(x, min), max), either side optional; all is `max` where min > max. Slope 1 between the bounds, 0 on and
// outside them and at NaN; NaN stays NaN.
Var clamp(const Var& x, std::optional<double> min, std::optional<double> max = {});
Var tanh(const Var& x);      // this and the next four: up to the third derivative
Var sigmoid(const Var& x);   // 1/(1+e^−x)
Var silu(const Var& x);      // x·sigmoid(x)
Var gelu(const Var& x);      // x·½(1+erf(x/√2))
Var softplus(const Var& x);  // log(1+e^x)

// ---- reductions and running sums: dims empty = all
Var sum(const Var& x, const Dims& dims = {}, bool keepdim = false);
Var mean(const Var& x, const Dims& dims = {}, bool keepdim = false);
// Σ(x − mean)²/(n − correction) over n elements: NaN where n ≤ correction and all are equal, ∞ where they are not.
Var var(const Var& x, const Dims& dims = {}, double correction = 1, bool keepdim = false);
Var amax(const Var& x, const Dims& dims = {}, bool keepdim = false);  // the slope is shared evenly by equal maxima
// log Σ e^x, shifted by the maximum: −∞ of −∞ alone, +∞ beside a +∞. There, and in softmax, slopes are NaN at ±∞.
Var logsumexp(const Var& x, const Dims& dims = {}, bool keepdim = false);
// e^(scale·x)/Σe^(scale·x), over all of dims together
Var softmax(const Var& x, const Dims& dims = {}, double scale = 1);
Var norm(const Var& x, const Dims& dims = {}, bool keepdim = false);  // √Σx², slope 0 at 0
Var cumsum(const Var& x, int64_t dim, bool reverse = false);  // x₀ + … + x_i; adjoint: the other direction
Var broadcast_to(const Var& x, const Shape& shape);           // adjoint: sum_to
Var sum_to(const Var& x, const Shape& shape);                 // adjoint: broadcast_to

// ---- matrix products
Var matmul(const Var& a, const Var& b, kernel::MatmulOptions options = {});
// x wᵀ + b: x (…,in), w (out,in), b (out) or undefined; plus `add`, of the result's shape, or undefined.
Var linear(const Var& x, const Var& w, const Var& b = {}, const Var& add = {});

// ---- images (N,H,W,C); weights (O,kH,kW,C/groups)
using kernel::Conv2dOptions;
using kernel::Pair;
// The convolution, b (O) or undefined, and its adjoints in x and in w; plus `add`, of the result's shape, or undefined.
Var conv2d(const Var& x, const Var& w, const Var& b = {}, const Conv2dOptions& p = {}, const Var& add = {});
Var conv2d_input_grad(const Var& g, const Var& w, const Shape& x_shape, const Conv2dOptions& p,
                      const Var& add = {});
Var conv2d_weight_grad(const Var& x, const Var& g, const Shape& w_shape, const Conv2dOptions& p);
Var avg_pool2d(const Var& x, Pair k);  // means of windows of k; leftover rows and columns are dropped
// The maxima of windows; the cotangent goes to the first of equal ones, or to a NaN, which comes before all numbers.
Var max_pool2d(const Var& x, const kernel::Window& window);
Var upsample_nearest2d(const Var& x, Pair k);  // every pixel k.h × k.w times; adjoint: k.h·k.w·avg_pool2d
struct Pad2d {
  int64_t left = 0, right = 0, top = 0, bottom = 0;  // zeros around; negative ones cut off
};
Var pad2d(const Var& x, Pad2d pads);

// ---- normalisation and attention, over (N,…,C)
struct Dropout {  // with probability p an element becomes 0, the others are divided by 1−p; p = 0: none
  double p = 0;
  RandomKey key = {};  // the same key gives the same mask: one constant in the forward, inner and outer passes
};
Var dropout(const Var& x, const Dropout& d);
// Each sample's groups of channels to mean 0 and variance 1, then w·ŷ + b per channel; w, b (C).
Var group_norm(const Var& x, const Var& w, const Var& b, int64_t groups, double eps = 1e-5);
// dropout(silu(group_norm(x)·(1 + scale) + shift)) in one pass; e (N,2C) = [scale, shift], or undefined: both 0.
Var group_norm_silu(const Var& x, const Var& w, const Var& b, int64_t groups, double eps = 1e-5, const Var& e = {},
                    const Dropout& d = {});
// {a, s} (N,C) of n samples for the next: a = w·(1 + scale), s = b·(1 + scale) + shift; w, b (C), e as above.
std::vector<Var> norm_coefficients(const Var& w, const Var& b, const Var& e, int64_t n);
// m·φ(a·ŷ + s), a and s (N,C): what the two above are made of. The fused kernels hold the forward, the first and
// the second derivative; from the third on `group_norm_composite`, the same map out of elementwise operations, takes over.
Var group_norm_fused(const Var& x, const Var& a, const Var& s, const kernel::GroupNormOptions& p);
Var group_norm_composite(const Var& x, const Var& a, const Var& s, const kernel::GroupNormOptions& p);
// softmax(q kᵀ/√d) v in each head; q, k, v (N,T,C) and (N,S,C), channels [i·d, (i+1)·d) are head i, d = C/heads.
// Holds N·heads·T·S weights.
Var attention(const Var& q, const Var& k, const Var& v, int64_t heads);

// ---- moving elements: linear maps in adjoint pairs
Var reshape(const Var& x, const Shape& shape);     // one size may be −1
Var permute(const Var& x, const Dims& dims);       // adjoint: the inverse permutation
Var concat(std::span<const Var> xs, int64_t dim);  // adjoint: pieces, as split gives them
Var concat(std::initializer_list<Var> xs, int64_t dim);
std::vector<Var> split(const Var& x, int64_t dim,
                       int64_t count);  // equal pieces, one after the other; adjoint: concat
std::vector<Var> split(const Var& x, int64_t dim, const std::vector<int64_t>& sizes);  // of these sizes
struct Slice {
  int64_t start = 0, stop = INT64_MAX, step = 1;  // Python's rules for step > 0
};
Var slice(const Var& x, int64_t dim, Slice range);                 // adjoint: zeros around
Var index_select(const Var& x, int64_t dim, const Tensor& index);  // adjoint: scatter-add; index (n) i64
// Along dim, PyTorch's rules: index i64 with as many dimensions as x and, but for dim, none of them longer.
Var gather(const Var& x, int64_t dim, const Tensor& index);  // x[…,index[…,k,…],…]; adjoint: scatter_add onto zeros
// x[…,index[…,k,…],…] += src[…,k,…]: repeats add up, in the order of k. src: at least as large as the index.
Var scatter_add(const Var& x, int64_t dim, const Tensor& index, const Var& src);
Var embedding(const Var& w, const Tensor& index);  // rows of w (classes, width): (…) → (…, width)

}  // namespace vapo
