#pragma once
// Which noise goes with which sample of a batch.

#include <cstdint>
#include <vector>

#include "tensor/tensor.h"

namespace vapo {

// The columns π with the least Σ_i cost[i·n + π(i)], exact: shortest augmenting paths over reduced costs, O(n³). Of
// equal sums always the same one. Throws where the costs are not n×n, or not finite.
std::vector<int64_t> assignment(const std::vector<double>& cost, int64_t n);

// The order π (N) i64 of the samples in which Σ_i ‖x̄_π(i) − ε_i‖² is least, among those that leave every label in its
// place: within a label noise is then as before N(0, I), which is what a sampler begins with. data x̄ and eps (N,…);
// labels (N) i64, or undefined: all alike. On the CPU, with products in f64.
Tensor optimal_coupling(const Tensor& data, const Tensor& eps, const Tensor& labels = {});

}  // namespace vapo
