// Times between two steps are read off the pair's interpolant: they cost no evaluation.

#include "vapo/ode.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tensor/kernels.h"
#include "vapo/runge_kutta.h"

namespace vapo {
namespace {

using namespace runge_kutta;

template <class T>
Tensor combine_as(const Tensor& y, double h, std::span<const Tensor> ks, const double* weights) {
  const T* k[max_stages];
  T w[max_stages];
  int terms = 0;
  for (size_t j = 0; j < ks.size(); ++j)
    if (weights[j] != 0) {
      k[terms] = ks[j].data<T>();
      w[terms++] = static_cast<T>(h * weights[j]);
    }
  Tensor out = Tensor::empty(y.shape(), y.options());
  combine_into(out.mutable_data<T>(), y.data<T>(), k, w, terms, y.numel());
  return out;
}

Tensor combine(const Tensor& y, double h, std::span<const Tensor> ks, const double* weights) {
  if (y.device() != Device::cpu) {
    Tensor total;
    for (size_t j = 0; j < ks.size(); ++j) {
      if (weights[j] == 0) continue;
      Tensor term = kernel::affine(ks[j], h * weights[j], 0);
      total = total.defined() ? kernel::binary(kernel::Binary::add, total, term) : term;
    }
    return total.defined() ? kernel::binary(kernel::Binary::add, y, total) : y;
  }
  return y.dtype() == DType::f64 ? combine_as<double>(y, h, ks, weights) : combine_as<float>(y, h, ks, weights);
}

class Solver {
 public:
  Solver(const Field& field, const Tensor& x0, double t0, double t1, const OdeOptions& options)
      : field_(field), o_(options), t_(t0), end_(t1), direction_(t1 < t0 ? -1 : 1), y_(x0) {
    check_times(t0);
  }

  OdeResult run() {
    report_until(t_, [&](double) { return y_; });
    if (t_ != end_ && y_.numel() > 0) {
      switch (o_.method) {
        case OdeMethod::euler:
        case OdeMethod::heun:
          fixed_steps();
          break;
        case OdeMethod::rk23:
          adaptive_steps(bogacki_shampine);
          break;
        case OdeMethod::rk45:
          adaptive_steps(dormand_prince);
          break;
      }
    }
    report_until(end_, [&](double) { return y_; });
    return {y_, nfe_, std::move(at_times_), tolerances_.rtol, tolerances_.atol};
  }

 private:
  void check_times(double t0) const {
    double last = t0;
    for (double t : o_.times) {
      if (!(direction_ * (t - last) >= 0 && direction_ * (end_ - t) >= 0))
        throw InputError(
            fmt::format("ode: time {} is not between {} and {}, in the order of integration", t, last, end_));
      last = t;
    }
  }

