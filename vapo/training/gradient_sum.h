#pragma once
// Gradients of a batch that is divided into parts, one after the other, and among ranks.

#include <utility>
#include <vector>

#include "autograd/var.h"
#include "distributed/communicator.h"

namespace vapo {

// How a batch is divided. The ranks have as many parts each, in their order.
struct Replicas {
  Communicator* ranks = nullptr;  // null: one
  int64_t parts = 1;              // of all ranks
  bool tree = false;              // parts are added as TreeSum has it, which ranks need; false: one after the other
  int64_t own_parts() const { return ranks ? parts / ranks->size() : parts; }
  int64_t first_part() const { return ranks ? own_parts() * ranks->rank() : 0; }
};

class GradientSum {
 public:
  // Parameters and ranks are kept by reference.
  GradientSum(const std::vector<Var>& parameters, const Replicas& replicas)
      : parameters_(parameters), replicas_(replicas), tree_(Plus{}) {}

  // Takes the gradient of one part's loss; a parameter on which it does not depend has zeros. values (k): numbers whose
  // sums are wanted beside. A part of nothing is taken too: undefined.
  void take(const Var& loss, const Tensor& values = {});
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
  const std::vector<Var>& parameters_;
  Replicas replicas_;
  Part sum_;
  TreeSum<Part, Plus> tree_;
};

// In place, over all ranks: x[i] are of one shape on all of them, f32 or f64.
void all_reduce(Communicator& ranks, const std::vector<Tensor*>& x);

}  // namespace vapo
