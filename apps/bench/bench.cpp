// vapo bench: how long operations, a residual block and training steps take, beside what this machine could do at best.

#include "apps/bench/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <map>
#include <mutex>

#include "apps/run/streams.h"
#include "apps/run/version.h"
#include "tensor/convolution_plans.h"
#include "tensor/device.h"
#include "tensor/kernels.h"
#include "tensor/parallel.h"
#include "tensor/plain_convolutions.h"
#include "tensor/precision.h"

namespace vapo::app {

namespace {
TensorOptions the_operands;
}
const TensorOptions& operands() { return the_operands; }
Tensor draw(const Shape& shape, uint64_t seed) { return randn(shape, {.seed = seed}, the_operands); }

Measurement measure(const std::function<void()>& f, double seconds, Runs runs) {
  int64_t before = kernel::convolution_count(), convolutions = 0;
  int64_t plain_before = plain_convolutions().calls, plain = 0;
  for (int i = 0; i < runs.warm_up; ++i) {
    f();
    if (i > 0) continue;
    convolutions = kernel::convolution_count() - before;
    plain = plain_convolutions().calls - plain_before;
  }
  Device device = the_operands.device;
  synchronize(device);
  reset_peak_memory(device);
  std::vector<double> times;
  for (Stopwatch all; times.size() < static_cast<size_t>(runs.least) || all.seconds() < seconds;) {
    Stopwatch one;
    f();
    synchronize(device);
    times.push_back(one.seconds());
  }
  int64_t peak = memory_stats(device).peak_bytes;
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2],
          times.front(),
          times.back(),
          static_cast<int64_t>(times.size()),
          convolutions,
          plain,
          peak};
}

Machine measure_machine(bool quick) {
  int64_t n = quick ? 64 : 2048;
  Tensor a = draw({n, n}, 1), b = draw({n, n}, 2);
  double flops = 2.0 * static_cast<double>(n * n * n);
  return {flops / measure([&] { kernel::matmul(a, b); }, quick ? 0 : 0.3, quick ? kOnce : Runs()).min};
}

double Machine::copy_rate(double bytes) const {
  static std::map<int64_t, double> known;
  int64_t half = std::max<int64_t>(static_cast<int64_t>(bytes / 2), 1 << 12);
  auto [entry, fresh] = known.try_emplace(half, 0);
  if (fresh) {
    if (the_operands.device == Device::cuda) {
      Tensor from = Tensor::zeros({half}, {DType::u8, Device::cuda}), to = from.clone();
      entry->second =
          2 * static_cast<double>(half) / app::measure([&] { kernel::copy_into(to, from); }, 0.1).median;
      return entry->second;
    }
    Tensor from = Tensor::zeros({half}, DType::u8), to = Tensor::zeros({half}, DType::u8);
    const uint8_t* x = from.data<uint8_t>();
    uint8_t* y = to.mutable_data<uint8_t>();
    auto copy = [&] {
      parallel_for(half, 1 << 15, 64, [&](int64_t begin, int64_t end) {
        std::memcpy(y + begin, x + begin, static_cast<size_t>(end - begin));
      });
    };
    Tensor floats = Tensor::zeros({half / 4});  // by the C library, or through our loops: whichever is quicker
    double best =
        std::min(app::measure(copy, 0.1).median, app::measure([&] { kernel::affine(floats, 1, 0); }, 0.1).median);
    entry->second = 2 * static_cast<double>(half) / best;
  }
  return entry->second;
}

