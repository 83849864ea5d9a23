#include "vapo/training/gradient_sum.h"

#include <algorithm>

#include "tensor/check.h"
#include "tensor/operators.h"
#include "tensor/parallel.h"

namespace vapo {

GradientSum::Part GradientSum::Plus::operator()(Part a, Part b) const {
  a.gradients = kernel::add_each(std::move(a.gradients), b.gradients);
  if (a.values.defined()) a.values = a.values + b.values;
  return a;
}

// After an error in between: ranks may be summing these, and are ended.
GradientSum::~GradientSum() {
  if (!buckets_.empty()) new std::deque<Bucket>(std::move(buckets_));
}

std::vector<Tensor> GradientSum::gradients_of(const Var& loss, const GradOptions& options) const {
  std::vector<Tensor> out;
  if (loss.defined()) {
    for (Var& g : grad(loss, parameters_, options)) {
      out.push_back(g.value());
      g = Var();
    }
  } else {
    for (const Var& p : parameters_) out.push_back(Tensor::zeros(p.shape(), p.value().options()));
  }
  return out;
}

void GradientSum::take(const Var& loss, const Tensor& values) {
  if (replicas_.ranks && replicas_.fast && ++taken_ == replicas_.own_parts())
    return take_last_of_fast(loss, values);
  add({.gradients = gradients_of(loss, {.allow_unused = true}), .values = values});
}

void GradientSum::take_side_by_side(int64_t count, const Loss& loss) {
  VAPO_CHECK(!replicas_.ranks && !replicas_.tree,
             "[gradient_sum] parts side by side on several ranks or as a tree");
  std::vector<Part> sums(static_cast<size_t>(count));  // of a thread's parts, where its first one lies
  parallel_for(count, 1, 1, [&](int64_t begin, int64_t end) {
    Part& sum = sums[static_cast<size_t>(begin)];
    for (int64_t i = begin; i < end; ++i) {
      auto [of_part, values] = loss(i);
      Part part{.gradients = gradients_of(of_part, {.allow_unused = true}), .values = values};
      sum = i == begin ? std::move(part) : Plus{}(std::move(sum), std::move(part));
    }
  });
  for (Part& sum : sums)
    if (!sum.gradients.empty()) add(std::move(sum));
}

void GradientSum::add(Part part) {
  if (replicas_.tree)
    tree_.take(std::move(part));
  else
    sum_ = sum_.gradients.empty() ? std::move(part) : Plus{}(std::move(sum_), std::move(part));
}

// What the parts before have is there, so that a gradient of this one makes a sum of this rank's complete.
void GradientSum::take_last_of_fast(const Var& loss, const Tensor& values) {
  Part before = std::move(sum_);
  bool first = before.gradients.empty();
  sum_ = {.gradients = std::vector<Tensor>(parameters_.size()), .values = first ? values : before.values};
  if (!first && values.defined()) sum_.values = before.values + values;
  put_.assign(parameters_.size(), false);
  auto ready = [&](size_t i, const Tensor& g) {
    sum_.gradients[i] = first ? g : before.gradients[i] + g;
    put(i);
  };
  std::vector<Tensor> all =
      gradients_of(loss, {.allow_unused = true, .ready = [&](size_t i, const Var& g) { ready(i, g.value()); }});
  for (size_t i = 0; i < all.size(); ++i)
    if (!put_[i]) ready(i, all[i]);
}

// Full at what a network takes some milliseconds for: small ones cost messages, large ones are begun late.
void GradientSum::put(size_t parameter) {
  constexpr int64_t full = 25 << 20;
  if (buckets_.empty() || buckets_.back().bytes >= full) buckets_.emplace_back();
  Bucket& bucket = buckets_.back();
  Tensor& gradient = sum_.gradients[parameter];
  VAPO_CHECK(gradient.dtype() == DType::f32, "[gradient_sum] a gradient of {}", name_of(gradient.dtype()));
  bucket.gradients.push_back(&gradient);
  bucket.bytes += gradient.numel() * static_cast<int64_t>(sizeof(float));
  put_[parameter] = true;
  if (bucket.bytes >= full) start_bucket();
}

void GradientSum::start_bucket() {
  Bucket& bucket = buckets_.back();
  bucket.all = flattened(bucket.gradients);
  replicas_.ranks->start_sum(bucket.all);
}

void GradientSum::finish() {
  if (!replicas_.ranks || !replicas_.fast) {
    if (replicas_.tree && !tree_.empty()) sum_ = std::move(tree_).sum();
    if (!replicas_.ranks) return;
    std::vector<Tensor*> all;
    for (Tensor& g : sum_.gradients) all.push_back(&g);
    if (sum_.values.defined()) all.push_back(&sum_.values);
    return replicas_.ranks->all_reduce(all);
  }
  if (!buckets_.empty() && !buckets_.back().all.defined()) start_bucket();
  replicas_.ranks->finish_sums();
  for (Bucket& bucket : buckets_) unflatten(bucket.all, bucket.gradients);
  buckets_.clear();
  if (sum_.values.defined()) replicas_.ranks->all_reduce({&sum_.values});
}

}  // namespace vapo
