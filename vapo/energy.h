#pragma once
// Log-densities (negative energies) that a potential implies, each up to a constant.

#include <functional>

#include "vapo/path.h"
#include "vapo/potential.h"

namespace vapo {

// E(x) (N) of x (N,…), differentiable: the target of SGLD is e^{E/λ}. It refers to its potential, which must outlive it.
using Energy = std::function<Var(const Var& x)>;

// log ρ̄(x,t) = (2Φ + f‖x‖²)/g²; exact, and U itself for a preconditioned potential. t must have g(t) > 0 unless preconditioned.
// Throws InputError where the path has none (Path::no_density).
Energy marginal_energy(const Potential& phi, const Path& path, double t);
// The same of samples (N,…) that have times t (N) of their own, and labels (N) i64 or none. What the path is at t is not
// looked at: at a time that leaves no density the energy is not finite.
Energy marginal_energy(const Potential& phi, const Path& path, const Tensor& t, const Tensor& labels = {});
// Φ(x,t) itself: of an autonomous potential that has been through the equilibrium phase, e^{Φ/T} is a law.
Energy potential_energy(const Potential& phi, double t);
// Φ_B(x) = (4Φ(x,t) + f‖x‖²)/g² (poster, C). At an exact solution this is 2 log ρ̄ − (f/g²)‖x‖², a sharpened
// density. f and g² are given by hand (published: f = −1, g = 1 at t = 1) or taken from the path at t.
Energy boltzmann_energy(const Potential& phi, double t, double f, double g_squared);
// E/λ: where SGLD at temperature 1 goes as it does on E at λ, in steps λ times as long.
Energy tempered(Energy energy, double lambda);

// ∇E (N,…), E (N), and with vectors v like x vᵀ∇²E v (N); no history.
struct EnergyGradient {
  Tensor gradient, value, curvature = {};
};
EnergyGradient energy_gradient(const Energy& energy, const Tensor& x, const Tensor& v = {});
using EnergySlope = std::function<EnergyGradient(const Tensor& x)>;  // that of one E; recorded: vapo/recorded.h
using EnergyCurvature = std::function<EnergyGradient(const Tensor& x, const Tensor& v)>;  // likewise

}  // namespace vapo