void Table::measure(const Row& row, const std::function<void()>& f) {
  Measurement m = options_.quick ? app::measure(f, 0, kOnce) : app::measure(f, options_.seconds);
  double by_flops = row.flops / machine_.flops,
         by_bytes = row.bytes > 0 ? row.bytes / machine_.copy_rate(row.bytes) : 0;
  double floor = std::max(by_flops, by_bytes);
  bool compute = by_flops >= by_bytes;
  double rate = (compute ? row.flops : row.bytes) / m.median * 1e-9;
  if (options_.common.json) {
    DeviceFacts facts = device_facts(the_operands.device);
    Json line = {{"op", row.name},
                 {"shape", row.shape},
                 {"pass", row.pass},
                 {"ms", 1e3 * m.median},
                 {"ms_min", 1e3 * m.min},
                 {"ms_max", 1e3 * m.max},
                 {"runs", m.count},
                 {compute ? "gflops" : "gbytes_per_second", rate},
                 {"floor_ms", 1e3 * floor},
                 {"share_of_floor", floor / m.median},
                 {"convolutions", m.convolutions},
                 {"plain_convolutions", m.plain},
                 {"peak_bytes", m.peak_bytes},
                 {"commit", commit()},
                 {"device", facts.device},
                 {"libraries", facts.libraries},
                 {"threads", num_threads()},
                 {"precision", name_of(precision())}};
    return print_result(line, true);
  }
  write_output(fmt::format(
      "{:18} {:30} {:12} {:9.3f} ({:.3f} to {:.3f})  {:7.1f} {:8} floor {:8.3f} {:4.0f}% {:3} conv {:8.1f} MiB\n",
      row.name, row.shape, row.pass, 1e3 * m.median, 1e3 * m.min, 1e3 * m.max, rate, compute ? "GFLOP/s" : "GB/s",
      1e3 * floor, 100 * floor / m.median, m.convolutions, static_cast<double>(m.peak_bytes) / (1 << 20)));
}

void serve(const std::function<double()>& step) {
  step();
  write_output("ready\n");
  double seconds = 0, loss = 0;
  for (std::string word; std::cin >> word >> seconds;) {
    reset_peak_memory();
    Measurement m = measure([&] { loss = step(); }, seconds, {.warm_up = 0, .least = 1});  // it is warm already
    Json answer = {{"median_ms", 1e3 * m.median},
                   {"steps", m.count},
                   {"loss", loss},
                   {"steps_per_second", 1 / m.median},
                   {"peak_bytes", m.peak_bytes}};
    write_output(answer.dump() + "\n");
  }
}

namespace {

using Suite = void (*)(const BenchOptions&, const Machine&);

void add_suite(CLI::App& bench, const char* name, const char* about, Action& action, Suite suite, bool serves) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* command = bench.add_subcommand(name, about);
  options->common.add_to(*command);
  command->add_option("--seconds", options->seconds, "Time for each row")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--only", options->only, "Only rows whose name holds this");
  command->add_option("--batch", options->batch, "Batch size (default: the suite's own)")
      ->check(CLI::PositiveNumber);
  command->add_option("--channels", options->channels, "Width of the block: a multiple of 32")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--quick", options->quick,
                    "Only see that every row works: small operands, each once; its times say nothing");
  if (serves) command->add_flag("--serve", options->serve, "Answer lines 'run SECONDS' with a line of JSON each");
  if (suite == bench_step)
    command->add_option("--network", options->network, "Of which potential")
        ->check(CLI::IsMember({"mlp", "unet", "published", "wide_resnet"}))
        ->capture_default_str();
  command->callback([options, suite, &action] {
    action = [options, suite] {
      Device device = options->common.apply();
      time_convolution_plans(true);
      bool rounded = device == Device::cuda && precision() == Precision::bf16;
      the_operands = {rounded ? DType::bf16 : DType::f32, device};
      Machine machine{0};
      if (!options->serve) {
        machine = measure_machine(options->quick);
        note(fmt::format("{}; {}, {:.0f} GFLOP/s in a {}³ product; commit {}", circumstances(device),
                         device_facts(device).libraries, machine.flops * 1e-9, options->quick ? 64 : 2048,
                         commit()));
      }
      suite(*options, machine);
      return 0;
    };
  });
}

}  // namespace

void add_bench(CLI::App& app, Action& action) {
  CLI::App* bench = app.add_subcommand("bench", "Measure operations, a residual block, or training steps");
  bench->require_subcommand(1);
  add_suite(*bench, "ops", "Every kind of operation: forward, vjp, double backward", action, bench_ops, false);
  add_suite(*bench, "block", "One VAPO step of a residual block, fused and composite", action, bench_block, true);
  add_suite(*bench, "step", "Training steps of a potential", action, bench_step, true);
  add_suite(*bench, "inception", "Features of the Inception network", action, bench_inception, true);
}

}  // namespace vapo::app
