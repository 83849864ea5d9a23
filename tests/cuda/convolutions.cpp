// Convolutions by cuDNN's plans: in TF32 (`fast`) and bf16 beside f64 on the CPU, rounded once with bias and addend; on the
// emulated library also which plan is taken, that plans come back, and what happens where it refuses. Exits with 77,
// which ctest counts as skipped, where there is no GPU.

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "tensor/convolution_plans.h"
#include "tensor/device.h"
#include "tensor/plain_convolutions.h"
#include "tensor/precision.h"
#include "tensor/step_graph.h"
#include "tests/op_cases.h"

namespace {

using namespace vapo;
using Tensors = std::vector<Tensor>;

int failed = 0, count = 0;
void expect(bool good, const std::string& what) {
  failed += !good, ++count;
  fmt::print("{}  {}\n", good ? "PASS" : "FAIL", what);
}

double nmse(const Tensor& gpu, const Tensor& cpu) {
  std::vector<double> a = gpu.to(Device::cpu).to(DType::f64).to_vector<double>(), b = cpu.to_vector<double>();
  double difference = 0, size = 0;
  for (size_t i = 0; i < b.size(); ++i) difference += (a[i] - b[i]) * (a[i] - b[i]), size += b[i] * b[i];
  return difference == 0 ? 0 : std::isfinite(difference) ? difference / std::max(size, 1e-300) : INFINITY;
}

bool same(const Tensor& a, const Tensor& b) {
  auto values = [](const Tensor& x) { return x.to(Device::cpu).to(DType::f64).to_vector<double>(); };
  return values(a) == values(b);
}

struct Operands {
  Tensor x, w, b, y, dx;  // y and dx: cotangents and addends
};
Operands draw(const ConvSize& c, DType t) {
  Shape y = kernel::conv2d(Tensor::zeros(c.x), Tensor::zeros(c.w), {}, c.options).shape();
  uint64_t seed = 0;
  auto next = [&](const Shape& s) { return randn(s, {.seed = ++seed}, t); };
  return {next(c.x), next(c.w), next({c.w[0]}), next(y), next(c.x)};
}
Operands moved(const Operands& o, DType t, Device device) {
  auto to = [&](const Tensor& x) { return x.to(t).to(device); };
  return {to(o.x), to(o.w), to(o.b), to(o.y), to(o.dx)};
}
Tensors passes(const Operands& o, const kernel::Conv2dOptions& p) {
  return {kernel::conv2d(o.x, o.w, {}, p),
          kernel::conv2d(o.x, o.w, o.b, p),
          kernel::conv2d(o.x, o.w, {}, p, o.y),
          kernel::conv2d(o.x, o.w, o.b, p, o.y),
          kernel::conv2d_input_grad(o.y, o.w, o.x.shape(), p),
          kernel::conv2d_input_grad(o.y, o.w, o.x.shape(), p, o.dx),
          kernel::conv2d_weight_grad(o.x, o.y, o.w.shape(), p)};
}

std::vector<ConvSize> sizes() {
  std::vector<ConvSize> all = conv_sizes();
  all.push_back({"odd sizes", {3, 7, 5, 3}, {5, 3, 2, 3}, {.stride = {2, 1}, .padding = {2, 1}}});
  all.push_back({"other padding in each direction", {2, 6, 5, 8}, {16, 3, 5, 8}, {.padding = {0, 3}}});
  all.push_back({"dilated, turned", {2, 9, 8, 8}, {8, 3, 3, 8}, {.padding = {2, 1}, .dilation = {2, 1}}});
  all.push_back({"tiles of channels, turned", {1, 3, 4, 40}, {70, 3, 3, 40}, {.padding = 1}});
  all.push_back({"groups, turned", {2, 6, 6, 16}, {24, 3, 3, 4}, {.padding = 1, .groups = 4}});
  return all;
}

// A shape that no other test has, of `height` rows.
Operands fresh(int64_t height, DType t = DType::bf16) {
  return moved(draw({"", {1, height, 4, 8}, {8, 3, 3, 8}, {.padding = 1}}, t), t, Device::cuda);
}
constexpr int64_t any_height = 0;
std::vector<ConvolutionPlan> plans_of(int64_t height) {
  std::vector<ConvolutionPlan> out;
  for (const ConvolutionPlan& p : convolution_plans())
    if (height == any_height || p.x[1] == height) out.push_back(p);
  return out;
}

void parity(bool emulated) {
  for (auto [t, policy] : {std::pair(DType::f32, Precision::fast), {DType::bf16, Precision::strict}}) {
    // One rounding to 8 bits, two where a tensor is added by a pass of its own; TF32 has 11.
    double bound = t == DType::bf16 ? 1e-5 : emulated ? 1e-13 : 1e-6;
    for (const ConvSize& c : sizes()) {
      Operands here = draw(c, t);
      Tensors exact = passes(moved(here, DType::f64, Device::cpu), c.options);
      set_precision(policy, Device::cuda);
      Tensors there = passes(moved(here, t, Device::cuda), c.options);
      set_precision(Precision::strict);
      double worst = 0;
      for (size_t i = 0; i < exact.size(); ++i) worst = std::max(worst, nmse(there[i], exact[i]));
      expect(worst <= bound || exact[0].numel() < 30,
             fmt::format("{:36} {:4} NMSE {:.1e}", c.what, name_of(t), worst));
    }
  }
  Operands o = fresh(20), here = moved(o, DType::f64, Device::cpu);
  Tensors there = passes(o, {.padding = 1}), exact = passes(here, {.padding = 1});
  for (size_t i = 0; emulated && i < exact.size(); ++i)
    expect(same(there[i], exact[i].to(DType::bf16)), fmt::format("rounded once: {}", i));
  MissedConvolutions legacy = legacy_convolutions();
  fmt::print("{} plans; legacy {}{}{}; plain {}\n", convolution_plans().size(), legacy.shapes.size(),
             legacy.shapes.empty() ? "" : ": " + legacy.shapes[0] + ": ", legacy.why,
             plain_convolutions().shapes.size());
  expect(!convolution_plans().empty(), "some come from the graph API");
}

void bits_of_strict() {
  size_t before = convolution_plans().size();
  Operands o = fresh(21, DType::f32);
  passes(o, {.padding = 1});
  expect(convolution_plans().size() == before, "f32 in strict takes no plan");
}

void same_bits_again() {
  for (DType t : {DType::f32, DType::bf16}) {
    set_precision(Precision::fast, Device::cuda);
    Operands o = fresh(22, t);
    Tensors once = passes(o, {.padding = 1}), again = passes(o, {.padding = 1});
    bool all = true;
    for (size_t i = 0; i < once.size(); ++i) all &= same(once[i], again[i]);
    expect(all, fmt::format("the same bits again in {}", name_of(t)));
    set_precision(Precision::strict);
  }
}

std::string text_of(const std::vector<ConvolutionPlan>& plans) {
  std::string out;
  for (const ConvolutionPlan& p : plans) {
    out += fmt::format("{}{}{} {}", name_of(p.pass), p.bias ? "+bias" : "", p.add ? "+add" : "", p.engine);
    for (auto [type, value] : p.knobs) out += fmt::format(" {}:{}", type, value);
    out += fmt::format(" {:.0f}; ", p.microseconds);
  }
  return out;
}

// On the emulated library, whose engines are known.
void choice() {
  ConvolutionChoices before = convolution_choices();
  Operands o = fresh(31);
  passes(o, {.padding = 1});
  expect(
      text_of(plans_of(31)) ==
          "forward 6 2:0 0; forward+add 6 2:0 0; forward+bias 6 2:0 0; forward+bias+add 6 2:0 0; input_grad 6 2:0 "
          "0; weight_grad 6 2:0 0; ",
      "not timed, the heuristics' first that can be had: " + text_of(plans_of(31)));
  time_convolution_plans(true);
  o = fresh(32);
  kernel::conv2d_weight_grad(o.x, o.y, o.w.shape(), {.padding = 1});
  expect(text_of(plans_of(32)) == "weight_grad 6 2:1 80; ",
         "timed, the first of those within 3 % of the fastest: " + text_of(plans_of(32)));
  ConvolutionChoices now = convolution_choices();
  expect(now.shapes - before.shapes == 7 && now.plans - before.plans == 5 && now.seconds > before.seconds,
         fmt::format("{} choices, {} plans timed", now.shapes - before.shapes, now.plans - before.plans));
  o = fresh(33);
  StepGraph step;
  Tensor result = Tensor::empty(o.w.shape(), o.w.options());
  step.record(
      [&] { kernel::copy_into(result, kernel::conv2d_weight_grad(o.x, o.y, o.w.shape(), {.padding = 1})); });
  expect(text_of(plans_of(33)) == "weight_grad 6 2:0 0; ",
         "while a step is recorded nothing is timed: " + text_of(plans_of(33)));
  step.replay({});
  Operands exact = moved(o, DType::f64, Device::cpu);
  expect(nmse(result, kernel::conv2d_weight_grad(exact.x, exact.y, exact.w.shape(), {.padding = 1})) < 5e-6,
         "what the step computes");
  o = moved(draw({"", {1, 34, 4, 8}, {8, 5, 3, 8}, {.padding = 1}}, DType::bf16), DType::bf16, Device::cuda);
  kernel::conv2d(o.x, o.w, {}, {.padding = 1});
  expect(text_of(plans_of(34)) == "forward 7 120; ",
         "where the heuristics have none, of those to fall back to: " + text_of(plans_of(34)));
  time_convolution_plans(false);
}

void kept_plans() {
  ConvolutionPlan p = plans_of(32).at(0);
  p.x = {1, 41, 4, 8}, p.engine = 8, p.knobs = {{2, 0}};
  expect(take_convolution_plan(p), "a plan is taken");
  time_convolution_plans(true);
  Operands o = fresh(41), exact = moved(o, DType::f64, Device::cpu);
  Tensor dw = kernel::conv2d_weight_grad(o.x, o.y, o.w.shape(), {.padding = 1});
  time_convolution_plans(false);
  expect(text_of(plans_of(41)) == "weight_grad 8 2:0 80; " &&
             nmse(dw, kernel::conv2d_weight_grad(exact.x, exact.y, exact.w.shape(), {.padding = 1})) < 5e-6,
         "and computes: " + text_of(plans_of(41)));
  auto refused = [&](const char* what, auto change) {
    ConvolutionPlan bad = p;
    bad.x = {1, 42, 4, 8};
    change(bad);
    expect(!take_convolution_plan(bad) && plans_of(42).empty(), fmt::format("not taken: {}", what));
  };
  refused("an engine that is not there", [](ConvolutionPlan& b) { b.engine = 77; });
  refused("a knob that is not there", [](ConvolutionPlan& b) { b.knobs = {{2, 9}}; });
  refused("other bits every time", [](ConvolutionPlan& b) { b.engine = 0, b.knobs = {}; });
  refused("rounded operands", [](ConvolutionPlan& b) { b.engine = 1, b.knobs = {}; });
  refused("a compiler", [](ConvolutionPlan& b) { b.engine = 2, b.knobs = {}; });
  refused("too much memory", [](ConvolutionPlan& b) { b.engine = 3, b.knobs = {}; });
  refused("one that cannot be built", [](ConvolutionPlan& b) { b.engine = 4, b.knobs = {{2, 0}}; });
  refused("f64", [](ConvolutionPlan& b) { b.dtype = DType::f64; });
  refused("a bias of a weight gradient", [](ConvolutionPlan& b) { b.bias = true; });
  refused("no image", [](ConvolutionPlan& b) { b.x = {4, 8}; });
  refused("other channels", [](ConvolutionPlan& b) { b.w = {8, 3, 3, 5}; });
}

void refusals() {
  int64_t before = legacy_convolutions().calls, plain = plain_convolutions().calls;
  expect(before == 0, fmt::format("nothing missed the graph API before: {} calls", before));
  setenv("VAPO_EMULATED_CUDNN_REFUSES", "graph", 1);
  Operands o = fresh(51), exact = moved(o, DType::f64, Device::cpu);
  Tensors there = passes(o, {.padding = 1}), here = passes(exact, {.padding = 1});
  unsetenv("VAPO_EMULATED_CUDNN_REFUSES");
  double worst = 0;
  for (size_t i = 0; i < here.size(); ++i) worst = std::max(worst, nmse(there[i], here[i]));
  MissedConvolutions legacy = legacy_convolutions();
  expect(legacy.calls == before + 7 && plain_convolutions().calls == plain && worst < 2e-5,
         fmt::format("refused, the older API computes: {} calls, NMSE {:.1e}", legacy.calls - before, worst));
  expect(legacy.why == "cudnnBackendFinalize of the graph gives CUDNN_STATUS_NOT_SUPPORTED: as it was told to",
         "and says why: " + legacy.why);
  passes(o, {.padding = 1});
  expect(plans_of(51).empty() && legacy_convolutions().calls == before + 14, "it is not asked again");
}

}  // namespace

int main() {
  if (!cuda_available()) {
    fmt::print("skipped: {}\n", cuda_absence());
    return 77;
  }
  bool emulated = device_facts(Device::cuda).device == "emulated";
  parity(emulated);
  bits_of_strict();
  same_bits_again();
  if (emulated) {
    choice();
    kept_plans();
    refusals();
  } else {
    time_convolution_plans(true);
    same_bits_again();
    fmt::print("{}\n", text_of(plans_of(22)));
  }
  fmt::print("{} passed, {} failed\n", count - failed, failed);
  return failed > 0;
}
