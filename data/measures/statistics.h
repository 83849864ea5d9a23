#pragma once
// Numbers that say how far apart two sets of points, or two densities in the plane, are.

#include <vector>

#include "tensor/tensor.h"

namespace vapo::data {

struct Estimate {
  double mean = 0, standard_error = 0;
};
Estimate mean_of(const Tensor& values);  // of independent values (N), any float dtype

// 2E|X−Y| − E|X−X'| − E|Y−Y'| over all pairs of x (N,D) and y (M,D), each point with itself included; ≥ 0, and
// 0 only for equal laws (Székely & Rizzo 2013). About E|X−X'|(1/N + 1/M) between two samples of one law. O((N+M)²D).
double energy_distance(const Tensor& x, const Tensor& y);

// A rectangle cut into cells × cells equal cells.
struct Grid {
  double x_low, x_high, y_low, y_high;
  int64_t cells;
  Tensor centres() const;  // (cells², 2) f64; x runs fastest
  double cell_area() const;
  // Around points (N,2), with a margin of `margin` times the extent on each side.
  static Grid around(const Tensor& points, int64_t cells, double margin = 0.05);
};
// The share of every cell under a log-density known up to a constant: softmax over the cells; sums to 1.
std::vector<double> cell_shares(const Tensor& log_density);
// log ∫ e^v over the grid, v (cells²) at its centres.
double log_integral(const Tensor& values, const Grid& grid);
// ½ Σ |p − q|, in [0,1].
double total_variation(const std::vector<double>& p, const std::vector<double>& q);

}  // namespace vapo::data
