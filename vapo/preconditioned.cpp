// With w = σμ' − μσ' (which is bounded and positive on every path):  ½g² = σw/μ,  so ½g²μ = σw.  The quadratic's
// coefficient is −½(f + ½g²/S) = ½(μ'S − σw)/(μS) = ½(μμ' + σσ')/S = ½c: no division by μ or σ is left.

#include "vapo/preconditioned.h"

namespace vapo {

PreconditionedPotential::PreconditionedPotential(std::unique_ptr<Potential> network, Path path, Reference reference)
    : network_(std::move(network)), path_(path), reference_(reference) {
  VAPO_CHECK(network_, "[preconditioned] no network");
  if (std::string why = path.no_density(); !why.empty())
    throw InputError("there is no preconditioned potential: " + why + ". Hint: model.potential = \"raw\"");
}

namespace {
Var squared_norm(const Var& x) { return sum(square(rows(x)), {1}); }  // ‖x‖² (N)
}  // namespace

Var PreconditionedPotential::operator()(const Var& x, const Var& t, const Tensor& y,
                                        const std::optional<RandomKey>& dropout) const {
  Var network = (*network_)(x, t, y, dropout);
  PathVars p = path_variables(path_, t);
  Var sigma_w = p.sigma * (p.sigma * p.dmu - p.mu * p.dsigma);
  if (reference_ == Reference::none)  // Φ = ½(μ'/μ)‖x‖² + ½g²·network
    return (0.5 * p.dmu * squared_norm(x) + sigma_w * network) / p.mu;
  if (path_.kind == Path::Kind::cosine) return sigma_w * network;  // μ² + σ² = 1, so c = 0
  Var c = (p.mu * p.dmu + p.sigma * p.dsigma) / (square(p.mu) + square(p.sigma));
  return 0.5 * c * squared_norm(x) + sigma_w * network;
}

Var PreconditionedPotential::log_density(const Var& x, const Var& t, const Tensor& y) const {
  Var network = (*network_)(x, t, y);
  if (reference_ == Reference::none) return network;
  PathVars p = path_variables(path_, t);
  Var s = square(p.mu) + square(p.sigma);
  return p.mu * network - squared_norm(x) / (2 * s);
}

void PreconditionedPotential::parameters(const nn::ParameterVisitor& visit) {
  nn::visit_child("network", *network_, visit);
}

}  // namespace vapo
