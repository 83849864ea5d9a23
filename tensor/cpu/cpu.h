#pragma once
// What kernels.cpp calls on the CPU: operands are checked and `y` is allocated there.

#include <span>
#include <string>

#include "tensor/geometry.h"
#include "tensor/kernels.h"

namespace vapo::cpu {

std::string libraries();  // names and versions

void unary(int function, const Tensor& x, const Tensor* a, const Tensor* b, double p, const Tensor& y);  // a·b·f(x)
void unary_with_slope(int function, const Tensor& x, const Tensor& y, const Tensor& slope);
void affine(const Tensor& x, double a, double b, const Tensor& y);
void fill(double value, const Tensor& y);
void binary(int op, const Tensor& a, const Tensor& b, const Tensor& y);  // kernel::Binary, then equal
void broadcast(const Tensor& x, const Tensor& y);

// x seen as (outer, count, inner) → y (outer, inner)
enum class Reduction { sum, maximum };
void reduce_middle(Reduction r, const Tensor& x, int64_t outer, int64_t count, int64_t inner, const Tensor& y);
double sum_squares(std::span<const Tensor> xs);
bool all_finite(const Tensor& x);

// One product y (m,n) = op(a) op(b) of row-major matrices with leading dimensions; bias (n) or null is added to
// each row.
struct Product {
  bool transpose_a, transpose_b;
  int64_t m, n, k;
};
void matmul(const Product& p, const float* a, const float* b, const float* bias, float* y);
void matmul(const Product& p, const double* a, const double* b, const double* bias, double* y);

void conv2d(const ConvGeometry& s, const Tensor& x, const Tensor& w, const Tensor& bias, const Tensor& y);
void conv2d_input_grad(const ConvGeometry& s, const Tensor& g, const Tensor& w, const Tensor& dx);
void conv2d_weight_grad(const ConvGeometry& s, const Tensor& x, const Tensor& g, const Tensor& dw);
void pool_sum2d(const Tensor& x, int64_t kh, int64_t kw, double scale, const Tensor& y);
void upsample_nearest2d(const Tensor& x, int64_t kh, int64_t kw, double scale, const Tensor& y);

// x as (n, pixels, channels)
struct NormSize {
  int64_t n, pixels, channels;
};
void group_norm(const NormSize& size, const Tensor& x, const Tensor& a, const Tensor& s, const kernel::GroupNorm& p,
                const kernel::Normalized& out);
void group_norm_vjp(const NormSize& size, const Tensor& x, const Tensor& a, const Tensor& s, const Tensor& g,
                    const kernel::Normalized& stats, const kernel::GroupNorm& p, const kernel::NormGrads& out);
void group_norm_vjp2(const NormSize& size, const Tensor& x, const Tensor& a, const Tensor& s, const Tensor& g,
                     const Tensor& u, const Tensor& ua, const Tensor& us, const kernel::Normalized& stats,
                     const kernel::GroupNorm& p, const kernel::NormGrads2& out);
void softmax(const Tensor& x, int64_t rows, int64_t n, const Tensor& y);
void softmax_vjp(const Tensor& y, const Tensor& g, int64_t rows, int64_t n, const Tensor& dx);

void permute(const Tensor& x, const Dims& dims, const Tensor& y);
// Copies `count` blocks of `bytes`, stepping each side by its own stride in bytes.
void copy_blocks(const void* from, int64_t from_stride, void* to, int64_t to_stride, int64_t bytes, int64_t count);
// x (outer, size, inner), index (n) → y (outer, n, inner); and back, adding.
void index_select(const Tensor& x, int64_t outer, int64_t size, int64_t inner, const Tensor& index,
                  const Tensor& y);
void index_add(const Tensor& g, int64_t outer, int64_t size, int64_t inner, const Tensor& index, const Tensor& y);
void convert(const Tensor& from, const Tensor& to);

}  // namespace vapo::cpu
