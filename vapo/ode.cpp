// Runge–Kutta pairs after Bogacki & Shampine (rk23) and Dormand & Prince (rk45, interpolant of Shampine 1986), with
// the step control of SciPy's solve_ivp. Times between two steps are read off the pair's interpolant: they cost no
// evaluation.

#include "vapo/ode.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "nn/names.h"
#include "tensor/kernels.h"

namespace vapo {
namespace {

constexpr int max_stages = 7;  // with the derivative at the end of the step, which is the next step's first

struct Pair {
  int stages;          // s; k_s is the derivative at the new point
  double error_order;  // of the lower of the two methods
  double c[max_stages];
  double a[max_stages][max_stages];   // a[s] are the weights of the step itself
  double e[max_stages];               // their difference to the lower method's
  double interpolant[max_stages][4];  // weight of k_j at θ in the step: Σ_p interpolant[j][p] θ^{p+1}
};

constexpr Pair bogacki_shampine = {3,
                                   2,
                                   {0, 1. / 2, 3. / 4, 1},
                                   {{}, {1. / 2}, {0, 3. / 4}, {2. / 9, 1. / 3, 4. / 9}},
                                   {5. / 72, -1. / 12, -1. / 9, 1. / 8},
                                   {{1, -4. / 3, 5. / 9}, {0, 1, -2. / 3}, {0, 4. / 3, -8. / 9}, {0, -1, 1}}};

constexpr Pair dormand_prince = {
    6,
    4,
    {0, 1. / 5, 3. / 10, 4. / 5, 8. / 9, 1, 1},
    {{},
     {1. / 5},
     {3. / 40, 9. / 40},
     {44. / 45, -56. / 15, 32. / 9},
     {19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
     {9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
     {35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84}},
    {-71. / 57600, 0, 71. / 16695, -71. / 1920, 17253. / 339200, -22. / 525, 1. / 40},
    {{1, -8048581381. / 2820520608, 8663915743. / 2820520608, -12715105075. / 11282082432},
     {},
     {0, 131558114200. / 32700410799, -68118460800. / 10900136933, 87487479700. / 32700410799},
     {0, -1754552775. / 470086768, 14199869525. / 1410260304, -10690763975. / 1880347072},
     {0, 127303824393. / 49829197408, -318862633887. / 49829197408, 701980252875. / 199316789632},
     {0, -282668133. / 205662961, 2019193451. / 616988883, -1453857185. / 822651844},
     {0, 40617522. / 29380423, -110615467. / 29380423, 69997945. / 29380423}}};

// y + h Σ_j w_j k_j in one pass, in y's dtype.
template <class T>
void combine_into(T* out, const T* y, const T* const* k, const T* w, int terms, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    T total = 0;
    for (int j = 0; j < terms; ++j) total += w[j] * k[j][i];
    out[i] = y[i] + total;
  }
}

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
    return {y_, nfe_, std::move(at_times_)};
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
          fmt::format("ode: {} evaluations and only at t = {}. Hint: looser rtol and atol", nfe_, t));
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

  [[noreturn]] void diverged(double t) const {
    throw DivergedError(
        fmt::format("ode: the state is not finite at t = {}. Hint: more steps, or an adaptive method", t));
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
      if (heun) {
        k.push_back(evaluate(y, next));
        y = combine(y_, h, k, half);
      }
      if (!kernel::all_finite(y)) diverged(next);
      report_until(next, [&](double t) {
        double theta = (t - t_) / h;
        const double w[] = {heun ? theta - 0.5 * theta * theta : theta, 0.5 * theta * theta};
        return t == next ? y : combine(y_, h, k, w);
      });
      y_ = std::move(y);
      t_ = next;
    }
  }

