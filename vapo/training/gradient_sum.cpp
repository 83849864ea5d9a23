#include "vapo/training/gradient_sum.h"

#include <algorithm>

#include "autograd/grad.h"
#include "tensor/check.h"
#include "tensor/operators.h"

namespace vapo {
namespace {

// What is of type T, through one buffer.
template <class T>
void reduce_as(Communicator& ranks, const std::vector<Tensor*>& x, DType dtype) {
  std::vector<T> all;
  for (const Tensor* t : x) {
    if (t->dtype() != dtype) continue;
    std::vector<T> values = t->to(Device::cpu).to_vector<T>();
    all.insert(all.end(), values.begin(), values.end());
  }
  if (all.empty()) return;
  ranks.all_reduce(std::span(all));
  auto at = all.begin();
  for (Tensor* t : x) {
    if (t->dtype() != dtype) continue;
    auto end = at + t->numel();
    *t = Tensor::from(std::vector<T>(at, end), t->shape()).to(t->device());
    at = end;
  }
}

}  // namespace

void all_reduce(Communicator& ranks, const std::vector<Tensor*>& x) {
  if (ranks.size() == 1) return;
  for (const Tensor* t : x)
    VAPO_CHECK(t->dtype() == DType::f32 || t->dtype() == DType::f64, "[all_reduce] of {}", name_of(t->dtype()));
  reduce_as<float>(ranks, x, DType::f32);
  reduce_as<double>(ranks, x, DType::f64);
}

GradientSum::Part GradientSum::Plus::operator()(Part a, Part b) const {
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    a.gradients[i] = a.gradients[i] + b.gradients[i];
    b.gradients[i] = Tensor();
  }
  if (a.values.defined()) a.values = a.values + b.values;
  return a;
}

void GradientSum::take(const Var& loss, const Tensor& values) {
  Part part{.gradients = {}, .values = values};
  if (loss.defined()) {
    for (Var& g : grad(loss, parameters_, {.allow_unused = true})) {
      part.gradients.push_back(g.value());
      g = Var();
    }
  } else {
    for (const Var& p : parameters_) part.gradients.push_back(Tensor::zeros(p.shape(), p.value().options()));
  }
  if (replicas_.tree)
    tree_.take(std::move(part));
  else
    sum_ = sum_.gradients.empty() ? std::move(part) : Plus{}(std::move(sum_), std::move(part));
}

void GradientSum::finish() {
  if (replicas_.tree && !tree_.empty()) sum_ = std::move(tree_).sum();
  if (!replicas_.ranks) return;
  std::vector<Tensor*> all;
  for (Tensor& g : sum_.gradients) all.push_back(&g);
  if (sum_.values.defined()) all.push_back(&sum_.values);
  all_reduce(*replicas_.ranks, all);
}

}  // namespace vapo
