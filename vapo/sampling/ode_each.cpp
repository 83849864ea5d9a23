// The solver of ode.cpp for samples that each have steps of their own. A round is one attempted step of every
// sample that has not arrived: the stages of all are evaluated together, each at its own time.

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "tensor/kernels.h"
#include "vapo/sampling/ode.h"
#include "vapo/sampling/runge_kutta.h"

namespace vapo {
namespace {

using namespace runge_kutta;

class EachSolver {
 public:
  EachSolver(const TimedField& field, const Tensor& x0, double t0, double t1, const OdeOptions& options,
             const Pair& pair)
      : field_(field),
        o_(options),
        pair_(pair),
        end_(t1),
        y_(x0),
        n_(x0.dim(0)),
        width_(x0.numel() / n_),
        stages_(static_cast<size_t>(pair.stages)) {
    Tensor start = x0.to(Device::cpu);
    for (int64_t i = 0; i < n_; ++i)
      samples_.emplace_back(t0, t1, pair.error_order, sound(o_, start, i * width_, width_));
  }

  OdeResult run() {
    k_[0] = evaluate(y_, column([](const StepControl& s) { return s.t; }));
    if (auto bad = non_finite(k_[0])) throw field_not_finite(earliest(), *bad);
    choose_first_steps();
    while (earliest() != end_) round();
    OdeResult out{y_, evaluations_.count(), {}, 0, 0};
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

  // f of every sample (N), on the state's device
  template <class F>
  Tensor column(const F& f) const {
    std::vector<double> values;
    for (const StepControl& s : samples_) values.push_back(f(s));
    return Tensor::from(values, {n_}).to(y_.device());
  }
  Tensor times_of_stages() const {  // (stages,N)
    std::vector<double> values;
    for (size_t i = 1; i <= stages_; ++i)
      for (const StepControl& s : samples_) values.push_back(i == stages_ ? s.next : s.t + pair_.c[i] * s.h);
    return Tensor::from(values, {static_cast<int64_t>(stages_), n_}).to(y_.device());
  }
  // Steps and tolerances of every sample; one whose h is 0 does not move.
  template <class F>
  kernel::RowSteps steps(const F& h) const {
    std::vector<double> values;
    for (const StepControl& s : samples_) values.insert(values.end(), {h(s), s.tolerances.rtol, s.tolerances.atol});
    return {.each = Tensor::from(values, {n_, 3}).to(y_.device())};
  }

  Tensor evaluate(const Tensor& x, const Tensor& t) {
    return evaluations_([&] { return field_(x, t.to(x.dtype())); }, x, earliest());
  }
  Tensor combine(std::span<const Tensor> ks, const double* weights, const kernel::RowSteps& steps) const {
    return kernel::runge_kutta_step(y_, ks, {weights, ks.size()}, steps);
  }
  Tensor errors(std::span<const Tensor> ks, const double* w, const Tensor& y_new,
                const kernel::RowSteps& steps) const {
    return kernel::runge_kutta_error(y_, y_new, ks, {w, ks.size()}, steps).to(Device::cpu);
  }

  template <class F>
  void for_samples(const F& f) {
    for (int64_t i = 0; i < n_; ++i) f(i, samples_[static_cast<size_t>(i)]);
  }

  DivergedError stuck(int64_t i, const StepControl& s) const {
    std::vector<Tensor> k;
    for (size_t j = 0; j <= stages_; ++j) k.push_back(kernel::slice(k_[j], 0, i, i + 1, 1));
    std::string why = no_step(pair_, s.t, s.h, k).what();
    return DivergedError(fmt::format("{} (sample {} of {}, counted from 0)", why, i, n_));
  }

  void choose_first_steps() {
    const double one[] = {1}, difference[] = {1, -1};
    kernel::RowSteps whole = steps([](const StepControl&) { return 1.0; });
    Tensor sizes = errors({&y_, 1}, one, y_, whole), slopes = errors({k_.data(), 1}, one, y_, whole);
    for_samples([&](int64_t i, StepControl& s) {
      s.try_first(scaled_norm(sizes, i, width_).rms, scaled_norm(slopes, i, width_).rms);
    });
    Tensor moved = combine({k_.data(), 1}, one, steps([](const StepControl& s) { return s.h; }));
    const Tensor both[] = {evaluate(moved, column([](const StepControl& s) { return s.t + s.h; })), k_[0]};
    Tensor changes = errors(both, difference, y_, whole);
    for_samples([&](int64_t i, StepControl& s) { s.choose_first(scaled_norm(changes, i, width_).rms); });
  }

  void round() {
    for_samples([&](int64_t i, StepControl& s) {
      if (s.arrived())
        s.h = 0;
      else if (!s.attempt())
        throw stuck(i, s);
    });
    kernel::RowSteps h = steps([](const StepControl& s) { return s.h; });
    // all at once: after a stage has begun a GPU would have to be waited for
    Tensor times = times_of_stages(), y;
    for (size_t i = 1; i <= stages_; ++i) {
      y = combine(std::span(k_).first(i), pair_.a[i], h);
      auto at = static_cast<int64_t>(i);
      k_[i] = evaluate(y, kernel::slice(times, 0, at - 1, at, 1).reshape({n_}));
    }
    Tensor e = errors(std::span(k_).first(stages_ + 1), pair_.e, y, h);
    std::vector<uint8_t> moves(static_cast<size_t>(n_));
    for_samples([&](int64_t i, StepControl& s) {
      if (s.h == 0) return;
      auto [error, finite] = scaled_norm(e, i, width_);
      if (!(error < 1 && finite)) return s.reject(error);  // an infinity or a NaN too is a step too long
      moves[static_cast<size_t>(i)] = 1;
      s.accept(error);
    });
    Shape each{n_};
    while (each.rank() < y.rank()) each.push_back(1);
    Tensor moved = Tensor::from(moves, each).to(y_.device());
    y_ = kernel::where(moved, y, y_);
    k_[0] = kernel::where(moved, k_[stages_], k_[0]);
  }

  const TimedField& field_;
  const OdeOptions& o_;
  const Pair& pair_;
  double end_;
  Tensor y_;
  int64_t n_, width_;
  size_t stages_;
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
  return EachSolver(field, x0, t0, t1, options, *pair).run();
}

}  // namespace vapo
