// Pairs of noise and data: the assignment against all permutations and closed forms, and what a training makes of it.

#include "vapo/coupling.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "gaussian_flow.h"
#include "labelled_points.h"
#include "vapo/energy.h"
#include "vapo/networks/mlp.h"
#include "vapo/training/trainer.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

std::vector<int64_t> first_integers(int64_t n) {
  std::vector<int64_t> out(static_cast<size_t>(n));
  std::iota(out.begin(), out.end(), 0);
  return out;
}

double sum_of(const std::vector<double>& cost, const std::vector<int64_t>& columns) {
  double sum = 0;
  for (size_t i = 0; i < columns.size(); ++i) sum += cost[i * columns.size() + static_cast<size_t>(columns[i])];
  return sum;
}

double least_of_all(const std::vector<double>& cost, int64_t n) {
  std::vector<int64_t> columns = first_integers(n);
  double least = INFINITY;
  do least = std::min(least, sum_of(cost, columns));
  while (std::next_permutation(columns.begin(), columns.end()));
  return least;
}

std::vector<int64_t> order_of(const Tensor& data, const Tensor& eps, const Tensor& labels = {}) {
  return optimal_coupling(data, eps, labels).to_vector<int64_t>();
}

}  // namespace

TEST_CASE("an assignment has the least sum of all permutations") {
  for (int64_t n = 1; n <= 7; ++n)
    for (uint64_t draw = 0; draw < 30; ++draw) {
      std::vector<double> cost = randn({n * n}, {.seed = 1, .step = draw}, DType::f64).to_vector<double>();
      if (draw % 3 == 1)  // ties everywhere
        for (double& c : cost) c = std::round(c);
      if (draw % 3 == 2)  // far from 0
        for (double& c : cost) c = 1e3 * c - 1e6;
      std::vector<int64_t> columns = assignment(cost, n), sorted = columns;
      std::sort(sorted.begin(), sorted.end());
      CHECK(sorted == first_integers(n));
      CHECK(sum_of(cost, columns) == doctest::Approx(least_of_all(cost, n)).epsilon(1e-12));
      CHECK(assignment(cost, n) == columns);
    }
  CHECK(assignment({}, 0).empty());
  CHECK_THROWS_AS(assignment({1, 2, 3}, 2), Error);
  CHECK_THROWS_AS(assignment({1, NAN, 3, 4}, 2), Error);
}

TEST_CASE("on a line the closest pairs are those of equal rank") {
  constexpr int64_t n = 300;
  Tensor x = randn({n, 1}, {.seed = 1}), eps = randn({n, 1}, {.seed = 2});
  std::vector<int64_t> order = order_of(x, eps), by_noise = first_integers(n);
  std::sort(by_noise.begin(), by_noise.end(), [&](int64_t a, int64_t b) { return eps.at(a) < eps.at(b); });
  for (size_t k = 0; k + 1 < by_noise.size(); ++k) CHECK(x.at(order[by_noise[k]]) <= x.at(order[by_noise[k + 1]]));
}

TEST_CASE("samples change places with those of their label alone, and each label's sum is least") {
  constexpr int64_t n = 14, d = 3;
  Tensor x = randn({n, d}, {.seed = 1}), eps = randn({n, d}, {.seed = 2});
  std::vector<int64_t> y = {0, 7, 0, 7, 7, 3, 0, 7, 0, 0, 7, 0, 0, 7};
  std::vector<int64_t> order = order_of(x, eps, Tensor::from(y, {n}));
  auto squared = [&](int64_t i, int64_t j) {
    double sum = 0;
    for (int64_t k = 0; k < d; ++k) sum += std::pow(x.at(j * d + k) - eps.at(i * d + k), 2);
    return sum;
  };
  for (int64_t label : {0, 3, 7}) {
    std::vector<int64_t> places;
    for (int64_t i = 0; i < n; ++i)
      if (y[i] == label) places.push_back(i);
    std::vector<double> cost;
    double sum = 0;
    for (int64_t i : places) {
      CHECK(y[order[i]] == label);
      sum += squared(i, order[i]);
      for (int64_t j : places) cost.push_back(squared(i, j));
    }
    CHECK(sum == doctest::Approx(least_of_all(cost, static_cast<int64_t>(places.size()))).epsilon(1e-6));
  }
  CHECK(order_of(x, eps) != order);  // without labels there are closer pairs
  Tensor images = x.reshape({n, 1, d, 1});
  CHECK(order_of(images, eps.reshape(images.shape()), Tensor::from(y, {n})) == order);
}

TEST_CASE("a training pairs its batches, and each sample keeps its label") {
  LabelledPoints points;
  Recipe recipe;
  recipe.path = {.kind = Path::Kind::linear, .coupling = Path::Coupling::optimal};
  recipe.potential.form = PotentialOptions::Form::raw;
  recipe.potential.mlp.hidden = {8};
  recipe.potential.mlp.classes = 3;
  recipe.loss.weight = LossOptions::Weight::one;
  recipe.train.batch_size = 32, recipe.train.seed = 4;
  check(recipe);
  for (double drop : {0., 0.5}) {
    recipe.train.label_drop = drop;
    Batch b = points.batch(0);
    RandomKey key{.seed = 4, .stream = kNoiseStream};
    Tensor eps = randn({32, 2}, key), t = rand({32}, {.seed = 4, .stream = kTimeStream}, 1e-5, 1);
    std::vector<int64_t> y = b.labels.to_vector<int64_t>();
    Tensor u = rand({32}, {.seed = 4, .stream = kLabelStream});
    for (int64_t i = 0; i < 32; ++i)
      if (u.at(i) < drop) y[i] = 3;
    Tensor shown = Tensor::from(y, {32});
    Tensor paired = kernel::index_select(b.x, 0, optimal_coupling(b.x, eps, shown));
    auto loss = [&](const Tensor& x) {
      return vapo_loss(*make_potential(recipe, {2}), recipe.path, {x, t, eps, shown}, recipe.loss).total.item();
    };
    Trainer trainer(recipe, points);
    CHECK(trainer.step().loss == doctest::Approx(loss(paired)).epsilon(1e-6));
    CHECK(std::abs(loss(b.x) - loss(paired)) > 1e-3);
  }
  double paired = Trainer(recipe, points).validation_loss();
  recipe.path.coupling = Path::Coupling::independent;
  CHECK(std::abs(Trainer(recipe, points).validation_loss() - paired) > 1e-3);
}

TEST_CASE("with coupled noise there is no marginal energy, and it says why") {
  MlpPotential phi({.hidden = {4}}, 0);
  Path path{.kind = Path::Kind::linear, .coupling = Path::Coupling::optimal};
  CHECK_THROWS_WITH_AS(marginal_energy(phi, path, 0.5), doctest::Contains("path.coupling = \"optimal\""),
                       InputError);
  CHECK_THROWS_WITH_AS(marginal_energy(phi, path, Tensor::full({1}, 0.5)),
                       doctest::Contains("path.coupling = \"optimal\""), InputError);
  Model model;
  model.recipe.path = path;
  model.recipe.energy.boltzmann_t = 0.5;
  model.potential = std::make_shared<MlpPotential>(MlpOptions{.hidden = {4}}, 0);
  CHECK_NOTHROW(model.boltzmann());  // of f and g² that are given
  model.recipe.energy.boltzmann = EnergyOptions::Boltzmann::path;
  CHECK_THROWS_WITH_AS(model.boltzmann(), doctest::Contains("path.coupling = \"optimal\""), InputError);
  model.recipe.path.coupling = Path::Coupling::independent;
  CHECK_NOTHROW(model.boltzmann());
}
