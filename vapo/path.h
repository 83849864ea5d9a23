#pragma once
// Homotopies between the prior N(0, ω²I) and the data: x = μ(t)·x̄ + σ(t)·ε (mathematics: docs/equations.md, poster A).

#include <string>
#include <string_view>

#include "autograd/var.h"
#include "tensor/names.h"
#include "tensor/tensor.h"

namespace vapo {

struct PathPoint {  // at one time
  double mu, sigma, dmu, dsigma;
};

struct Path {
  // blurring: the linear one, of images whose frequencies λ of the DCT-II decay by heat dissipation with reflecting
  // boundaries: V M(t) Vᵀ in the place of μ, M_λ(t) = t e^{−λτ(t)}, τ = ½b²(1 − t)² (Rissanen et al. 2023; Hoogeboom &
  // Salimans 2023). See vapo/particles.h; what follows is of the frequency 0.
  enum class Kind { linear, cosine, tempered, blurring };
  enum class Coupling { independent, optimal };  // of x̄ and ε in a batch: as drawn, or vapo/coupling.h
  Kind kind = Kind::cosine;
  double omega = 1, nu = 0.1;  // tempered only, with α(t) = 1 − t, β(t) = t
  double blur = 2;             // b of blurring: the deviation of the blur at t = 0, in pixels
  Coupling coupling = Coupling::independent;

  PathPoint at(double t) const;
  double f(double t) const;          // −μ'/μ
  double g_squared(double t) const;  // 2σ²(μ'/μ − σ'/σ)
  // Why Φ says nothing of log ρ̄ (docs/equations.md, poster C); empty where it does.
  std::string no_density() const;
  double prior_scale() const { return kind == Kind::tempered ? omega : 1; }
};
constexpr auto names_of(Path::Kind) {
  using Kind = Path::Kind;
  return name_table<Kind>("path", {{"linear", Kind::linear},
                                   {"cosine", Kind::cosine},
                                   {"tempered", Kind::tempered},
                                   {"blurring", Kind::blurring}});
}
constexpr auto names_of(Path::Coupling) {
  using Coupling = Path::Coupling;
  return name_table<Coupling>("coupling", {{"independent", Coupling::independent}, {"optimal", Coupling::optimal}});
}
// Throws InputError listing the names, and for ω or ν that are not positive.
Path path_from_name(std::string_view name, double omega = 1, double nu = 0.1);

// Per-particle factors for times t (N), each (N,1) in t's dtype, to broadcast over (N,D).
struct PathFactors {
  Tensor mu, sigma, dmu, dsigma;
};
PathFactors path_factors(const Path& path, const Tensor& t);

// The same as functions of t, shaped like t: differentiable where t is.
struct PathVars {
  Var mu, sigma, dmu, dsigma;
};
PathVars path_variables(const Path& path, const Var& t);

}  // namespace vapo
