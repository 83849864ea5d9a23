#pragma once
// Parameters kept in f32 that layers use in bf16, rounded together: some launches a step for all, not one for each use.

#include <vector>

#include "autograd/var.h"

namespace vapo::nn {

// to(parameter, bf16), by the copy that a RoundedParameters in use has made where there is one.
Var rounded(const Var& parameter);

// Knows after its first use which parameters are asked for; each later use begins with copies of them all.
class RoundedParameters {
 public:
  // While one lives, rounded() on this thread takes copies from here. What it knows must not be written meanwhile.
  class Use {
   public:
    explicit Use(RoundedParameters& all);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    RoundedParameters* before_;
  };

 private:
  friend Var rounded(const Var& parameter);
  Tensor copy_of(const Tensor& parameter);  // undefined where it is asked for the first time

  std::vector<Tensor> known_, copies_;  // of the first as many as there were when the use began
};

}  // namespace vapo::nn
