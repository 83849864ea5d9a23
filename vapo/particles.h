#pragma once
// Where a path has its particles, and how they move.

#include "vapo/path.h"

namespace vapo {

struct Particles {
  PathFactors path;  // (N,1) each
  Tensor x;          // μx̄ + σε, shaped like the data
  Tensor v;          // μ'x̄ + σ'ε, as rows (N,D)
};
// Of data x̄ and noise ε (N,…) at times t (N). Where the path blurs, V M(t) Vᵀ stands in the place of μ and V M'(t) Vᵀ
// in that of μ' (Path::Kind): of images (N,H,W,C) alone, else InputError.
Particles particles_of(const Path& path, const Tensor& data, const Tensor& eps, const Tensor& t);

// The orthonormal DCT-II of n numbers (n,n), f64: row k is c_k cos(πk(i + ½)/n), c_0 = √(1/n), the others √(2/n).
Tensor dct_basis(int64_t n, Device device = Device::cpu);

}  // namespace vapo
