// Chains of the equilibrium phase: what law they keep, how long they go on, and how they cross.

#include <doctest/doctest.h>

#include <cmath>

#include "equilibrium_setting.h"
#include "vapo/training/equilibrium_chains.h"

using namespace vapo;
using namespace vapo::testing;
using Kind = EquilibriumOptions::Energy;

namespace {

// Valleys at x₁ = ±5 of deviation ½ each, which no chain crosses by steps; the right one holds four fifths at T = 1.
class TwoValleys : public Potential {
 public:
  Var operator()(const Var& x, const Var&, const Tensor& = {},
                 const std::optional<RandomKey>& = {}) const override {
    auto valley = [&](double place, double share) {
      Var at = Tensor::from(std::vector{place, 0.0}, {2});
      return std::log(share) - 2 * sum(square(x - at), {1}, true);
    };
    return logsumexp(concat(std::vector{valley(5, 0.8), valley(-5, 0.2)}, 1), {1});
  }
  bool autonomous() const override { return true; }
  void parameters(const nn::ParameterVisitor&) override {}
};

}  // namespace

TEST_CASE(
    "chains that jump by the difference of two of the data have the weights of valleys that no step crosses") {
  TwoValleys phi;
  EquilibriumOptions o = some(Kind::potential);
  o.temperature = 1;
  o.step_size = 0.05;
  o.buffer = o.batch_size = 2000;
  o.renewed = 0, o.data_share = 1;
  // As many data in either valley: the shares are then not the data's.
  std::vector<double> places;
  for (int k = 0; k < 8; ++k) places.insert(places.end(), {k % 2 == 0 ? 5.0 : -5.0, 0.1 * k});
  Tensor data = Tensor::from(places, {8, 2});
  auto share_at_right = [&](int64_t jumps, double& jumped) {
    o.jumps = jumps;
    EquilibriumChains chains({.potential = phi, .path = linear_path, .sample = {2}, .seed = 7}, o);
    for (int64_t n = 0; n < 30; ++n) chains.move(n, data, {});
    jumped = chains.jumped();
    Tensor right = kernel::unary<Step>(kernel::slice(chains.states(), 1, 0, 1, 1));
    return kernel::sum(right, {}, false).item() / 2000;
  };
  double jumped = 0, error = std::sqrt(0.8 * 0.2 / 2000);
  CHECK(std::abs(share_at_right(2, jumped) - 0.8) < 4 * error);
  CHECK(jumped > 0.1);
  CHECK(jumped < 0.9);
  CHECK(share_at_right(0, jumped) == 0.5);
  CHECK(std::isnan(jumped));
}

TEST_CASE(
    "chains have their energy's law at long steps too, and a Metropolis test tells that plain ones have not") {
  // Of curvature 1 with η = ½: variance T, by plain noise T/(1 − ¼). 4 standard errors of a variance over 8000 numbers.
  Bowl phi(-1, {0, 0});
  GaussianFlow flow{.path = linear_path};
  EquilibriumOptions o = some(Kind::potential);
  o.temperature = 0.5;
  o.step_size = 0.5;
  o.buffer = 4000, o.batch_size = 2000;
  o.renewed = 0;
  // Of single steps too: a block goes on with the noise that its last move ended with.
  for (auto [averaged, steps] : {std::pair{true, 3}, {true, 1}, {false, 3}}) {
    o.averaged_noise = averaged, o.chain_steps = steps;
    EquilibriumChains chains({.potential = phi, .path = linear_path, .sample = {2}, .seed = 5}, o);
    for (int64_t n = 0; n < 24; ++n) chains.move(n, gaussian_data(flow, 8, 0), {});
    Tensor x = chains.states();
    double variance = kernel::sum_squares({&x, 1}).item() / 8000, error = 0.5 * std::sqrt(2.0 / 8000);
    double expected = averaged ? 0.5 : 0.5 / 0.75, other = averaged ? 0.5 / 0.75 : 0.5;
    CHECK(std::abs(variance - expected) < 4 * error);
    CHECK(std::abs(variance - other) > 4 * error);
    CHECK(chains.acceptance() < 0.95);
  }
  o.step_size = 0.01;
  EquilibriumChains chains({.potential = phi, .path = linear_path, .sample = {2}, .seed = 5}, o);
  chains.move(0, gaussian_data(flow, 8, 0), {});
  CHECK(chains.acceptance() > 0.99);
}

TEST_CASE("chains go on from update to update, and begin anew as often as they are told to") {
  Bowl phi(-1, {0, 0});
  GaussianFlow flow{.path = linear_path};
  EquilibriumOptions o = some(Kind::potential);
  o.temperature = 1e-12;  // next to no noise
  o.step_size = 1e-9;     // and no movement
  o.renewed = 0;
  o.data_share = 1;
  EquilibriumChains chains({.potential = phi, .path = flow.path, .sample = {2}}, o);
  CHECK(!chains.states().defined());
  Tensor first = gaussian_data(flow, 8, 1), second = gaussian_data(flow, 8, 2), third = gaussian_data(flow, 8, 3);
  chains.move(0, first, {});
  CHECK(chains.states().dim(0) == 8);
  chains.move(1, second, {});
  chains.move(2, third, {});  // the first block again
  CHECK(chains.states().dim(0) == 16);
  CHECK(largest_difference(kernel::slice(chains.states(), 0, 0, 8, 1), first) < 1e-6);
  CHECK(largest_difference(kernel::slice(chains.states(), 0, 8, 16, 1), second) < 1e-6);
  o.renewed = 1;
  EquilibriumChains anew({.potential = phi, .path = flow.path, .sample = {2}}, o);
  for (int64_t n = 0; n < 3; ++n) anew.move(n, n < 2 ? first : third, {});
  CHECK(largest_difference(kernel::slice(anew.states(), 0, 0, 8, 1), third) < 1e-6);
  o.data_share = 0;  // by the flow from noise to t = 0.9: x e^{−0.9}
  EquilibriumChains carried({.potential = phi, .path = flow.path, .sample = {2}}, o);
  carried.move(0, first, {});
  double squares = kernel::sum_squares(std::vector{carried.states()}).item() / 16;
  CHECK(squares > 0.02);
  CHECK(squares < 0.6);  // e^{−1.8} = 0.17
  o.clamp_states = true;
  CHECK_THROWS_WITH_AS(EquilibriumChains({.potential = phi, .path = flow.path, .sample = {2}}, o),
                       doctest::Contains("equilibrium.clamp_states"), InputError);
}
