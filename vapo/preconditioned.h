#pragma once
// The preconditioned potential: Φ(x,t) = −½f(t)‖x‖² + ½g(t)²U(x,t), so that U = log ρ̄ + const at every t.
// With the Gaussian reference, U = −‖x‖²/(2S) + μ(t)·network with S = μ² + σ² (the law of unit-variance Gaussian
// data), the factors are combined so that nothing grows as t → 0 or t → 1: Φ = ½c(t)‖x‖² + ½g²μ·network, c = (μμ' +
// σσ')/S. Without it U = network, the literal form, for t > 0 (f is infinite at 0).

#include <memory>

#include "vapo/path.h"
#include "vapo/potential.h"

namespace vapo {

class PreconditionedPotential : public Potential {
 public:
  enum class Reference { gaussian, none };
  PreconditionedPotential(std::unique_ptr<Potential> network, Path path, Reference reference = Reference::gaussian);
  Var operator()(const Var& x, const Var& t, const Tensor& y = {},
                 const std::optional<RandomKey>& dropout = {}) const override;
  void set_recompute(bool on) override { network_->set_recompute(on); }
  Var log_density(const Var& x, const Var& t, const Tensor& y = {}) const override;  // U
  void parameters(const nn::ParameterVisitor& visit) override;  // the network's, under "network."

 private:
  std::unique_ptr<Potential> network_;
  Path path_;
  Reference reference_;
};

constexpr auto names_of(PreconditionedPotential::Reference) {
  using Reference = PreconditionedPotential::Reference;
  return name_table<Reference>("reference", {{"gaussian", Reference::gaussian}, {"none", Reference::none}});
}

}  // namespace vapo
