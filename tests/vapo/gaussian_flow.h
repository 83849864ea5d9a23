#pragma once
// Everything known in closed form about the flow of Gaussian data p = N(m, s²I).

#include <cmath>
#include <numbers>
#include <vector>

#include "autograd/ops.h"
#include "vapo/path.h"
#include "vapo/potential.h"
#include "vapo/sampling/ode.h"

namespace vapo::testing {

struct GaussianFlow {
  Path path;
  std::vector<double> m = {0.5, -0.3};
  double s = 0.7;

  double dims() const { return static_cast<double>(m.size()); }
  double m_squared() const {
    double sum = 0;
    for (double v : m) sum += v * v;
    return sum;
  }
  Tensor mean() const { return Tensor::from(m, {static_cast<int64_t>(m.size())}); }
  double variance(double t) const {  // S = μ²s² + σ²
    PathPoint p = path.at(t);
    return p.mu * p.mu * s * s + p.sigma * p.sigma;
  }
  double c(double t) const {  // (μμ's² + σσ')/S
    PathPoint p = path.at(t);
    return (p.mu * p.dmu * s * s + p.sigma * p.dsigma) / variance(t);
  }
  // E‖v̄‖² = |μ'm|² + D c² S
  double mean_squared_velocity(double t) const {
    double dmu = path.at(t).dmu;
    return dmu * dmu * m_squared() + dims() * c(t) * c(t) * variance(t);
  }
  // v̄ = μ'm + c(x − μm), row by row
  Tensor velocity(const Tensor& x, double t) const {
    PathPoint p = path.at(t);
    Var mt = mean();
    return (p.dmu * mt + c(t) * (x - p.mu * mt)).value();
  }
  // where the flow carries x from t0
  Tensor carried(const Tensor& x, double t0, double t1) const {
    Var mt = mean();
    return (path.at(t1).mu * mt + std::sqrt(variance(t1) / variance(t0)) * (x - path.at(t0).mu * mt)).value();
  }
  Tensor log_density(const Tensor& x, double t) const {  // log N(x; μm, S)
    double v = variance(t);
    return affine(sum(square(x - path.at(t).mu * Var(mean())), {1}), -0.5 / v,
                  -0.5 * dims() * std::log(2 * std::numbers::pi * v))
        .value();
  }
};

// offset·(Φ* of the flow) + b·x + ½a‖x‖²: with offset 1 the minimiser is a = b = 0.
class QuadraticPotential : public Potential {
 public:
  QuadraticPotential(GaussianFlow known, double offset, double a0, std::vector<double> b0)
      : a(Var::leaf(Tensor::full({1}, a0, DType::f64), "a")),
        b(Var::leaf(Tensor::from(b0, {static_cast<int64_t>(b0.size())}), "b")),
        flow(std::move(known)),
        offset_(offset) {}

  Var operator()(const Var& x, const Var& t, const Tensor& = {},
                 const std::optional<RandomKey>& = {}) const override {
    Var phi = sum(x * b, {1}) + 0.5 * a * sum(square(x), {1});
    if (offset_ == 0) return phi;
    // Φ* = μ'm·x + ½c‖x − μm‖²
    PathVars p = path_variables(flow.path, reshape(t, {t.dim(0), 1}));
    double s2 = flow.s * flow.s;
    Var c = (s2 * (p.mu * p.dmu) + p.sigma * p.dsigma) / (s2 * square(p.mu) + square(p.sigma));
    Var mt = flow.mean();
    return phi + offset_ * (sum(p.dmu * mt * x, {1}) + 0.5 * sum(c * square(x - p.mu * mt), {1}));
  }
  void parameters(const nn::ParameterVisitor& visit) override {
    visit("a", a);
    visit("b", b);
  }

  Var a, b;
  GaussianFlow flow;

 private:
  double offset_;
};

// Φ = b·x + ½a‖x‖², whose e^{Φ/T} is N(m, s²I) at a = −T/s², b = Tm/s².
class Bowl : public Potential {
 public:
  Bowl(double a0, std::vector<double> b0)
      : a(Var::leaf(Tensor::full({1}, a0, DType::f64), "a")),
        b(Var::leaf(Tensor::from(b0, {static_cast<int64_t>(b0.size())}), "b")) {}
  Var operator()(const Var& x, const Var&, const Tensor& = {},
                 const std::optional<RandomKey>& = {}) const override {
    return sum(x * b, {1}) + 0.5 * a * sum(square(x), {1});
  }
  bool autonomous() const override { return true; }
  void parameters(const nn::ParameterVisitor& visit) override {
    visit("a", a);
    visit("b", b);
  }
  Var a, b;
};

inline const Path linear_path{Path::Kind::linear}, cosine_path{Path::Kind::cosine},
    tempered_path{Path::Kind::tempered, 1.2, 0.3};
inline const Path all_paths[] = {linear_path, cosine_path, tempered_path};

inline QuadraticPotential optimal_potential(const GaussianFlow& flow) {
  return {flow, 1, 0, std::vector<double>(flow.m.size(), 0)};
}

inline double largest_difference(const Tensor& a, const Tensor& b) {
  double worst = 0;
  for (int64_t i = 0; i < a.numel(); ++i) worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
  return a.shape() == b.shape() ? worst : INFINITY;
}

// The mean and its standard error of independent draws.
struct Estimate {
  double mean = 0, error = 0;
};
inline Estimate estimate(const std::vector<double>& draws) {
  double n = static_cast<double>(draws.size()), mean = 0, squares = 0;
  for (double d : draws) mean += d / n;
  for (double d : draws) squares += (d - mean) * (d - mean);
  return {mean, std::sqrt(squares / (n - 1) / n)};
}

// Composite Simpson over [a, b].
template <class F>
double integral(F&& f, double a, double b, int intervals = 2000) {
  double h = (b - a) / intervals, total = f(a) + f(b);
  for (int i = 1; i < intervals; ++i) total += (i % 2 ? 4 : 2) * f(a + i * h);
  return total * h / 3;
}

}  // namespace vapo::testing
