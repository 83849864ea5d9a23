#pragma once
// oneDNN's direct convolutions of f32 images, computed in f32 or, under the bf16 policy, from operands rounded to bf16.

#include "tensor/geometry.h"

namespace vapo::cpu {

void onednn_forward(const ConvGeometry& s, const float* x, const float* w, const float* bias, float* y);
void onednn_input_grad(const ConvGeometry& s, const float* g, const float* w, float* dx);
void onednn_weight_grad(const ConvGeometry& s, const float* x, const float* g, float* dw);

}  // namespace vapo::cpu
