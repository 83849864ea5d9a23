#pragma once
// What kernels.cpp calls on the CPU: operands are checked and `y` is allocated there.

#include <span>

#include "tensor/kernels.h"

namespace vapo::cpu {

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

void permute(const Tensor& x, const Dims& dims, const Tensor& y);
// Copies `count` blocks of `bytes`, stepping each side by its own stride in bytes.
void copy_blocks(const void* from, int64_t from_stride, void* to, int64_t to_stride, int64_t bytes, int64_t count);
// x (outer, size, inner), index (n) → y (outer, n, inner); and back, adding.
void index_select(const Tensor& x, int64_t outer, int64_t size, int64_t inner, const Tensor& index,
                  const Tensor& y);
void index_add(const Tensor& g, int64_t outer, int64_t size, int64_t inner, const Tensor& index, const Tensor& y);
void convert(const Tensor& from, const Tensor& to);

}  // namespace vapo::cpu
