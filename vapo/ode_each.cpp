// The solver of ode.cpp for samples that each have steps of their own. A round is one attempted step of every
// sample that has not arrived: the stages of all are evaluated together, each at its own time.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "tensor/kernels.h"
#include "vapo/ode.h"
#include "vapo/runge_kutta.h"

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
        direction_(t1 < t0 ? -1 : 1),
        device_(x0.device()),
        y_(x0.to(Device::cpu)),
        n_(y_.dim(0)),
        width_(y_.numel() / n_),
        samples_(static_cast<size_t>(n_), Sample{.t = t0, .next = t0}) {
    for_samples([&](int64_t i, Sample& s) { s.tolerances = sound(o_, row(y_, i), width_); });
  }

  OdeResult run() {
    k_[0] = evaluate(y_, [](const Sample& s) { return s.t; });
    if (auto bad = non_finite(k_[0])) throw field_not_finite(earliest(), *bad);
    first_steps();
    while (earliest() != end_) round();
    OdeResult out{y_.to(device_), nfe_, {}, 0, 0};
    for (const Sample& s : samples_) {
      out.rtol = std::max(out.rtol, s.tolerances.rtol);
      out.atol = std::max(out.atol, s.tolerances.atol);
    }
    return out;
  }

 private:
  struct Sample {
    double t, next, size = 0, h = 0;  // where it is, where its attempt leads, |h| to try next, next − t
    bool rejected = false;            // the attempt before
    Tolerances tolerances{};
  };

  double earliest() const {
    double t = end_;
    for (const Sample& s : samples_)
      if (direction_ * (s.t - t) < 0) t = s.t;
    return t;
  }

  template <class F>
  Tensor evaluate(const Tensor& x, const F& time_of) {
    if (nfe_ >= o_.max_evaluations)
      throw DivergedError(
          fmt::format("ode: {} evaluations and only at t = {}. Hint: looser rtol and atol", nfe_, earliest()));
    ++nfe_;
    std::vector<double> times;
    for (const Sample& s : samples_) times.push_back(time_of(s));
    Tensor t = Tensor::from(times, {n_}).to(x.dtype());
    Tensor k = field_(x.to(device_), t.to(device_));
    VAPO_CHECK(k.shape() == x.shape() && k.dtype() == x.dtype(),
               "[integrate_each] the field gives {} {}, the state is {} {}", name_of(k.dtype()), k.shape().str(),
               name_of(x.dtype()), x.shape().str());
    return k.to(Device::cpu);
  }

  // y + h Σ_j w_j k_j of every sample; one that does not move is copied.
  Tensor combine(std::span<const Tensor> ks, const double* weights) const {
    Tensor out = Tensor::empty(y_.shape(), y_.options());
    for (int64_t i = 0; i < n_; ++i) {
      const T *k[max_stages], *y = row(y_, i);
      T w[max_stages], *to = out.mutable_data<T>() + i * width_;
      int terms = 0;
      double h = samples_[static_cast<size_t>(i)].h;
      for (size_t j = 0; j < ks.size() && h != 0; ++j)
        if (weights[j] != 0) {
          k[terms] = row(ks[j], i);
          w[terms++] = static_cast<T>(h * weights[j]);
        }
      combine_into(to, y, k, w, terms, width_);
    }
    return out;
  }

  double norm(int64_t i, double h, std::span<const Tensor> ks, const double* w, const Tensor& y_new) const {
    const T* k[max_stages];
    for (size_t j = 0; j < ks.size(); ++j) k[j] = row(ks[j], i);
    const Tolerances& to = samples_[static_cast<size_t>(i)].tolerances;
    return scaled_norm(h, k, w, ks.size(), row(y_, i), row(y_new, i), width_, to.atol, to.rtol);
  }
  const T* row(const Tensor& x, int64_t i) const { return x.data<T>() + i * width_; }

  template <class F>
  void for_samples(const F& f) {
    for (int64_t i = 0; i < n_; ++i) f(i, samples_[static_cast<size_t>(i)]);
  }

  DivergedError stuck(int64_t i, double tried) const {
    std::vector<Tensor> k;
    for (size_t j = 0; j <= static_cast<size_t>(pair_.stages); ++j)
      k.push_back(kernel::slice(k_[j], 0, i, i + 1, 1));
    std::string why = no_step(pair_, samples_[static_cast<size_t>(i)].t, tried, k).what();
    return DivergedError(fmt::format("{} (sample {} of {}, counted from 0)", why, i, n_));
  }

  void first_steps() {
    const double one[] = {1}, difference[] = {1, -1};
    std::vector<double> d1;
    for_samples([&](int64_t i, Sample& s) {
      double d0 = norm(i, 1, {&y_, 1}, one, y_);
      d1.push_back(norm(i, 1, {k_.data(), 1}, one, y_));
      s.size = trial_step(d0, d1.back(), std::abs(end_ - s.t));
      s.h = s.size * direction_;
    });
    const Tensor both[] = {evaluate(combine({k_.data(), 1}, one), [](const Sample& s) { return s.t + s.h; }),
                           k_[0]};
    for_samples([&](int64_t i, Sample& s) {
      double d2 = norm(i, 1, both, difference, y_) / s.size;
      s.size = first_step(s.size, d1[static_cast<size_t>(i)], d2, pair_.error_order, std::abs(end_ - s.t));
    });
  }

  void round() {
    for_samples([&](int64_t i, Sample& s) {
      double tried = std::exchange(s.h, 0);
      if (s.t == end_) return;
      double smallest = smallest_step(s.t, direction_);
      if (!s.rejected) s.size = std::max(s.size, smallest);
      if (!(s.size >= smallest)) throw stuck(i, tried);
      s.next = s.t + s.size * direction_;
      if (direction_ * (s.next - end_) > 0) s.next = end_;
      s.h = s.next - s.t;
      s.size = std::abs(s.h);
    });
    size_t stages = static_cast<size_t>(pair_.stages);
    Tensor y;
    for (size_t i = 1; i <= stages; ++i) {
      y = combine(std::span(k_).first(i), pair_.a[i]);
      k_[i] = evaluate(y, [&](const Sample& s) { return i == stages ? s.next : s.t + pair_.c[i] * s.h; });
    }
    Tensor state = y_.clone(), slope = k_[0].clone();
    for_samples([&](int64_t i, Sample& s) {
      if (s.h == 0) return;
      double error = norm(i, s.h, std::span(k_).first(stages + 1), pair_.e, y);
      bool finite = std::all_of(row(y, i), row(y, i) + width_, [](T v) { return std::isfinite(v); });
      if (!(error < 1 && finite)) {  // an infinity or a NaN too is a step too long
        s.size *= shorter(error, pair_.error_order);
        s.rejected = true;
        return;
      }
      std::copy_n(row(y, i), width_, state.mutable_data<T>() + i * width_);
      std::copy_n(row(k_[stages], i), width_, slope.mutable_data<T>() + i * width_);
      s.t = s.next;
      s.size *= longer(error, pair_.error_order, s.rejected);
      s.rejected = false;
    });
    y_ = std::move(state);
    k_[0] = std::move(slope);
  }

  const TimedField& field_;
  const OdeOptions& o_;
  const Pair& pair_;
  double end_, direction_;
  Device device_;
  Tensor y_;
  int64_t n_, width_, nfe_ = 0;
  std::vector<Sample> samples_;
  std::array<Tensor, max_stages> k_;
};

}  // namespace

OdeResult integrate_each(const TimedField& field, const Tensor& x0, double t0, double t1,
                         const OdeOptions& options) {
  VAPO_CHECK(options.times.empty(), "[integrate_each] {} times to report: samples have no steps in common",
             options.times.size());
  bool adaptive = options.method == OdeMethod::rk23 || options.method == OdeMethod::rk45;
  if (!adaptive || x0.numel() == 0 || t0 == t1) {  // steps of one length are each sample's own
    Field shared = [&](const Tensor& x, double t) { return field(x, Tensor::full({x.dim(0)}, t, x.options())); };
    return integrate(shared, x0, t0, t1, options);
  }
  check_start(x0, t0, t1);
  check_tolerances(options);
  const Pair& pair = options.method == OdeMethod::rk23 ? bogacki_shampine : dormand_prince;
  return x0.dtype() == DType::f64 ? EachSolver<double>(field, x0, t0, t1, options, pair).run()
                                  : EachSolver<float>(field, x0, t0, t1, options, pair).run();
}

}  // namespace vapo
