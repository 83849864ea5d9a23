// Attention between the pixels of an image.

#include <cmath>

#include "autograd/ops.h"

namespace vapo {

Var attention(const Var& q, const Var& k, const Var& v, int64_t heads) {
  VAPO_CHECK(
      q.rank() == 3 && k.rank() == 3 && v.shape() == k.shape() && q.dim(0) == k.dim(0) && q.dim(2) == k.dim(2),
      "[attention] q {}, k {}, v {}: expects (N,T,C), (N,S,C), (N,S,C)", q.shape().str(), k.shape().str(),
      v.shape().str());
  VAPO_CHECK(heads >= 1 && q.dim(2) % heads == 0, "[attention] {} channels do not divide into {} heads", q.dim(2),
             heads);
  int64_t n = q.dim(0), d = q.dim(2) / heads;
  auto split = [&](const Var& x) {  // (N,T,C) → (N,heads,T,d)
    return heads == 1 ? x : permute(reshape(x, {n, x.dim(1), heads, d}), {0, 2, 1, 3});
  };
  Var weights =
      softmax(matmul(split(q), split(k), {.transpose_b = true}), {-1}, 1 / std::sqrt(static_cast<double>(d)));
  Var y = matmul(weights, split(v));
  return heads == 1 ? y : reshape(permute(y, {0, 2, 1, 3}), q.shape());
}

}  // namespace vapo
