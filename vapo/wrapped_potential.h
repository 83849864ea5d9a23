#pragma once
// Makes a potential of another one: what is not said again is the other's.

#include <functional>
#include <memory>

#include "vapo/potential.h"

namespace vapo {

class WrappedPotential : public Potential {
 public:
  explicit WrappedPotential(std::shared_ptr<Potential> base) : base_(std::move(base)) {
    VAPO_CHECK(base_, "[potential] made of no potential");
  }
  Var operator()(const Var& x, const Var& t, const Tensor& y = {},
                 const std::optional<RandomKey>& dropout = {}) const override {
    return wrapped([&](const Var& xs, const Var& ts, const Tensor& ys) { return (*base_)(xs, ts, ys, dropout); }, x,
                   t, y);
  }
  Var log_density(const Var& x, const Var& t, const Tensor& y = {}) const override {
    return wrapped([&](const Var& xs, const Var& ts, const Tensor& ys) { return base_->log_density(xs, ts, ys); },
                   x, t, y);
  }
  void set_recompute(bool on) override { base_->set_recompute(on); }
  bool autonomous() const override { return base_->autonomous(); }
  int64_t rows_in_cache() const override { return base_->rows_in_cache(); }
  void parameters(const nn::ParameterVisitor& visit) override { base_->parameters(visit); }
  void buffers(const nn::BufferVisitor& visit) override { base_->buffers(visit); }

 protected:
  using Function = std::function<Var(const Var& x, const Var& t, const Tensor& y)>;
  // Makes Φ of the base's Φ, and log ρ̄ of its log ρ̄: f is the one or the other, undefined where the base has none.
  virtual Var wrapped(const Function& f, const Var& x, const Var& t, const Tensor& y) const = 0;

 private:
  std::shared_ptr<Potential> base_;
};

}  // namespace vapo
