#pragma once
// Between two noises: the flow carries the points of an arc to a row of samples.

#include "tensor/tensor.h"

namespace vapo {

// Spherical interpolation (Shoemake 1985): on the unit sphere, times the mean of the two norms. u, v (N,…), f32 or
// f64 → (N·points,…), the points of a pair one after the other, at equal angles; the ends are u and v themselves.
// Throws InputError for fewer than 2 points, and for a pair in opposite directions (or 0), between which no arc is the shortest.
Tensor slerp(const Tensor& u, const Tensor& v, int64_t points);

}  // namespace vapo
