// Σ‖x̄_π(i) − ε_i‖² = Σ‖x̄‖² + Σ‖ε‖² − 2 Σ x̄_π(i)·ε_i: only the products matter.

#include "vapo/coupling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "tensor/check.h"
#include "tensor/kernels.h"

namespace vapo {

namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

// Prices u of rows and v of columns with every reduced cost c − u − v ≥ 0, and pairs whose reduced cost is 0.
struct Assignment {
  const std::vector<double>& cost;
  int64_t n;
  std::vector<double> u, v;
  std::vector<int64_t> column_of, row_of;  // −1: none yet

  Assignment(const std::vector<double>& costs, int64_t count)
      : cost(costs), n(count), u(size()), v(size()), column_of(size(), -1), row_of(size(), -1) {}
  size_t size() const { return static_cast<size_t>(n); }
  double reduced(int64_t row, int64_t column) const { return cost[row * n + column] - v[column]; }

  // An auction: each free row takes its cheapest column, which becomes dearer by what the next one costs more, and by
  // epsilon; the row that held it is free again. O(n) a bid, of which there are at most so many.
  void bid(double epsilon, int64_t bids) {
    row_of.assign(size(), -1);
    std::vector<int64_t> free(size());
    std::iota(free.rbegin(), free.rend(), 0);
    for (; bids > 0 && !free.empty(); --bids) {
      int64_t row = free.back(), best = -1;
      double least = kInfinite, next = kInfinite;
      for (int64_t j = 0; j < n; ++j) {
        double r = reduced(row, j);
        if (r < least)
          next = least, least = r, best = j;
        else if (r < next)
          next = r;
      }
      free.pop_back();
      if (next < kInfinite) v[best] -= next - least + epsilon;
      if (row_of[best] >= 0) free.push_back(row_of[best]);
      row_of[best] = row;
    }
  }

  // Prices near the best ones, from auctions of smaller and smaller epsilon; their pairs are let go again. From such
  // prices the paths below are short.
  void find_prices() {
    auto [low, high] = std::minmax_element(cost.begin(), cost.end());
    double range = *high - *low, last = range / (16 * static_cast<double>(n));
    for (double epsilon = range / 8; epsilon > last; epsilon /= 4) bid(epsilon, 32 * n);
    row_of.assign(size(), -1);
    for (int64_t i = 0; i < n; ++i) {
      u[i] = kInfinite;
      for (int64_t j = 0; j < n; ++j) u[i] = std::min(u[i], reduced(i, j));
    }
  }

  // Dijkstra from a row, over columns and the rows that hold them, to the nearest free column; the prices then make
  // the path's reduced costs 0, and along it every row moves to the next column.
  void augment(int64_t start) {
    std::vector<int64_t> from(size(), start), open(size()), visited;
    std::iota(open.begin(), open.end(), 0);
    std::vector<double> distance(size(), kInfinite);
    int64_t nearest = -1;
    double reached = 0;
    for (int64_t row = start; row >= 0; row = row_of[nearest]) {
      size_t place = 0;
      double base = reached - u[row];
      for (size_t k = 0; k < open.size(); ++k) {
        int64_t j = open[k];
        double through = base + reduced(row, j);
        if (through < distance[j]) distance[j] = through, from[j] = row;
        if (distance[j] < distance[open[place]]) place = k;
      }
      nearest = open[place];
      open[place] = open.back(), open.pop_back();
      reached = distance[nearest];
      visited.push_back(nearest);
    }
    u[start] += reached;
    for (int64_t j : visited) {
      v[j] -= reached - distance[j];
      if (row_of[j] >= 0) u[row_of[j]] += reached - distance[j];
    }
    for (int64_t column = nearest; column >= 0;) {
      row_of[column] = from[column];
      std::swap(column_of[from[column]], column);
    }
  }
};

}  // namespace

std::vector<int64_t> assignment(const std::vector<double>& cost, int64_t n) {
  VAPO_CHECK(static_cast<int64_t>(cost.size()) == n * n, "[assignment] {} costs for {} rows and columns",
             cost.size(), n);
  for (double c : cost) VAPO_CHECK(std::isfinite(c), "[assignment] a cost is {}", c);
  if (n == 0) return {};
  Assignment out(cost, n);
  out.find_prices();
  for (int64_t i = 0; i < n; ++i) out.augment(i);
  return out.column_of;
}

Tensor optimal_coupling(const Tensor& data, const Tensor& eps, const Tensor& labels) {
  int64_t n = data.dim(0);
  VAPO_CHECK(n > 0 && eps.shape() == data.shape() && (!labels.defined() || labels.shape() == Shape{n}),
             "[optimal_coupling] data {}, eps {}, labels {}", data.shape().str(), eps.shape().str(),
             labels.defined() ? labels.shape().str() : "none");
  auto as_rows = [n](const Tensor& x) { return x.to(Device::cpu).to(DType::f64).reshape({n, x.numel() / n}); };
  std::vector<double> products =
      kernel::matmul(as_rows(eps), as_rows(data), {.transpose_b = true}).to_vector<double>();
  std::map<int64_t, std::vector<int64_t>> alike;  // the places of each label
  std::vector<int64_t> label_of =
      labels.defined() ? labels.to(Device::cpu).to_vector<int64_t>() : std::vector<int64_t>(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) alike[label_of[i]].push_back(i);
  std::vector<int64_t> order(static_cast<size_t>(n));
  for (const auto& [label, places] : alike) {
    std::vector<double> cost;
    for (int64_t i : places)
      for (int64_t j : places) cost.push_back(-products[i * n + j]);
    std::vector<int64_t> chosen = assignment(cost, static_cast<int64_t>(places.size()));
    for (size_t k = 0; k < places.size(); ++k) order[places[k]] = places[chosen[k]];
  }
  return Tensor::from(order, {n});
}

}  // namespace vapo
