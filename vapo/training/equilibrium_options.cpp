// The keys of [equilibrium], and what its values must be beside others.

#include "tensor/check.h"
#include "vapo/recipe.h"

namespace vapo {
namespace {

constexpr double kMost = 1e9;   // of counts
constexpr double kHuge = 1e30;  // of reals
constexpr double kEver = 1e12;  // of steps

template <class... T>
[[noreturn]] void refuse(fmt::format_string<T...> text, T&&... values) {
  throw InputError(fmt::format(text, std::forward<T>(values)...));
}

}  // namespace

void add_keys(Keys& keys, EquilibriumOptions& e) {
  Keys own = {
      key("equilibrium.steps", e.steps, from(0, kEver),
          "Updates of the equilibrium phase, which follows train.steps; 0: none"),
      key("equilibrium.energy", e.energy,
          "Whose law the chains keep. marginal: the log-density at equilibrium.times; potential: Phi, which "
          "must be autonomous and raw"),
      key("equilibrium.times", e.times, from(0, 1),
          "marginal: one time, or several, among which chains are divided"),
      key("equilibrium.temperature", e.temperature, from(0, kHuge),
          "T of the chains' law e^{E/T}; 0: 1 of marginal, 0.01 of potential"),
      key("equilibrium.step_size", e.step_size, from(0, kHuge),
          "eta of x + eta grad E + sqrt(2 eta T) noise, of marginal in units of sigma(t)^2; 0: 0.25 of "
          "marginal, 0.02 of potential"),
      key("equilibrium.buffer", e.buffer, from(1, 1e7), "Chains, which go on from update to update"),
      key("equilibrium.batch_size", e.batch_size, from(1, 1e7), "Of the chains, moved by one update"),
      key("equilibrium.chain_steps", e.chain_steps, from(1, kMost), "Of each of them"),
      key("equilibrium.jumps", e.jumps, from(0, kMost),
          "Of each of them, after its steps: by the difference of two of the data, and a Metropolis test takes it "
          "or "
          "not. Of points: chains then cross between valleys"),
      key("equilibrium.averaged_noise", e.averaged_noise,
          "A step's noise is the mean of its own and the next one's: chains without the steps' error of first "
          "order"),
      key("equilibrium.renewed", e.renewed, from(0, 1), "Share of the chains moved that begin anew"),
      key("equilibrium.data_share", e.data_share, from(0, 1),
          "Of the new ones: begin at data, the others at noise that the flow carries"),
      key("equilibrium.label_drop", e.label_drop, from(-1, 1),
          "With classes: the share of samples, and so of chains, that this phase shows without theirs; -1: "
          "train.label_drop"),
      key("equilibrium.weight", e.weight, from(0, kHuge), "lambda of lambda (E[E(chains)] - E[E(data)])"),
      key("equilibrium.share", e.share, from(0, kHuge),
          "Of the norm of the flow's gradient: the most that this term's may have; 0: any"),
      key("equilibrium.trim", e.trim, from(0, 1),
          "Share of the chains of lowest energy that their mean leaves out"),
      key("equilibrium.clamp", e.clamp, from(0, kHuge),
          "The term has no gradient below minus this; 0: it always has"),
      key("equilibrium.clamp_states", e.clamp_states,
          "potential, images: chains are held in [-1,1] after every update"),
      key("equilibrium.fade", e.fade, from(0, 1),
          "The flow's weight is 1 up to this time, and falls to 0 at t = 1"),
      key("equilibrium.learning_rate", e.schedule.base, from(0, 1e38), "At its highest"),
      key("equilibrium.warmup_steps", e.schedule.warmup_steps, from(0, kEver), "In which it rises"),
      key("equilibrium.final_fraction", e.schedule.final_fraction, from(0, 1),
          "Of the learning rate at its end; 1: it stays"),
      key("equilibrium.ema_decay", e.ema_decay, from(0, 1), "Of the averaged weights in this phase"),
      key("equilibrium.limit", e.limit, from(0, kHuge),
          "Deviations of energies by which those of chains may be away from those of data while that grows: beyond "
          "it "
          "the run stops; 0: any")};
  keys.insert(keys.end(), own.begin(), own.end());
}

void check_equilibrium(const Recipe& r) {
  const EquilibriumOptions& e = r.equilibrium;
  if (e.steps == 0) return;
  if (std::string why = r.path.no_density(); !why.empty() && e.marginal())
    refuse("equilibrium.energy = \"marginal\": {}. Hint: equilibrium.energy = \"potential\"", why);
  for (double t : e.times)
    if (e.marginal() && !(t > 0 && t < 1))
      refuse("equilibrium.times: {} must be above 0 and below 1, where the path leaves a density", t);
  if (e.batch_size % e.rungs() != 0)
    refuse("equilibrium.batch_size = {} cannot be divided among {} equilibrium.times", e.batch_size, e.rungs());
  if (e.buffer % e.batch_size != 0)
    refuse("equilibrium.buffer = {} must be a multiple of equilibrium.batch_size = {}", e.buffer, e.batch_size);
  if (r.train.batch_size != kAuto && r.train.batch_size < e.rungs())
    refuse("train.batch_size = {}: fewer samples than equilibrium.times", r.train.batch_size);
  if (e.clamp_states && e.marginal())
    refuse(
        "equilibrium.clamp_states = true: with equilibrium.energy = \"marginal\" states hold noise, and leave "
        "[-1,1]");
  if (e.fade < 1 && r.loss.estimator == LossOptions::Estimator::published)
    refuse(
        "equilibrium.fade = {} with loss.estimator = \"published\", which has time weights of its own: must be 1",
        e.fade);
  if (e.ema_decay >= 1)
    refuse("equilibrium.ema_decay = {} must be below 1: the average would never move (0 = no average)",
           e.ema_decay);
  if (e.label_drop < 0 && e.label_drop != -1)
    refuse("equilibrium.label_drop = {} must be a share, or -1: that of train.label_drop", e.label_drop);
  if (e.trim >= 1) refuse("equilibrium.trim = {} must be below 1: no chain would be left", e.trim);
}

}  // namespace vapo
