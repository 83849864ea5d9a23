// The solver of ode.cpp for samples that each have steps of their own. A round is one attempted step of every
// sample that has not arrived: the stages of all are evaluated together, each at its own time.

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <utility>

#include "tensor/kernels.h"
#include "vapo/sampling/ode.h"
#include "vapo/sampling/runge_kutta.h"

namespace vapo {
namespace {

using namespace runge_kutta;

template <class T>
class EachSolver {
 public:
  EachSolver(const TimedField& field, const Tensor& x0, double t0, double t1, const OdeOptions& options,
             const Pair& pair)
      : field_(field),
        o_(options),
        pair_(pair),
        end_(t1),
        device_(x0.device()),
        y_(x0.to(Device::cpu)),
        n_(y_.dim(0)),
        width_(y_.numel() / n_) {
    for (int64_t i = 0; i < n_; ++i) samples_.emplace_back(t0, t1, pair.error_order, sound(o_, row(y_, i), width_));
  }

  OdeResult run() {
    k_[0] = evaluate(y_, [](const StepControl& s) { return s.t; });
    if (auto bad = non_finite(k_[0])) throw field_not_finite(earliest(), *bad);
    choose_first_steps();
    while (earliest() != end_) round();
    OdeResult out{y_.to(device_), evaluations_.count(), {}, 0, 0};
    for (const StepControl& s : samples_) {
      out.rtol = std::max(out.rtol, s.tolerances.rtol);
      out.atol = std::max(out.atol, s.tolerances.atol);
    }
    return out;
  }

 private:
  double earliest() const {
    double t = end_;
    for (const StepControl& s : samples_)
      if (s.before(t)) t = s.t;
    return t;
  }

  template <class F>
  Tensor evaluate(const Tensor& x, const F& time_of) {
    std::vector<double> times;
    for (const StepControl& s : samples_) times.push_back(time_of(s));
    Tensor t = Tensor::from(times, {n_}).to(x.dtype());
    return evaluations_([&] { return field_(x.to(device_), t.to(device_)); }, x, earliest()).to(Device::cpu);
  }

  // y + h Σ_j w_j k_j of every sample; one that does not move is copied.
  Tensor combine(std::span<const Tensor> ks, const double* weights) const {
    Tensor out = Tensor::empty(y_.shape(), y_.options());
    for (int64_t i = 0; i < n_; ++i)
      combine_into<T>(out, y_, samples_[static_cast<size_t>(i)].h, ks, weights, i * width_, width_);
    return out;
  }

  double norm(int64_t i, double h, std::span<const Tensor> ks, const double* w, const Tensor& y_new) const {
    return scaled_norm<T>(h, ks, w, y_, y_new, samples_[static_cast<size_t>(i)].tolerances, i * width_, width_);
  }
  const T* row(const Tensor& x, int64_t i) const { return x.data<T>() + i * width_; }

  template <class F>
  void for_samples(const F& f) {
    for (int64_t i = 0; i < n_; ++i) f(i, samples_[static_cast<size_t>(i)]);
  }

  DivergedError stuck(int64_t i, const StepControl& s) const {
    std::vector<Tensor> k;
    for (size_t j = 0; j <= static_cast<size_t>(pair_.stages); ++j)
      k.push_back(kernel::slice(k_[j], 0, i, i + 1, 1));
    std::string why = no_step(pair_, s.t, s.h, k).what();
    return DivergedError(fmt::format("{} (sample {} of {}, counted from 0)", why, i, n_));
  }

  void choose_first_steps() {
    const double one[] = {1}, difference[] = {1, -1};
    for_samples([&](int64_t i, StepControl& s) {
      s.try_first(norm(i, 1, {&y_, 1}, one, y_), norm(i, 1, {k_.data(), 1}, one, y_));
    });
    const Tensor both[] = {evaluate(combine({k_.data(), 1}, one), [](const StepControl& s) { return s.t + s.h; }),
                           k_[0]};
    for_samples([&](int64_t i, StepControl& s) { s.choose_first(norm(i, 1, both, difference, y_)); });
  }

  void round() {
    for_samples([&](int64_t i, StepControl& s) {
      if (s.arrived())
        s.h = 0;
      else if (!s.attempt())
        throw stuck(i, s);
    });
    size_t stages = static_cast<size_t>(pair_.stages);
    Tensor y;
    for (size_t i = 1; i <= stages; ++i) {
      y = combine(std::span(k_).first(i), pair_.a[i]);
      k_[i] = evaluate(y, [&](const StepControl& s) { return i == stages ? s.next : s.t + pair_.c[i] * s.h; });
    }
    Tensor state = y_.clone(), slope = k_[0].clone();
    for_samples([&](int64_t i, StepControl& s) {
      if (s.h == 0) return;
      double error = norm(i, s.h, std::span(k_).first(stages + 1), pair_.e, y);
      bool finite = std::all_of(row(y, i), row(y, i) + width_, [](T v) { return std::isfinite(v); });
      if (!(error < 1 && finite)) return s.reject(error);  // an infinity or a NaN too is a step too long
      std::copy_n(row(y, i), width_, state.mutable_data<T>() + i * width_);
      std::copy_n(row(k_[stages], i), width_, slope.mutable_data<T>() + i * width_);
      s.accept(error);
    });
    y_ = std::move(state);
    k_[0] = std::move(slope);
  }

  const TimedField& field_;
  const OdeOptions& o_;
  const Pair& pair_;
  double end_;
  Device device_;
  Tensor y_;
  int64_t n_, width_;
  Evaluations evaluations_{o_, "integrate_each"};
  std::vector<StepControl> samples_;
  std::array<Tensor, max_stages> k_;
};

}  // namespace

OdeResult integrate_each(const TimedField& field, const Tensor& x0, double t0, double t1,
                         const OdeOptions& options) {
  VAPO_CHECK(options.times.empty(), "[integrate_each] {} times to report: samples have no steps in common",
             options.times.size());
  const Pair* pair = pair_of(options.method);
  if (!pair || x0.numel() == 0 || t0 == t1) {  // steps of one length are each sample's own
    Field shared = [&](const Tensor& x, double t) { return field(x, Tensor::full({x.dim(0)}, t, x.options())); };
    return integrate(shared, x0, t0, t1, options);
  }
  check_start(x0, t0, t1);
  check_tolerances(options);
  return x0.dtype() == DType::f64 ? EachSolver<double>(field, x0, t0, t1, options, *pair).run()
                                  : EachSolver<float>(field, x0, t0, t1, options, *pair).run();
}

}  // namespace vapo
