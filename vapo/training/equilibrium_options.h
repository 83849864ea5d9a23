#pragma once
// Options of the equilibrium phase (vapo/training/equilibrium.h).

#include <cstdint>
#include <vector>

#include "nn/schedule.h"
#include "tensor/names.h"
#include "vapo/path.h"

namespace vapo {

struct EquilibriumOptions {
  // Whose law e^{E/T} the chains keep: marginal: E = log ρ̄(·,t*), exact where the flow is; potential: E = Φ, as published.
  enum class Energy { marginal, potential };
  int64_t steps = 0;  // updates; 0: no phase
  Energy energy = Energy::marginal;
  std::vector<double> times = {
      0.8};                 // marginal: t*; of several, chain k and sample k have number k mod their count
  double temperature = 0;   // T; 0: 1 of marginal, 0.01 of potential
  double step_size = 0;     // η; of marginal in units of σ(t*)². 0: 0.25 of marginal, 0.02 of potential
  int64_t buffer = 256;     // persistent chains
  int64_t batch_size = 32;  // of them, moved by one update
  int64_t chain_steps = 6;  // of each
  int64_t jumps = 0;  // of each: proposals x + μ(x̄ − x̄'), of two of the data, that a Metropolis test takes
  bool averaged_noise = true;  // of chains: their law is then that of E at any stable η (SgldOptions)
  double renewed = 0.06;       // share of the chains moved that begin anew
  double data_share = 0.5;     // of the new ones: begin at data, the others at noise
  double label_drop = -1;      // in this phase, in the place of TrainingOptions' own; -1: that
  double weight = 1;           // λ
  double share = 0;            // of the flow term's gradient norm: the most that the other's has; 0: any
  double trim = 0;             // share of the chains of lowest E that is left out of their mean
  double clamp = 0;            // the second term has no gradient below −clamp; 0: always
  bool clamp_states = false;   // chains are held in [−1,1] after every update
  double fade = 1;             // the flow term's weight is 1 up to this time, and falls to 0 at t = 1
  nn::Schedule schedule = {
      .kind = nn::Schedule::Kind::cosine, .base = 2e-4, .warmup_steps = 20, .final_fraction = 1};  // of `steps`
  double ema_decay = 0.99;
  double limit = 10;  // of |E[E(x⁻)] − E_data[E]| in deviations (equilibrium.h): the most while it grows; 0: any

  bool marginal() const { return energy == Energy::marginal; }
  double own_temperature() const { return temperature > 0 ? temperature : marginal() ? 1 : 0.01; }
  double time_of(int64_t k) const {  // of chain or sample k
    return marginal() ? times[static_cast<size_t>(k) % times.size()] : 1;
  }
  int64_t rungs() const { return marginal() ? static_cast<int64_t>(times.size()) : 1; }
  double step_size_at(const Path& path, double t) const {
    double own = step_size > 0 ? step_size : marginal() ? 0.25 : 0.02, sigma = path.at(t).sigma;
    return marginal() ? own * sigma * sigma : own;
  }
  nn::Schedule learning_rate() const {
    nn::Schedule out = schedule;
    out.total_steps = steps;
    return out;
  }
};
constexpr auto names_of(EquilibriumOptions::Energy) {
  using E = EquilibriumOptions::Energy;
  return name_table<E>("equilibrium energy", {{"marginal", E::marginal}, {"potential", E::potential}});
}

}  // namespace vapo
