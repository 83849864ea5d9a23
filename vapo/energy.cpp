#include "vapo/energy.h"

#include <cmath>

#include "autograd/grad.h"

namespace vapo {

namespace {
Var times(const Var& x, double t) { return Tensor::full({x.dim(0)}, t, x.options()); }

// (a·Φ + f‖x‖²)/g²
Var quadratic_energy(const Potential& phi, const Var& x, double t, double a, double f, double g_squared) {
  return (a / g_squared) * phi(x, times(x, t)) + (f / g_squared) * sum(square(rows(x)), {1});
}

void check_has_density(const Path& path) {
  if (std::string why = path.no_density(); !why.empty()) throw InputError("there is no marginal energy: " + why);
}
}  // namespace

Energy marginal_energy(const Potential& phi, const Path& path, double t) {
  check_has_density(path);
  return [&phi, path, t](const Var& x) -> Var {
    Var u = phi.log_density(x, times(x, t));
    if (u.defined()) return u;
    double f = path.f(t), g_squared = path.g_squared(t);
    if (!(g_squared > 0) || !std::isfinite(f) || !std::isfinite(g_squared))
      throw InputError(fmt::format(
          "marginal energy at t = {}: f = {} and g² = {} must be finite and g² positive. Hint: another t, or a "
          "preconditioned potential",
          t, f, g_squared));
    return quadratic_energy(phi, x, t, 2, f, g_squared);
  };
}

// With w = σμ' − μσ' (preconditioned.cpp):  (2Φ + f‖x‖²)/g² = (μΦ − ½μ'‖x‖²)/(σw).
Energy marginal_energy(const Potential& phi, const Path& path, const Tensor& t, const Tensor& labels) {
  check_has_density(path);
  return [&phi, path, t, labels](const Var& x) -> Var {
    Var u = phi.log_density(x, t, labels);
    if (u.defined()) return u;
    PathVars p = path_variables(path, t);
    Var squares = sum(square(rows(x)), {1});
    return (p.mu * phi(x, t, labels) - 0.5 * p.dmu * squares) / (p.sigma * (p.sigma * p.dmu - p.mu * p.dsigma));
  };
}

Energy potential_energy(const Potential& phi, double t) {
  return [&phi, t](const Var& x) { return phi(x, times(x, t)); };
}

Energy boltzmann_energy(const Potential& phi, double t, double f, double g_squared) {
  if (!(g_squared > 0) || !std::isfinite(f) || !std::isfinite(g_squared))
    throw InputError(fmt::format("Boltzmann energy: f = {} and g² = {} must be finite and g² positive (at t = {})",
                                 f, g_squared, t));
  return [&phi, t, f, g_squared](const Var& x) { return quadratic_energy(phi, x, t, 4, f, g_squared); };
}

Energy tempered(Energy energy, double lambda) {
  if (!(lambda > 0) || !std::isfinite(lambda))
    throw InputError(fmt::format("tempered energy: the temperature {} must be positive", lambda));
  return [energy = std::move(energy), lambda](const Var& x) { return energy(x) / lambda; };
}

EnergyGradient energy_gradient(const Energy& energy, const Tensor& x, const Tensor& v) {
  bool twice = v.defined();
  VAPO_CHECK(!twice || v.shape() == x.shape(), "[energy_gradient] x {} and v {}", x.shape().str(), v.shape().str());
  EnableGradGuard on;
  Var leaf = Var::leaf(x, "x"), value = energy(leaf);
  VAPO_CHECK(value.shape() == Shape{x.dim(0)}, "[energy_gradient] the energy has shape {}, expected ({})",
             value.shape().str(), x.dim(0));
  Var ones(Tensor::ones(value.shape(), value.options()));
  Var gradient = grad({&value, 1}, {&leaf, 1}, {.create_graph = twice}, {&ones, 1})[0];
  EnergyGradient out{gradient.value(), value.value()};
  if (!twice) return out;
  Var along(v);
  Tensor hv = grad({&gradient, 1}, {&leaf, 1}, {.allow_unused = true}, {&along, 1})[0].value();
  out.curvature = sum(rows(Var(hv)) * rows(along), {1}).value();
  return out;
}

}  // namespace vapo
