// Whatever writes parameters between the forward pass and grad() is seen: every optimizer, averages, checkpoints.

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

#include "autograd/grad.h"
#include "autograd/ops.h"
#include "nn/checkpoint.h"
#include "nn/layers.h"

using namespace vapo;
namespace fs = std::filesystem;

namespace {

struct Net : nn::Module {
  void parameters(const nn::ParameterVisitor& visit) override {
    nn::visit_child("first", first, visit);
    nn::visit_child("last", last, visit);
  }
  Var operator()(const Var& x) const { return sum(last(silu(first(x)))); }
  nn::Linear first{3, 4, {.seed = 1}}, last{4, 1, {.seed = 2}};
};

std::vector<Var> ones_like(nn::Module& m) {
  std::vector<Var> out;
  for (const auto& p : nn::named_parameters(m)) out.push_back(Tensor::ones(p.parameter->shape()));
  return out;
}

// What grad() in x says when `write` came between; empty where nothing.
std::string said(Net& net, const std::function<void()>& write) {
  Var x = Var::leaf(Tensor::ones({2, 3}), "x"), y = net(x);
  write();
  try {
    grad(y, x);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("an optimizer's step between the forward pass and grad is an error that names the parameter") {
  using Kind = nn::OptimizerOptions::Kind;
  for (Kind kind : {Kind::adam, Kind::adamw, Kind::sgd, Kind::lamb}) {
    Net net;
    nn::Optimizer optimizer(nn::named_parameters(net), {.kind = kind});
    nn::Ema ema(optimizer.parameters(), 0.9);
    for (nn::Ema* averages : {static_cast<nn::Ema*>(nullptr), &ema})
      CHECK(said(net, [&] { optimizer.step(ones_like(net), 0.1, {}, averages); }) ==
            "[grad] 'weight' (1,4) was written after 'linear' used it (an optimizer step?). Hint: call grad before "
            "the "
            "step, or run the forward pass again");
    // gradients that are not finite write nothing
    std::vector<Var> bad = ones_like(net);
    bad[0] = Tensor::full(bad[0].shape(), NAN);
    CHECK(said(net, [&] { optimizer.step(bad, 0.1); }).empty());
    CHECK(said(net, [] {}).empty());
  }
}

TEST_CASE("the average is written by a step, too, where a derivative needs it") {
  Net net;
  nn::Optimizer optimizer(nn::named_parameters(net), {});
  nn::Ema ema(optimizer.parameters(), 0.9);
  Var x = Var::leaf(Tensor::ones({2, 3}), "x");
  Var y = sum(linear(x, Var(ema.averages()[0])));
  optimizer.step(ones_like(net), 0.1);
  CHECK(grad(y, x, {.retain_graph = true}).defined());  // this step had no average
  optimizer.step(ones_like(net), 0.1, {}, &ema);
  CHECK_THROWS_WITH(grad(y, x), doctest::Contains("a constant (4,3) was written after 'linear' used it"));
}

TEST_CASE("a checkpoint loaded between the forward pass and grad") {
  fs::path path = fs::temp_directory_path() / fmt::format("vapo-written-test-{}.safetensors", getpid());
  Net net;
  nn::Optimizer optimizer(nn::named_parameters(net), {});
  nn::Ema ema(optimizer.parameters(), 0.9);
  nn::save_checkpoint(path, {.module = &net, .ema = &ema, .optimizer = &optimizer});
  nn::CheckpointReader reader(path);
  for (const auto& load : std::vector<std::function<void()>>{
           [&] { reader.load_parameters(net); }, [&] { reader.load_ema_as_parameters(net); },
           [&] { reader.load_training_state(net, &ema, optimizer); }})
    CHECK(said(net, load).starts_with("[grad] 'weight' (1,4) was written after 'linear' used it"));
  // afterwards the network is as good as any
  CHECK(said(net, [] {}).empty());
  fs::remove(path);
}

TEST_CASE("gradients that a step read may still be differentiated") {
  Net net;
  nn::Optimizer optimizer(nn::named_parameters(net), {.kind = nn::OptimizerOptions::Kind::sgd});
  Var v = Var::leaf(Tensor::ones({2}), "v");
  std::vector<Var> g = ones_like(net);
  Var first = grad(sum(square(v) * g[3]), v, {.create_graph = true});  // keeps g[3]
  optimizer.step(g, 0.1);
  CHECK(grad(sum(first), v).value().at(0) == 2);
}
