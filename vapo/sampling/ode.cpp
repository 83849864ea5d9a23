// Times between two steps are read off the pair's interpolant: they cost no evaluation.

#include "vapo/sampling/ode.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tensor/kernels.h"
#include "vapo/sampling/runge_kutta.h"

namespace vapo {
namespace {

using namespace runge_kutta;

Tensor combine(const Tensor& y, double h, std::span<const Tensor> ks, const double* weights) {
  return kernel::runge_kutta_step(y, ks, {weights, ks.size()}, {.h = h});
}

class Solver {
 public:
  Solver(const Field& field, const Tensor& x0, double t0, double t1, const OdeOptions& options)
      : field_(field), o_(options), t_(t0), end_(t1), direction_(t1 < t0 ? -1 : 1), y_(x0) {
    check_times();
  }

  OdeResult run() {
    report_until(t_, [&](double) { return y_; });
    if (t_ != end_ && y_.numel() > 0) {
      if (const Pair* pair = pair_of(o_.method))
        adaptive_steps(*pair);
      else
        fixed_steps();
    }
    report_until(end_, [&](double) { return y_; });
    return {y_, evaluations_.count(), std::move(at_times_), tolerances_.rtol, tolerances_.atol};
  }

 private:
  void check_times() const {
    double last = t_;
    for (double t : o_.times) {
      if (!(direction_ * (t - last) >= 0 && direction_ * (end_ - t) >= 0))
        throw InputError(
            fmt::format("ode: time {} is not between {} and {}, in the order of integration", t, last, end_));
      last = t;
    }
  }

  Tensor evaluate(const Tensor& x, double t) {
    return evaluations_([&] { return field_(x, t); }, x, t_);
  }

  // Fills at_times up to t with interpolant(time).
  template <class F>
  void report_until(double t, F&& interpolant) {
    while (at_times_.size() < o_.times.size() && direction_ * (o_.times[at_times_.size()] - t) <= 0)
      at_times_.push_back(interpolant(o_.times[at_times_.size()]));
  }

  // euler: x + h k₁;  heun: x + ½h(k₁ + k₂). Between steps x + h(θ k₁ + ½θ²(k₂ − k₁)).
  void fixed_steps() {
    if (o_.steps < 1) throw InputError(fmt::format("ode: steps = {} must be at least 1", o_.steps));
    double t0 = t_, h = (end_ - t0) / static_cast<double>(o_.steps);
    bool heun = o_.method == OdeMethod::heun;
    for (int64_t i = 0; i < o_.steps; ++i) {
      double next = i + 1 == o_.steps ? end_ : t0 + static_cast<double>(i + 1) * h;
      std::vector<Tensor> k = {evaluate(y_, t_)};
      const double one[] = {1}, half[] = {0.5, 0.5};
      Tensor y = combine(y_, h, k, one);
      if (heun && kernel::all_finite(y)) {
        k.push_back(evaluate(y, next));
        y = combine(y_, h, k, half);
      }
      if (auto bad = non_finite(y)) {
        if (auto field = non_finite(k[0])) throw field_not_finite(t_, *field);
        if (auto field = non_finite(k.back())) throw field_not_finite(next, *field);
        throw state_not_finite(next, *bad);
      }
      report_until(next, [&](double t) {
        double theta = (t - t_) / h;
        const double w[] = {heun ? theta - 0.5 * theta * theta : theta, 0.5 * theta * theta};
        return t == next ? y : combine(y_, h, k, w);
      });
      y_ = std::move(y);
      t_ = next;
    }
  }

  // Of h Σ w_j k_j, over the whole batch.
  ScaledNorm norm(double h, std::span<const Tensor> ks, const double* w, const Tensor& y_new) const {
    kernel::RowSteps steps{.h = h, .rtol = tolerances_.rtol, .atol = tolerances_.atol};
    Tensor errors = kernel::runge_kutta_error(y_, y_new, ks, {w, ks.size()}, steps);
    return scaled_norm(errors.to(Device::cpu), 0, y_.numel());
  }

  void choose_first_step(StepControl& step, const Tensor& f0) {
    const double one[] = {1}, difference[] = {1, -1};
    step.try_first(norm(1, {&y_, 1}, one, y_).rms, norm(1, {&f0, 1}, one, y_).rms);
    const Tensor both[] = {evaluate(combine(y_, step.h, {&f0, 1}, one), t_ + step.h), f0};
    step.choose_first(norm(1, both, difference, y_).rms);
  }

  void adaptive_steps(const Pair& pair) {
    check_tolerances(o_);
    tolerances_ = sound(o_, y_.to(Device::cpu), 0, y_.numel());
    StepControl step(t_, end_, pair.error_order, tolerances_);
    std::array<Tensor, max_stages> k;
    k[0] = evaluate(y_, t_);
    if (auto bad = non_finite(k[0])) throw field_not_finite(t_, *bad);
    choose_first_step(step, k[0]);
    while (!step.arrived()) attempt(pair, step, k);
  }

  // Moves t_ and y_ by a step where its error allows.
  void attempt(const Pair& pair, StepControl& step, std::array<Tensor, max_stages>& k) {
    size_t s = static_cast<size_t>(pair.stages);
    std::span<const Tensor> all = std::span(k).first(s + 1);
    if (!step.attempt()) throw no_step(pair, t_, step.h, all);
    Tensor y;
    for (size_t i = 1; i <= s; ++i) {
      y = combine(y_, step.h, all.first(i), pair.a[i]);
      k[i] = evaluate(y, i == s ? step.next : t_ + pair.c[i] * step.h);
    }
    auto [error, finite] = norm(step.h, all, pair.e, y);
    if (!(error < 1 && finite)) return step.reject(error);  // an infinity or a NaN too is a step too long
    report_until(step.next, [&](double t) {
      if (t == step.next) return y;
      double w[max_stages];
      interpolate(pair, (t - t_) / step.h, w);
      return combine(y_, step.h, all, w);
    });
    step.accept(error);
    t_ = step.t;
    y_ = std::move(y);
    k[0] = std::move(k[s]);
  }

  const Field& field_;
  const OdeOptions& o_;
  double t_, end_, direction_;
  Tolerances tolerances_{};
  Tensor y_;
  Evaluations evaluations_{o_, "integrate"};
  std::vector<Tensor> at_times_;
};

}  // namespace

bool is_adaptive(OdeMethod method) { return pair_of(method) != nullptr; }

OdeResult integrate(const Field& field, const Tensor& x0, double t0, double t1, const OdeOptions& options) {
  check_start(x0, t0, t1);
  return Solver(field, x0, t0, t1, options).run();
}

}  // namespace vapo
