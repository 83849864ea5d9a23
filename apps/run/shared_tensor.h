#pragma once
// Tensors between ranks: what work that is divided among them hands on. Of one rank alone both are what they are given.

#include <functional>
#include <vector>

#include "tensor/tensor.h"

namespace vapo::app {

Tensor from_leader(const Tensor& x);  // rank 0's, on all ranks; the others' is not looked at
std::vector<Tensor> to_leader(
    const Tensor& x);  // on rank 0 those of all ranks, in order; elsewhere empty. Undefined ones stay so

// make(begin, count) (count,…) for the rows 0 … n−1, `batch` at a time, of which each rank makes every R-th: on all ranks the
// whole, as one rank alone would have it.
Tensor in_shared_batches(int64_t n, int64_t batch, const std::function<Tensor(int64_t begin, int64_t count)>& make);
double largest_of_ranks(double own);

}  // namespace vapo::app
