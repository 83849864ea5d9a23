#pragma once
// Persistent chains of the present potential: x ← x + η∇E(x) + √(2ηT) ξ (vapo/sampling/sgld.h), a block of them at every update.

#include <map>
#include <string>
#include <vector>

#include "vapo/energy.h"
#include "vapo/recorded.h"
#include "vapo/training/equilibrium_options.h"
#include "vapo/training/gradient_sum.h"

namespace vapo {

// What the chains are of. The potential, which is kept by reference, changes while they run.
struct EquilibriumSetting {
  const Potential& potential;
  Path path;
  Shape sample;         // of one: (D) or (H,W,C)
  int64_t classes = 0;  // of the potential
  uint64_t seed = 0;
  Device device = Device::cpu;
  bool recorded = true;    // on a GPU: ∇E is replayed instead of launched (vapo/recorded.h)
  Replicas replicas = {};  // which share the gradients of every step, and all have all states
};

// Samples and the energies that they are states of.
struct States {
  Tensor x;       // (M,…), on the device
  Tensor t;       // (M): the time of each energy
  Tensor labels;  // (M) i64, or undefined
};

class EquilibriumChains {
 public:
  // Throws InputError naming the key where potential and options do not fit.
  EquilibriumChains(const EquilibriumSetting& setting, const EquilibriumOptions& options);

  // Moves the block of update n, and begins some of its chains anew, at data (N,…) or at noise that the flow carries;
  // labels (N) i64 or undefined. Which, where, their noise and temperatures are functions of (seed, n, chain). Throws
  // DivergedError where a state is not finite.
  const States& move(int64_t n, const Tensor& data, const Tensor& labels);
  // Where the last move's last step began: the mean chance that a Metropolis test takes a step with noise of its own. NaN
  // at temperature 0. It is 1 where steps are so short that plain noise leaves the law of E as it is.
  double acceptance() const { return acceptance_; }
  // Of the last move's jumps, the share that was taken; NaN without any. A jump adds to a chain's state the difference of
  // two of the data, at the scale of its energy's time: a proposal that is as likely as its opposite, so that the law of E
  // stays (differential evolution, ter Braak 2006). It is how chains cross where no step of theirs does.
  double jumped() const { return jumped_; }

  // x⁺ of update n for E_data: the data, or at the times of the energies x_t* = μx̄ + σε.
  States positives(int64_t n, const Tensor& data, const Tensor& labels) const;
  // E of states, differentiable in x and in the potential's parameters: (M).
  Var energy(const Var& x, const Tensor& t, const Tensor& labels) const;

  Tensor states() const;  // (count,…) of all chains that have begun, on the CPU; undefined before the first
  void store(std::map<std::string, Tensor>& extra) const;  // "equilibrium.…" of a checkpoint
  void restore(const std::map<std::string, Tensor>& extra, const std::string& file);

 private:
  struct Block {
    States at;
    std::vector<double> clock;  // of each chain: the time that its temperature goes by
  };
  RandomKey key(uint32_t stream, int64_t step) const;
  Tensor times(int64_t count, DType dtype) const;
  Tensor noised(const Tensor& data, const Tensor& t, const Tensor& noise) const;
  Tensor carried(const Tensor& noise, const Tensor& labels, double t) const;
  EnergyGradient slope(const Tensor& x, const States& of);
  void begin(Block& block, int64_t n, const Tensor& data, const Tensor& labels) const;
  void run(Block& block, int64_t n);
  void jump(Block& block, int64_t n, const Tensor& data);
  double temperature_at(double clock) const;
  Tensor noise(int64_t n, int64_t s, const Tensor& x) const;

  EquilibriumSetting setting_;
  EquilibriumOptions options_;
  Recorded slope_;             // x, t, labels → ∇E, E
  std::vector<Block> blocks_;  // begun so far
  double acceptance_, jumped_;
};

}  // namespace vapo
