#pragma once
// The factors of a path as differentiable functions of time, for potentials that contain them (∂Φ/∂t).

#include "autograd/ops.h"
#include "vapo/path.h"

namespace vapo {

struct PathVars {
  Var mu, sigma, dmu, dsigma;  // each like t
};
PathVars path_vars(const Path& path, const Var& t);

}  // namespace vapo
