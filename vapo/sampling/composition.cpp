#include "vapo/sampling/composition.h"

#include <algorithm>
#include <cmath>

#include "vapo/wrapped_potential.h"

namespace vapo {
namespace {

constexpr double tolerance = 1e-6;  // of a sum of weights

Tensor repeated(const Tensor& x, size_t times) { return kernel::concat(std::vector<Tensor>(times, x), 0); }
Var repeated(const Var& x, size_t times) { return concat(std::vector<Var>(times, x), 0); }

class WeightedPotential : public WrappedPotential {
 public:
  // has_density: the weights sum to 1
  WeightedPotential(std::shared_ptr<Potential> base, int64_t classes, std::vector<ClassTerm> terms,
                    bool has_density)
      : WrappedPotential(std::move(base)), classes_(classes), has_density_(has_density) {
    for (ClassTerm& term : terms) {
      if (!std::isfinite(term.weight)) throw InputError(fmt::format("composition: a weight is {}", term.weight));
      check_labels(term.labels);
      if (term.weight != 0) terms_.push_back(std::move(term));
    }
    if (terms_.empty()) throw InputError("composition: no class has a weight other than 0");
  }

  Var log_density(const Var& x, const Var& t, const Tensor& y) const override {
    return has_density_ ? WrappedPotential::log_density(x, t, y) : Var();
  }

 private:
  void check_labels(const Tensor& labels) const {
    if (!labels.defined()) return;
    VAPO_CHECK(labels.rank() == 1 && labels.dtype() == DType::i64, "[composition] labels {} {}, expected i64 (N)",
               name_of(labels.dtype()), labels.shape().str());
    if (classes_ == 0) throw InputError("composition: labels for a network without classes");
    for (int64_t label : labels.to_vector<int64_t>())
      if (label < 0 || label >= classes_)
        throw InputError(fmt::format("composition: class {}: the network has 0 to {}", label, classes_ - 1));
  }

  // Moved to the device at the first call, and kept there: what is recorded copies nothing from the CPU.
  Tensor labels_of(ClassTerm& term, int64_t n, Device device, const Tensor& y) const {
    if (term.of_call) return y;
    if (!term.labels.defined()) return Tensor::full({n}, static_cast<double>(classes_), {DType::i64, device});
    VAPO_CHECK(term.labels.dim(0) == 1 || term.labels.dim(0) == n, "[composition] {} labels for {} samples",
               term.labels.dim(0), n);
    term.labels = term.labels.to(device);
    return kernel::broadcast_to(term.labels, {n});
  }

  // Σ w_i f(x, t, y_i)
  Var wrapped(const Function& f, const Var& x, const Var& t, const Tensor& y) const override {
    bool wants = std::ranges::any_of(terms_, &ClassTerm::of_call);
    VAPO_CHECK(
        y.defined() == wants, "[composition] {}",
        wants ? "no labels for a potential that takes them" : "labels for a potential whose labels are fixed");
    int64_t n = x.dim(0);
    size_t m = terms_.size();
    if (m == 1) {
      double w = terms_[0].weight;
      Var u = f(x, t, classes_ > 0 ? labels_of(terms_[0], n, x.device(), y) : Tensor());
      return !u.defined() || w == 1 ? u : w * u;
    }
    std::vector<Tensor> labels, weights;
    for (ClassTerm& term : terms_) {
      labels.push_back(labels_of(term, n, x.device(), y));
      weights.push_back(Tensor::full({1, 1}, term.weight, x.options()));
    }
    Var u = f(repeated(x, m), repeated(t, m), kernel::concat(labels, 0));
    if (!u.defined()) return u;
    return sum(kernel::concat(weights, 0) * reshape(u, {static_cast<int64_t>(m), n}), {0});
  }

  int64_t classes_;
  mutable std::vector<ClassTerm> terms_;
  bool has_density_;
};

class TemperedPotential : public WrappedPotential {
 public:
  TemperedPotential(std::shared_ptr<Potential> base, double lambda)
      : WrappedPotential(std::move(base)), lambda_(lambda) {
    if (!(lambda > 0) || !std::isfinite(lambda))
      throw InputError(fmt::format("tempered potential: the temperature {} must be positive", lambda));
  }

 private:
  Var wrapped(const Function& f, const Var& x, const Var& t, const Tensor& y) const override {
    Var u = f(x, t, y);
    return u.defined() ? u / lambda_ : u;
  }

  double lambda_;
};

class AccompaniedPotential : public WrappedPotential {
 public:
  using WrappedPotential::WrappedPotential;

 private:
  Var wrapped(const Function& f, const Var& x, const Var& t, const Tensor& y) const override {
    if (x.dim(0) != 1) return f(x, t, y);
    Var u = f(repeated(x, 2), repeated(t, 2), y.defined() ? repeated(y, 2) : y);
    return u.defined() ? slice(u, 0, {0, 1}) : u;
  }
};

void check_sum(const std::vector<ClassTerm>& terms) {
  double sum = 0;
  for (const ClassTerm& term : terms) sum += term.weight;
  if (!(std::abs(sum - 1) <= tolerance))
    throw InputError(fmt::format("composition: the weights sum to {}, not to 1", sum));
}

}  // namespace

std::shared_ptr<Potential> conditioned(std::shared_ptr<Potential> base, int64_t classes, const Tensor& labels) {
  return guided(std::move(base), classes, labels, 0);
}

std::shared_ptr<Potential> guided(std::shared_ptr<Potential> base, int64_t classes, const Tensor& labels,
                                  double w) {
  return composed(std::move(base), classes, {{.labels = labels}}, w);
}

std::shared_ptr<Potential> guided(std::shared_ptr<Potential> base, int64_t classes, double w) {
  return composed(std::move(base), classes, {{.of_call = true}}, w);
}

std::shared_ptr<Potential> composed(std::shared_ptr<Potential> base, int64_t classes, std::vector<ClassTerm> terms,
                                    double w) {
  check_sum(terms);
  for (ClassTerm& term : terms) term.weight *= 1 + w;
  terms.push_back({.weight = -w});
  return std::make_shared<WeightedPotential>(std::move(base), classes, std::move(terms), true);
}

std::shared_ptr<Potential> composed_against_none(std::shared_ptr<Potential> base, int64_t classes,
                                                 std::vector<ClassTerm> terms, double none_weight) {
  bool has_density = std::abs(none_weight - 1) <= tolerance;
  for (const ClassTerm& term : terms) none_weight -= term.weight;
  terms.push_back({.weight = none_weight});
  return std::make_shared<WeightedPotential>(std::move(base), classes, std::move(terms), has_density);
}

std::shared_ptr<Potential> tempered(std::shared_ptr<Potential> base, double lambda) {
  return std::make_shared<TemperedPotential>(std::move(base), lambda);
}

std::shared_ptr<Potential> never_alone(std::shared_ptr<Potential> base) {
  return std::make_shared<AccompaniedPotential>(std::move(base));
}

}  // namespace vapo
