#pragma once
// The times at which training looks at a path: their law, and the weights that undo it.

#include "tensor/names.h"
#include "tensor/random.h"

namespace vapo {

struct Times {
  enum class Kind { uniform, logit_normal };
  Kind kind = Kind::uniform;
  double mean = 0, deviation = 1;  // logit_normal: of n in τ = sigmoid(n), n normal; t = t_min + (t_max − t_min) τ
  double uniform_share = 0;        // logit_normal: of the times that are uniform all the same
  bool unbiased = false;           // logit_normal: a time weighs 1/p(τ), so that the loss is that of uniform times
};
constexpr auto names_of(Times::Kind) {
  using Kind = Times::Kind;
  return name_table<Kind>("times", {{"uniform", Kind::uniform}, {"logit_normal", Kind::logit_normal}});
}

struct DrawnTimes {
  Tensor t;             // (N) in [t_min, t_max)
  Tensor weights = {};  // (N), or undefined: 1 each
};
// With p = u + (1 − u)·logit-normal, u the uniform share, a weight is at most 1/u; without uniform times 1/p has no
// bound and no variance. A function of the key; uniform times are rand's.
DrawnTimes draw_times(const Times& times, int64_t n, RandomKey key, double t_min, double t_max,
                      TensorOptions options = {});

}  // namespace vapo
