// The training step that bench/compare_mlp.py compares: 3×192 MLP with 16 time features in the plane, linear path,
// inner-product loss, double backward, norm clip, Adam, EMA. Either runs for some seconds and prints, or serves
// "run SECONDS" lines.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>

#include "autograd/grad.h"
#include "nn/optimizer.h"
#include "tensor/kernels.h"
#include "tensor/random.h"
#include "vapo/loss.h"
#include "vapo/mlp_potential.h"

namespace {

using namespace vapo;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class Training {
 public:
  explicit Training(int64_t batch)
      : batch_(batch),
        points_(randn({100'000, 2}, {.seed = 1})),
        phi_(MlpOptions{}, 0),
        optimizer_(nn::named_parameters(phi_), {}),
        ema_(optimizer_.parameters(), 0.999) {
    for (auto& p : optimizer_.parameters()) inputs_.push_back(*p.parameter);
  }

  double step() {
    uint64_t n = static_cast<uint64_t>(step_++);
    Tensor index = randint({batch_}, {.seed = 1, .stream = 1, .step = n}, points_.dim(0));
    LossBatch b{kernel::index_select(points_, 0, index),
                rand({batch_}, {.seed = 1, .stream = 2, .step = n}, 1e-5, 1),
                randn({batch_, 2}, {.seed = 1, .stream = 3, .step = n}),
                {}};
    LossTerms loss = vapo_loss(phi_, {.kind = Path::Kind::linear}, b, {});
    std::vector<Var> grads = grad(loss.total, inputs_, {.allow_unused = true});  // the last bias does not change ∇Φ
    optimizer_.step(grads, 1e-3, {.kind = nn::ClipOptions::Kind::norm, .limit = 1}, &ema_);
    return loss.total.item();
  }

  nlohmann::json run(double seconds) {
    std::vector<double> times;
    double loss = 0;
    for (auto start = Clock::now(); seconds_since(start) < seconds;) {
      auto begin = Clock::now();
      loss = step();
      times.push_back(seconds_since(begin));
    }
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
    double median = times[times.size() / 2];
    return {{"median_ms", 1e3 * median},
            {"steps", times.size()},
            {"loss", loss},
            {"steps_per_second", 1 / median},
            {"peak_bytes", memory_stats().peak_bytes}};
  }

 private:
  int64_t batch_, step_ = 0;
  Tensor points_;
  MlpPotential phi_;
  nn::Optimizer optimizer_;
  nn::Ema ema_;
  std::vector<Var> inputs_;
};

// The best rate of a large product: what the machine can do, in GFLOP/s.
double peak() {
  constexpr int64_t n = 2048;
  Tensor a = randn({n, n}, {.seed = 1}), b = randn({n, n}, {.seed = 2});
  double best = INFINITY;
  for (int i = 0; i < 20; ++i) {
    auto start = Clock::now();
    kernel::matmul(a, b);
    best = std::min(best, seconds_since(start));
  }
  return 2e-9 * n * n * n / best;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times the training step of bench/README.md");
  int64_t batch = 512;
  double seconds = 3;
  bool serve = false, measure_peak = false;
  app.add_option("--batch", batch, "particles a step")->check(CLI::PositiveNumber);
  app.add_option("--seconds", seconds, "how long to run");
  app.add_flag("--serve", serve, "read lines 'run SECONDS' and answer each with a line of JSON");
  app.add_flag("--peak", measure_peak, "print the GFLOP/s of a 2048³ product instead");
  CLI11_PARSE(app, argc, argv);
  try {
    if (measure_peak) {
      std::cout << peak() << '\n';
      return 0;
    }
    Training training(batch);
    training.run(0.2);  // warm up: caches, allocator
    if (!serve) {
      std::cout << training.run(seconds).dump() << '\n';
      return 0;
    }
    std::cout << "ready" << std::endl;
    std::string word;
    while (std::cin >> word >> seconds) std::cout << training.run(seconds).dump() << std::endl;
  } catch (const Error& e) {
    std::cerr << e.what() << '\n';
    return e.exit_code();
  }
  return 0;
}
