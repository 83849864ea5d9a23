#include "apps/training/dry_run.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "tensor/kernels.h"
#include "tensor/storage.h"
#include "vapo/training/trainer.h"

namespace vapo::app {
namespace {

constexpr double longest_step = 5;  // seconds that the timed step may take
constexpr double most_bytes = 2e9;  // of tensors in it

// The first samples of a data set's first batch, again and again.
class FirstOf : public BatchSource {
 public:
  FirstOf(const BatchSource& whole, const Batch& batch, int64_t n) : whole_(whole) {
    few_.x = kernel::slice(batch.x, 0, 0, n, 1);
    if (batch.labels.defined()) few_.labels = kernel::slice(batch.labels, 0, 0, n, 1);
  }
  const std::string& name() const override { return whole_.name(); }
  Shape sample_shape() const override { return whole_.sample_shape(); }
  int64_t classes() const override { return whole_.classes(); }
  Batch batch(int64_t) override { return few_; }

 private:
  const BatchSource& whole_;
  Batch few_;
};

struct Cost {
  double flops, seconds;
  int64_t bytes, parameters;
};

// Of a part of n, as one of two where a batch is taken in several: their sum, and what a part asks of the whole
// batch, then cost what they cost in training.
Cost cost_of(Recipe config, const BatchSource& dataset, const Batch& batch, int64_t n, Device device) {
  int64_t before = memory_stats(device).current_bytes, parts = std::min<int64_t>(config.train.parts(), 2);
  config.equilibrium.steps = 0;
  config.train.batch_size = parts * n;
  config.train.accumulate = parts, config.train.shards = 0;
  FirstOf few(dataset, batch, parts * n);
  Trainer trainer(config, few, {.device = device, .recorded = false});
  trainer.step();  // libraries choose their algorithms
  reset_peak_memory(device);
  double flops = kernel::flop_count();
  Stopwatch watch;
  trainer.step();
  double seconds = watch.seconds(), share = 1 / static_cast<double>(parts);
  flops = kernel::flop_count() - flops;
  Stopwatch again;
  trainer.step();
  return {share * flops, share * std::min(seconds, again.seconds()), memory_stats(device).peak_bytes - before,
          trainer.parameters()};
}

}  // namespace

// An update of the equilibrium phase in flow steps: by the network's passes, of which a sample of the flow takes six (both
// gradients, the inner one differentiated), a chain's step two, and a sample of the contrast three.
double update_in_steps(const Config& config) {
  const EquilibriumOptions& e = config.equilibrium;
  auto n = static_cast<double>(config.train.batch_size), chains = static_cast<double>(e.batch_size);
  return 1 + (2 * chains * static_cast<double>(e.chain_steps) + 3 * (n + chains)) / (6 * n);
}

Json dry_run(const Config& config, Dataset& dataset, Device device) {
  const TrainingOptions& t = config.train;
  Batch batch = dataset.batch(0);
  int64_t part = t.batch_size / t.parts();
  int64_t many = std::min<int64_t>(part, dataset.sample_shape().rank() < 3 ? 1024
                                         : device == Device::cuda          ? 32
                                                                           : 4);
  int64_t few = std::max<int64_t>(many / 2, std::min<int64_t>(many, 2));
  Cost large = cost_of(config, dataset, batch, many, device), small = large;
  if (few < many) small = cost_of(config, dataset, batch, few, device);
  // a + b·n through the two
  auto extrapolated = [&](double at_small, double at_large, int64_t n) {
    double slope = few < many ? (at_large - at_small) / static_cast<double>(many - few) : 0;
    return at_large + slope * static_cast<double>(n - many);
  };
  double parts = static_cast<double>(t.parts());
  double flops = parts * extrapolated(small.flops, large.flops, part);
  auto bytes_of = [&](int64_t n) {
    return extrapolated(static_cast<double>(small.bytes), static_cast<double>(large.bytes), n);
  };
  double bytes = bytes_of(part), seconds_each = large.seconds / static_cast<double>(many);
  // Few samples take longer each than many: a step of as many as a moment and a modest memory allow is timed as well.
  int64_t timed = many;
  while (2 * timed <= part && seconds_each * static_cast<double>(2 * timed) < longest_step &&
         bytes_of(2 * timed) < most_bytes)
    timed *= 2;
  if (timed > many) {
    Cost measured = cost_of(config, dataset, batch, timed, device);
    seconds_each = measured.seconds / static_cast<double>(timed);
    if (timed == part) bytes = static_cast<double>(measured.bytes);
  }
  double seconds = seconds_each * static_cast<double>(t.batch_size);
  double update = seconds * update_in_steps(config);
  int64_t updates = config.equilibrium.steps;
  Json out = {{"parameters", large.parameters},
              {"batch_size", t.batch_size},
              {"parts", t.parts()},
              {"forward_passes_first", t.parts() > 1 && takes_whole_batch(config.loss)},
              {"flops_per_step", flops},
              {"peak_bytes", static_cast<int64_t>(bytes)},
              {"peak_gib", bytes / (1 << 30)},
              {"seconds_per_step", seconds},
              {"steps", t.steps},
              {"hours", (seconds * static_cast<double>(t.steps) + update * static_cast<double>(updates)) / 3600},
              {"measured_with", timed}};
  if (updates > 0) out.update({{"equilibrium_steps", updates}, {"estimated_seconds_per_equilibrium_step", update}});
  return out;
}

// What one rank sends of n numbers: by halves and back where ranks are a power of two, else all of them up the tree and
// down again (distributed/communicator.cpp), of which rank 0 has the most.
Json among_ranks(const Json& alone, const RanksAsked& asked) {
  auto ranks = static_cast<uint64_t>(asked.ranks);
  auto n = static_cast<double>(ranks), levels = std::ceil(std::log2(n)),
       bytes = 4 * alone["parameters"].get<double>();
  double sent = std::has_single_bit(ranks) ? 2 * (n - 1) / n * bytes : levels * bytes;
  double reducing = (std::has_single_bit(ranks) ? sent : 2 * levels * bytes) * 8 / (asked.gigabits * 1e9) +
                    2 * levels * asked.latency_ms / 1e3;
  double one = alone["seconds_per_step"], together = one / n + reducing;
  return {{"ranks", asked.ranks},
          {"gigabits", asked.gigabits},
          {"latency_ms", asked.latency_ms},
          {"parts_of_each", alone["parts"].get<int64_t>() / asked.ranks},
          {"bytes_sent_by_each", static_cast<int64_t>(sent)},
          {"seconds_of_sums", reducing},
          {"seconds_per_step_of_ranks", together},
          {"hours_of_ranks", alone["hours"].get<double>() * together / one},
          {"times_as_fast", one / together},
          {"share_computing", one / n / together}};
}

}  // namespace vapo::app
