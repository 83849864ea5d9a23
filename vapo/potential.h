#pragma once
// The potential Φ(x,t): a scalar per particle whose gradient ∇ₓΦ carries noise to data.

#include <memory>
#include <optional>

#include "autograd/ops.h"
#include "nn/module.h"

namespace vapo {

class Potential : public nn::Module {
 public:
  // x (N, D), t (N), labels y (N) i64 or undefined → Φ (N).
  virtual Var operator()(const Var& x, const Var& t, const Tensor& y = {}) const = 0;
  // log ρ̄(x,t) up to a constant where the form of the potential gives it (the preconditioned one); else undefined.
  virtual Var log_density(const Var&, const Var&, const Tensor& = {}) const { return {}; }
  virtual bool autonomous() const { return false; }  // Φ does not depend on t
};

// ∇ₓΦ (N,D) at x (N,D) and one time for all; no history.
Tensor gradient(const Potential& phi, const Tensor& x, double t, const Tensor& y = {});

}  // namespace vapo
