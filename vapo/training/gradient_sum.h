#pragma once
// Gradients of a batch that is divided into parts, one after the other, and among ranks.

#include <algorithm>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "autograd/grad.h"
#include "distributed/communicator.h"

namespace vapo {

// How a batch is divided. The ranks have as many parts each, in their order.
struct Replicas {
  Communicator* ranks = nullptr;  // null: one
  int64_t parts = 1;              // of all ranks
  bool tree = false;              // parts are added as TreeSum has it, which ranks need; false: one after the other
  bool fast = false;              // ranks sum in an order of their own, beside the last part's gradient
  int64_t own_parts() const { return ranks ? parts / ranks->size() : parts; }
  int64_t first_part() const { return ranks ? own_parts() * ranks->rank() : 0; }
  struct Rows {
    int64_t first, count;
  };
  // Of n rows those of part 0 … own_parts() − 1 of this rank: as many for each, but that the last ones may have fewer or none.
  Rows rows_of(int64_t own_part, int64_t n) const {
    int64_t size = (n + parts - 1) / parts, first = std::min((first_part() + own_part) * size, n);
    return {first, std::min(size, n - first)};
  }
};

class GradientSum {
 public:
  // Parameters and ranks are kept by reference.
  GradientSum(const std::vector<Var>& parameters, const Replicas& replicas)
      : parameters_(parameters), replicas_(replicas), tree_(Plus{}) {}

  ~GradientSum();

  // Takes the gradient of one part's loss; a parameter on which it does not depend has zeros. values (k): numbers whose
  // sums are wanted beside. A part of nothing is taken too: undefined.
  void take(const Var& loss, const Tensor& values = {});
  // The same of loss(0) … loss(count − 1), each with its values, that threads compute side by side. Each thread adds up its
  // own, and these sums are added in order. On one rank alone.
  using Loss = std::function<std::pair<Var, Tensor>(int64_t part)>;
  void take_side_by_side(int64_t count, const Loss& loss);
  // After the last: over all parts and ranks. Called once.
  void finish();
  const std::vector<Tensor>& gradients() const { return sum_.gradients; }
  const Tensor& values() const { return sum_.values; }

 private:
  struct Part {
    std::vector<Tensor> gradients;
    Tensor values;
  };
  struct Plus {
    Part operator()(Part a, Part b) const;
  };
  // Gradients that the ranks sum at once.
  struct Bucket {
    std::vector<Tensor*> gradients;
    int64_t bytes = 0;
    Tensor all;
  };
  std::vector<Tensor> gradients_of(const Var& loss, const GradOptions& options = {}) const;
  void add(Part part);
  void take_last_of_fast(const Var& loss, const Tensor& values);
  void put(size_t parameter);
  void start_bucket();

  const std::vector<Var>& parameters_;
  Replicas replicas_;
  Part sum_;
  TreeSum<Part, Plus> tree_;
  int64_t taken_ = 0;
  std::vector<bool> put_;       // parameters whose gradients are in a bucket
  std::deque<Bucket> buckets_;  // in the order in which they are full, the same on all ranks
};

}  // namespace vapo
