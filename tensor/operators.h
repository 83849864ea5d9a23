#pragma once
// Writes arithmetic of tensors as its equation: operands broadcast, and agree in dtype and device, as those of
// kernel::binary. Every operator is one pass: a·x + b in a single one is kernel::affine(x, a, b).

#include "tensor/kernels.h"

namespace vapo {

inline Tensor operator+(const Tensor& a, const Tensor& b) { return kernel::binary(kernel::Binary::add, a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return kernel::binary(kernel::Binary::sub, a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return kernel::binary(kernel::Binary::mul, a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return kernel::binary(kernel::Binary::div, a, b); }
inline Tensor operator-(const Tensor& x) { return kernel::affine(x, -1, 0); }

inline Tensor operator*(double a, const Tensor& x) { return kernel::affine(x, a, 0); }
inline Tensor operator*(const Tensor& x, double a) { return kernel::affine(x, a, 0); }
inline Tensor operator/(const Tensor& x, double a) { return kernel::affine(x, 1 / a, 0); }
inline Tensor operator+(const Tensor& x, double b) { return kernel::affine(x, 1, b); }
inline Tensor operator+(double b, const Tensor& x) { return kernel::affine(x, 1, b); }
inline Tensor operator-(const Tensor& x, double b) { return kernel::affine(x, 1, -b); }
inline Tensor operator-(double b, const Tensor& x) { return kernel::affine(x, -1, b); }

}  // namespace vapo
