#include "vapo/path.h"

#include <cmath>
#include <numbers>

#include "autograd/ops.h"

namespace vapo {

namespace {
constexpr double half_pi = std::numbers::pi / 2;
}

// tempered, with A(t) = tω² + (1 − t)ν²:  μ = tω²/A,  σ = ων/√A,  μ' = ω²ν²/A²,  σ' = −½ων(ω² − ν²)/A^{3/2}.
PathPoint Path::at(double t) const {
  switch (kind) {
    case Kind::linear:
    case Kind::blurring:
      return {t, 1 - t, 1, -1};
    case Kind::cosine: {
      double mu = std::sin(half_pi * t), sigma = std::cos(half_pi * t);
      return {mu, sigma, half_pi * sigma, -half_pi * mu};
    }
    case Kind::tempered: {
      double w2 = omega * omega, n2 = nu * nu, a = t * w2 + (1 - t) * n2, r = 1 / std::sqrt(a);
      return {t * w2 / a, omega * nu * r, w2 * n2 / (a * a), -0.5 * omega * nu * (w2 - n2) * r / a};
    }
  }
  fail("[path] unknown kind {}", static_cast<int>(kind));
}

double Path::f(double t) const {
  PathPoint p = at(t);
  return -p.dmu / p.mu;
}

double Path::g_squared(double t) const {  // 2σ²(μ'/μ − σ'/σ), without the division by σ
  PathPoint p = at(t);
  return 2 * p.sigma * (p.sigma * p.dmu - p.mu * p.dsigma) / p.mu;
}

std::string Path::no_density() const {
  if (kind == Kind::blurring)
    return "path.kind = \"blurring\" diffuses each frequency at a rate of its own, and then the flow is no "
           "multiple "
           "of the gradient of a log-density";
  if (coupling == Coupling::optimal)
    return "path.coupling = \"optimal\" makes noise and data depend on each other, and then the flow does not "
           "give the gradient of a log-density on its way";
  return "";
}

Path path_from_name(std::string_view name, double omega, double nu) {
  if (!(omega > 0 && nu > 0 && std::isfinite(omega) && std::isfinite(nu)))
    throw InputError(fmt::format("path: omega = {} and nu = {} must be positive", omega, nu));
  return {.kind = from_name<Path::Kind>(name), .omega = omega, .nu = nu};
}

PathVars path_variables(const Path& path, const Var& t) {
  switch (path.kind) {
    case Path::Kind::linear:
    case Path::Kind::blurring:
      return {t, 1 - t, Tensor::ones(t.shape(), t.options()), Tensor::full(t.shape(), -1, t.options())};
    case Path::Kind::cosine: {
      Var angle = half_pi * t;
      Var mu = sin(angle), sigma = cos(angle);
      return {mu, sigma, half_pi * sigma, -half_pi * mu};
    }
    case Path::Kind::tempered: {
      double w2 = path.omega * path.omega, n2 = path.nu * path.nu, wn = path.omega * path.nu;
      Var r = rsqrt(affine(t, w2 - n2, n2)), r2 = square(r);
      return {w2 * (t * r2), wn * r, w2 * n2 * square(r2), -0.5 * wn * (w2 - n2) * (r * r2)};
    }
  }
  fail("[path] unknown kind {}", static_cast<int>(path.kind));
}

PathFactors path_factors(const Path& path, const Tensor& t) {
  VAPO_CHECK(t.rank() == 1, "[path_factors] t has shape {}, expected (N)", t.shape().str());
  PathVars p = path_variables(path, t.reshape({t.numel(), 1}));
  return {p.mu.value(), p.sigma.value(), p.dmu.value(), p.dsigma.value()};
}

}  // namespace vapo
