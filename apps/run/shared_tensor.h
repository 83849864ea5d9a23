#pragma once
// Tensors between ranks: what work that is divided among them hands on. Of one rank alone both are what they are given.

#include <vector>

#include "tensor/tensor.h"

namespace vapo::app {

Tensor from_leader(const Tensor& x);  // rank 0's, on all ranks; the others' is not looked at
std::vector<Tensor> to_leader(
    const Tensor& x);  // on rank 0 those of all ranks, in order; elsewhere empty. Undefined ones stay so

}  // namespace vapo::app