  // RMS of value/(atol + rtol·max(|a|, |b|)) with value = h Σ w_j k_j, over the whole batch or the worst sample.
  template <class T>
  double scaled_norm_as(double h, std::span<const Tensor> ks, const double* w, const Tensor& a,
                        const Tensor& b) const {
    const T *pa = a.data<T>(), *pb = b.data<T>();
    const T* k[max_stages];
    for (size_t j = 0; j < ks.size(); ++j) k[j] = ks[j].data<T>();
    int64_t rows = o_.per_sample_norm ? a.shape()[0] : 1, width = a.numel() / rows;
    double worst = 0;
    for (int64_t row = 0; row < rows; ++row) {
      double squares = 0;
      for (int64_t i = row * width; i < (row + 1) * width; ++i) {
        double value = 0;
        for (size_t j = 0; j < ks.size(); ++j) value += w[j] * static_cast<double>(k[j][i]);
        double largest = std::max(std::abs(static_cast<double>(pa[i])), std::abs(static_cast<double>(pb[i])));
        double ratio = h * value / (o_.atol + rtol_ * largest);
        squares += ratio * ratio;
      }
      double norm = std::sqrt(squares / static_cast<double>(width));
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

  // Hairer, Nørsett & Wanner, Solving Ordinary Differential Equations I, II.4.
  double first_step(const Tensor& f0, double error_order) {
    double length = std::abs(end_ - t_);
    const double one[] = {1};
    double d0 = scaled_norm(1, {1}, {&y_, 1}), d1 = scaled_norm(1, {1}, {&f0, 1});
    double h0 = std::min(d0 < 1e-5 || d1 < 1e-5 ? 1e-6 : 0.01 * d0 / d1, length);
    Tensor y1 = combine(y_, h0 * direction_, {&f0, 1}, one);
    const Tensor both[] = {evaluate(y1, t_ + h0 * direction_), f0};
    double d2 = scaled_norm(1, {1, -1}, both) / h0;
    double h1 = d1 <= 1e-15 && d2 <= 1e-15 ? std::max(1e-6, h0 * 1e-3)
                                           : std::pow(0.01 / std::max(d1, d2), 1 / (error_order + 1));
    return std::min({100 * h0, h1, length});
  }

  void adaptive_steps(const Pair& pair) {
    if (!(o_.rtol >= 0 && o_.atol >= 0 && o_.rtol + o_.atol > 0))
      throw InputError(
          fmt::format("ode: rtol = {} and atol = {} must not be negative, nor both 0", o_.rtol, o_.atol));
    rtol_ = std::max(o_.rtol, 100 * std::numeric_limits<double>::epsilon());
    std::array<Tensor, max_stages> k;
    k[0] = evaluate(y_, t_);
    if (!kernel::all_finite(k[0])) diverged(t_);
    double size = first_step(k[0], pair.error_order);
    while (t_ != end_) size = one_step(pair, k, size);
  }

  // Moves t_ and y_ by one accepted step; returns the size of the next to try.
  double one_step(const Pair& pair, std::array<Tensor, max_stages>& k, double size) {
    constexpr double safety = 0.9, min_factor = 0.2, max_factor = 10;
    double smallest = 10 * std::abs(std::nextafter(t_, direction_ * std::numeric_limits<double>::infinity()) - t_);
    size = std::max(size, smallest);
    for (bool rejected = false;; rejected = true) {
      if (!(size >= smallest)) throw DivergedError(fmt::format("ode: the step size underflows at t = {}", t_));
      double next = t_ + size * direction_;
      if (direction_ * (next - end_) > 0) next = end_;
      double h = next - t_;
      size = std::abs(h);

      size_t s = static_cast<size_t>(pair.stages);
      Tensor y;
      for (size_t i = 1; i <= s; ++i) {
        y = combine(y_, h, std::span(k).first(i), pair.a[i]);
        k[i] = evaluate(y, i == s ? next : t_ + pair.c[i] * h);
      }
      double error = scaled_norm(h, pair.e, std::span(k).first(s + 1), y);
      double factor = safety * std::pow(error, -1 / (pair.error_order + 1));
      if (!(error < 1 && kernel::all_finite(y))) {  // an infinity or a NaN too is a step too long
        size *= error >= 1 ? std::max(min_factor, factor) : min_factor;
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
      return size * std::min(factor, rejected ? 1 : max_factor);  // error 0: the factor is infinite
    }
  }

  const Field& field_;
  const OdeOptions& o_;
  double t_, end_, direction_, rtol_ = 0;
  Tensor y_;
  int64_t nfe_ = 0;
  std::vector<Tensor> at_times_;
};

}  // namespace

OdeMethod ode_method_from_name(const std::string& name) {
  return nn::value_from_name<OdeMethod>("ode method", name,
                                        {{"euler", OdeMethod::euler},
                                         {"heun", OdeMethod::heun},
                                         {"rk23", OdeMethod::rk23},
                                         {"rk45", OdeMethod::rk45}});
}

OdeResult integrate(const Field& field, const Tensor& x0, double t0, double t1, const OdeOptions& options) {
  VAPO_CHECK(x0.rank() >= 1 && (x0.dtype() == DType::f32 || x0.dtype() == DType::f64),
             "[integrate] x0 is {} {}, expected f32 or f64 with a batch dimension", name_of(x0.dtype()),
             x0.shape().str());
  if (!std::isfinite(t0) || !std::isfinite(t1)) throw InputError(fmt::format("ode: from t = {} to {}", t0, t1));
  if (!kernel::all_finite(x0)) throw DivergedError(fmt::format("ode: the state is not finite at t = {}", t0));
  return Solver(field, x0, t0, t1, options).run();
}

}  // namespace vapo
