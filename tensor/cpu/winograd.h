#pragma once
// Winograd's convolution, F(4×4,3×3), in f32: 2.25 multiplications for each output instead of 9 (Lavin & Gray,
// "Fast Algorithms for Convolutional Neural Networks", 2016).

#include "tensor/geometry.h"

namespace vapo::cpu {

// 3×3 windows that move by one pixel, padding up to 2, no groups.
bool winograd_applies(const ConvGeometry& s);
// Whether it beats the direct convolution, by sizes alone, so that the same shapes always take the same algorithm:
// at least 32 channels on both sides, images that fill half of their tiles, and tiles enough to pay for
// transforming the weights. Measured with `vapo bench ops --only conv2d`.
bool winograd_is_faster(const ConvGeometry& s);
void winograd_forward(const ConvGeometry& s, const float* x, const float* w, const float* bias, float* y);
void winograd_input_grad(const ConvGeometry& s, const float* g, const float* w, float* dx);
void winograd_weight_grad(const ConvGeometry& s, const float* x, const float* g, float* dw);

}  // namespace vapo::cpu