  Tensor evaluate(const Tensor& x, double t) {
    if (nfe_ >= o_.max_evaluations)
      throw DivergedError(
          fmt::format("ode: {} evaluations and only at t = {}. Hint: looser rtol and atol", nfe_, t_));
    ++nfe_;
    Tensor k = field_(x, t);
    VAPO_CHECK(k.shape() == x.shape() && k.dtype() == x.dtype(),
               "[integrate] the field gives {} {}, the state is {} {}", name_of(k.dtype()), k.shape().str(),
               name_of(x.dtype()), x.shape().str());
    return k;
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

  // runge_kutta's norm of h Σ w_j k_j, over the whole batch or of the worst sample
  template <class T>
  double scaled_norm_as(double h, std::span<const Tensor> ks, const double* w, const Tensor& a,
                        const Tensor& b) const {
    int64_t rows = o_.per_sample_norm ? a.shape()[0] : 1, width = a.numel() / rows;
    double worst = 0;
    for (int64_t row = 0; row < rows; ++row) {
      int64_t at = row * width;
      const T* k[max_stages];
      for (size_t j = 0; j < ks.size(); ++j) k[j] = ks[j].data<T>() + at;
      double norm = runge_kutta::scaled_norm(h, k, w, ks.size(), a.data<T>() + at, b.data<T>() + at, width,
                                             tolerances_.atol, tolerances_.rtol);
      if (!(norm <= worst)) worst = norm;  // a NaN stays
      if (std::isnan(worst)) return worst;
    }
    return worst;
  }
  double scaled_norm(double h, std::initializer_list<double> w, std::span<const Tensor> ks) const {
    return scaled_norm(h, std::data(w), ks, y_);
  }
  double scaled_norm(double h, const double* w, std::span<const Tensor> ks, const Tensor& y_new) const {
    if (y_.device() != Device::cpu) {
      std::vector<Tensor> here;
      for (const Tensor& k : ks) here.push_back(k.to(Device::cpu));
      Tensor a = y_.to(Device::cpu), b = y_new.to(Device::cpu);
      return a.dtype() == DType::f64 ? scaled_norm_as<double>(h, here, w, a, b)
                                     : scaled_norm_as<float>(h, here, w, a, b);
    }
    return y_.dtype() == DType::f64 ? scaled_norm_as<double>(h, ks, w, y_, y_new)
                                    : scaled_norm_as<float>(h, ks, w, y_, y_new);
  }

  double first_step(const Tensor& f0, double error_order) {
    double length = std::abs(end_ - t_);
    const double one[] = {1};
    double d0 = scaled_norm(1, {1}, {&y_, 1}), d1 = scaled_norm(1, {1}, {&f0, 1});
    double h0 = trial_step(d0, d1, length);
    Tensor y1 = combine(y_, h0 * direction_, {&f0, 1}, one);
    const Tensor both[] = {evaluate(y1, t_ + h0 * direction_), f0};
    double d2 = scaled_norm(1, {1, -1}, both) / h0;
    return runge_kutta::first_step(h0, d1, d2, error_order, length);
  }

  void adaptive_steps(const Pair& pair) {
    check_tolerances(o_);
    Tensor start = y_.to(Device::cpu);
    tolerances_ = start.dtype() == DType::f64 ? sound(o_, start.data<double>(), start.numel())
                                              : sound(o_, start.data<float>(), start.numel());
    std::array<Tensor, max_stages> k;
    k[0] = evaluate(y_, t_);
    if (auto bad = non_finite(k[0])) throw field_not_finite(t_, *bad);
    double size = first_step(k[0], pair.error_order);
    while (t_ != end_) size = one_step(pair, k, size);
  }

  // Moves t_ and y_ by one accepted step; returns the size of the next to try.
  double one_step(const Pair& pair, std::array<Tensor, max_stages>& k, double size) {
    double smallest = smallest_step(t_, direction_);
    size = std::max(size, smallest);
    double h = 0;
    for (bool rejected = false;; rejected = true) {
      if (!(size >= smallest)) throw no_step(pair, t_, h, std::span(k).first(static_cast<size_t>(pair.stages) + 1));
      double next = t_ + size * direction_;
      if (direction_ * (next - end_) > 0) next = end_;
      h = next - t_;
      size = std::abs(h);

      size_t s = static_cast<size_t>(pair.stages);
      Tensor y;
      for (size_t i = 1; i <= s; ++i) {
        y = combine(y_, h, std::span(k).first(i), pair.a[i]);
        k[i] = evaluate(y, i == s ? next : t_ + pair.c[i] * h);
      }
      double error = scaled_norm(h, pair.e, std::span(k).first(s + 1), y);
      if (!(error < 1 && kernel::all_finite(y))) {  // an infinity or a NaN too is a step too long
        size *= shorter(error, pair.error_order);
        continue;
      }
      report_until(next, [&](double t) {
        if (t == next) return y;
        double theta = (t - t_) / h, w[max_stages];
        for (size_t j = 0; j <= s; ++j) {
          const double* p = pair.interpolant[j];
          w[j] = theta * (p[0] + theta * (p[1] + theta * (p[2] + theta * p[3])));
        }
        return combine(y_, h, std::span(k).first(s + 1), w);
      });
      y_ = std::move(y);
      t_ = next;
      k[0] = std::move(k[s]);
      return size * longer(error, pair.error_order, rejected);
    }
  }

  const Field& field_;
  const OdeOptions& o_;
  double t_, end_, direction_;
  Tolerances tolerances_{};
  Tensor y_;
  int64_t nfe_ = 0;
  std::vector<Tensor> at_times_;
};

}  // namespace

OdeResult integrate(const Field& field, const Tensor& x0, double t0, double t1, const OdeOptions& options) {
  check_start(x0, t0, t1);
  return Solver(field, x0, t0, t1, options).run();
}

}  // namespace vapo
