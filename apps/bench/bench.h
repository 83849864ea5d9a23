#pragma once
// What `vapo bench` measures with, and its suites.

#include <functional>
#include <string>
#include <vector>

#include "apps/run/command.h"
#include "tensor/tensor.h"

namespace vapo::app {

struct BenchOptions {
  CommonOptions common;
  std::string only;
  double seconds = 0.5;    // for each row
  int64_t batch = 0;       // 0 = the suite's own
  int64_t channels = 128;  // of the block
  bool serve = false;
  bool quick = false;           // small operands, each row once: only to see that it works
  std::string network = "mlp";  // of `step`; or unet, published, wide_resnet
};

struct Measurement {
  double median, min, max;  // seconds
  int64_t count;            // runs
  int64_t convolutions;     // calls in one run
  int64_t plain;            // of them without an algorithm of cuDNN's
  int64_t peak_bytes;       // while it ran, with its operands
};
// Where everything is measured, and in what: bf16 on a GPU under that precision, else f32.
const TensorOptions& operands();
Tensor draw(const Shape& shape, uint64_t seed);  // N(0,1), of operands()
struct Runs {
  int warm_up = 2, least = 5;
};
constexpr Runs kOnce{.warm_up = 1, .least = 1};
// f to warm up, then for `seconds` and at least so many times; each time until the device is done.
Measurement measure(const std::function<void()>& f, double seconds, Runs runs = {});

// What this machine does at best, measured with the rest, in the same run.
struct Machine {
  double flops;  // of a 2048³ product, in f32
  // Bytes a second, read and written, of a copy that moves this many.
  double copy_rate(double bytes) const;
};
Machine measure_machine(bool quick);

// One line of the table: what was done, how much work it is at least, what it took.
struct Row {
  std::string name, shape, pass;
  double flops, bytes;  // 0 where it is bound by the other
};
class Table {
 public:
  Table(const BenchOptions& options, const Machine& machine) : options_(options), machine_(machine) {}
  bool wants(const std::string& name) const {
    return options_.only.empty() || name.find(options_.only) != name.npos;
  }
  void measure(const Row& row, const std::function<void()>& f);

 private:
  const BenchOptions& options_;
  const Machine& machine_;
};

void bench_ops(const BenchOptions& options, const Machine& machine);
// One VAPO step (∇ₓΦ, E‖∇Φ − v‖², its gradient in all parameters) of a residual block, fused and composite.
void bench_block(const BenchOptions& options, const Machine& machine);
// A training step: batch, loss, gradient, clipping, Adam, EMA; of the plane's potential, or of an image potential
// (the published loss), with the evaluation of ∇Φ that sampling repeats.
void bench_step(const BenchOptions& options, const Machine& machine);
// Features of 299×299 images by the Inception network.
void bench_inception(const BenchOptions& options, const Machine& machine);
// Answers each line "run SECONDS" with a line of JSON about `step`, which gives its loss.
void serve(const std::function<double()>& step);

}  // namespace vapo::app
