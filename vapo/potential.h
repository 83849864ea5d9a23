#pragma once
// The potential Φ(x,t): a scalar per particle whose gradient ∇ₓΦ carries noise to data.

#include <memory>
#include <optional>

#include "autograd/ops.h"
#include "nn/module.h"
#include "tensor/names.h"
#include "tensor/random.h"

namespace vapo {

class Potential : public nn::Module {
 public:
  // x (N,D), or images (N,H,W,C); t (N); labels y (N) i64 or undefined → Φ (N). With a key: in training, with
  // dropout where the network has any. The same key gives the same masks; block i of a network draws from stream
  // key.stream + i, so that a step needs one key.
  virtual Var operator()(const Var& x, const Var& t, const Tensor& y = {},
                         const std::optional<RandomKey>& dropout = {}) const = 0;
  // log ρ̄(x,t) up to a constant where the form of the potential gives it (the preconditioned one); else undefined.
  virtual Var log_density(const Var&, const Var&, const Tensor& = {}) const { return {}; }
  // Derivatives run the network's blocks again instead of keeping what is inside them: less memory, more time, the
  // same bits. Only where a network has blocks (autograd/recompute.h); the network must live until they are taken.
  virtual void set_recompute(bool) {}
  virtual bool autonomous() const { return false; }  // Φ does not depend on t
  // Rows of a batch whose values in all layers a core's second-level cache holds, where a layer is too little work to be
  // divided among threads; 0: it is not.
  virtual int64_t rows_in_cache() const { return 0; }
};

// A batch as rows: (N,…) → (N,D), D the product of all sizes but the first.
Tensor rows(const Tensor& x);
Var rows(const Var& x);
// Φ of a network's F as large as x: ½‖x − F‖² of every sample, (N,…), (N,…) → (N).
Var energy_head(const Var& x, const Var& f);

// How a network's last layer F becomes Φ (N), times a scale: ½‖x − F‖², or x·F, F as large as x (N,…); or the sum of
// all that F (N,…) has. Where a last layer is 0 the first has ∇Φ = x, and the others Φ = 0 and ∇Φ = 0: they can learn
// from there, but not by a loss that divides by the deviation of Φ. So theirs begins at random.
enum class Head { residual, inner_product, linear };
constexpr auto names_of(Head) {
  return name_table<Head>(
      "head", {{"residual", Head::residual}, {"inner_product", Head::inner_product}, {"linear", Head::linear}});
}
Var head_of(Head head, const Var& x, const Var& f, double scale = 1);

// ∇ₓΦ, shaped like x, at x and one time for all, or a time for each (N); no history.
Tensor gradient(const Potential& phi, const Tensor& x, double t, const Tensor& y = {});
Tensor gradient(const Potential& phi, const Tensor& x, const Tensor& t, const Tensor& y = {});

}  // namespace vapo
