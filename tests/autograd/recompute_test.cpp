// A block that runs again gives what a block that keeps everything gives, and keeps only its inputs.

#include <doctest/doctest.h>

#include <stdexcept>

#include "autograd/check_grads.h"
#include "autograd/grad.h"
#include "autograd/ops.h"
#include "autograd/recompute.h"
#include "tensor/random.h"

using namespace vapo;

namespace {

// A block as networks have it: normalisation, convolution, an embedding as scale and shift, dropout, a skip.
struct Block {
  explicit Block(DType dtype = DType::f64, uint64_t seed = 0) {
    auto draw = [&, step = uint64_t{0}](Shape s) mutable {
      return Var::leaf(randn(s, {.seed = seed, .stream = 7, .step = step++}, dtype), "p");
    };
    parameters = {draw({4}), draw({4}), draw({4, 3, 3, 4}), draw({4}), draw({8, 3}), draw({4, 3, 3, 4})};
  }
  Var operator()(std::span<const Var> in) const {
    const std::vector<Var>& p = parameters;
    Var h = conv2d(group_norm_silu(in[0], p[0], p[1], 2), p[2], p[3], {.padding = 1});
    Var both = linear(in[1], p[4]);
    h = group_norm_silu(h, p[0], p[3], 2, 1e-5, both, {0.3, {.seed = 3}});
    return in[0] + conv2d(h, p[5], {}, {.padding = 1});
  }
  Var run(std::span<const Var> in, bool again) const {
    return again ? recompute(*this, in, parameters) : contain(*this, in);
  }
  std::vector<Var> parameters;
};

Tensor image(DType dtype = DType::f64, uint64_t seed = 1) { return randn({2, 3, 4, 4}, {.seed = seed}, dtype); }

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

// Two blocks and a path around the second, as in a U-Net: h and e have several uses.
Var network(const Block& first, const Block& second, const Var& x, const Var& t, bool again) {
  Var e = silu(t);
  Var h = first.run(std::vector{square(x), e}, again);
  Var y = second.run(std::vector{h, e}, again);
  return sum(square(y * h + h), {1, 2, 3}) + sum(e, {1});
}

struct StepResult {
  Tensor phi;
  std::vector<Var> inner, outer;
};
// What training does: Φ, its gradient in x and t, and the gradient of a loss of all three.
StepResult step(DType dtype, bool again) {
  Block a(dtype, 1), b(dtype, 2);
  Var x = Var::leaf(image(dtype), "x"), t = Var::leaf(randn({2, 3}, {.seed = 4}, dtype), "t");
  Var phi = network(a, b, x, t, again), ones = Tensor::ones({2}, dtype);
  std::vector<Var> in{x, t}, all = a.parameters;
  all.insert(all.end(), b.parameters.begin(), b.parameters.end());
  all.insert(all.end(), in.begin(), in.end());
  std::vector<Var> g = grad({&phi, 1}, in, {.create_graph = true}, {&ones, 1});
  Var loss = mean(square(g[0] - x)) + 0.1 * mean(square(g[1])) + mean(phi * t.detach().value().at(0));
  return {phi.value(), g, grad(loss, all)};
}

}  // namespace

TEST_CASE("derivatives of a recomputed block, to third order") {
  std::vector<Tensor> inputs{image(), randn({2, 3}, {.seed = 2}, DType::f64)};
  Block block;
  for (const Var& p : block.parameters) inputs.push_back(p.value());
  VarFunction f = [](std::span<const Var> in) {
    Block b;
    b.parameters.assign(in.begin() + 2, in.end());
    return std::vector{recompute(b, in.first(2), b.parameters)};
  };
  CHECK(check_grads(f, inputs, {.order = 3}) < 1e-6);
  // elementwise, where differences of third order are exact enough
  VarFunction g = [](std::span<const Var> in) {
    BlockFunction map = [](std::span<const Var> v) { return sin(v[0] * v[1]) * exp(v[0]) + v[0]; };
    return std::vector{recompute(map, in), recompute(map, std::vector{in[1], in[1]})};
  };
  std::vector<Tensor> small{randn({3}, {.seed = 5}, DType::f64), randn({3}, {.seed = 6}, DType::f64)};
  CHECK(check_grads(g, small, {.order = 3}) < 1e-6);
}

TEST_CASE("value, gradient and second derivatives have the bits of a block that keeps everything") {
  for (DType dtype : {DType::f32, DType::f64}) {
    StepResult kept = step(dtype, false), again = step(dtype, true);
    CHECK(same_bits(kept.phi, again.phi));
    for (size_t i = 0; i < kept.inner.size(); ++i) CHECK(same_bits(kept.inner[i].value(), again.inner[i].value()));
    for (size_t i = 0; i < kept.outer.size(); ++i) {
      CAPTURE(i);
      CHECK(same_bits(kept.outer[i].value(), again.outer[i].value()));
      CHECK(kernel::sum_squares({&again.outer[i].value(), 1}).item() > 0);
    }
  }
}

TEST_CASE("a block inside a block, several gradients of one graph, a value that is used twice") {
  Block a, b;
  Var x = Var::leaf(image()), e = Var::leaf(randn({2, 3}, {.seed = 4}, DType::f64));
  std::vector<Var> both = a.parameters;
  both.insert(both.end(), b.parameters.begin(), b.parameters.end());
  auto run = [&](bool outer, bool inner) {
    BlockFunction f = [&a, &b, inner](std::span<const Var> in) {
      return b.run(std::vector{a.run(in, inner), in[1]}, inner);
    };
    std::vector<Var> in{x, e}, all{x, e};
    Var y = outer ? recompute(f, in, both) : contain(f, in);
    Var phi = sum(square(y)), psi = sum(y);
    Var g = grad(phi, x, {.create_graph = true}), h = grad(psi, in, {.create_graph = true})[0];
    all.insert(all.end(), both.begin(), both.end());
    std::vector<Var> out{g, h};
    for (const Var& d : grad(sum(square(g)) + sum(g * h) + psi, all)) out.push_back(d);
    return out;
  };
  std::vector<Var> kept = run(false, false);
  for (auto [outer, inner] : {std::pair{true, false}, {false, true}, {true, true}}) {
    std::vector<Var> found = run(outer, inner);
    for (size_t i = 0; i < kept.size(); ++i) CHECK(same_bits(kept[i].value(), found[i].value()));
  }
}

TEST_CASE("only what is wanted is computed: convolutions of each pass") {
  Block block;  // two convolutions
  Var x = Var::leaf(image()), e = Var::leaf(randn({2, 3}, {.seed = 4}, DType::f64));
  int64_t count = kernel::convolution_count();
  auto since = [&] { return kernel::convolution_count() - std::exchange(count, kernel::convolution_count()); };
  Var phi = sum(square(block.run(std::vector{x, e}, true)));
  CHECK(since() == 2);
  Var g = grad(phi, x, {.create_graph = true});
  CHECK(since() == 2 + 2);  // forward again, and input gradients: no weight gradient
  grad(sum(square(g)), block.parameters);
  // the recorded gradient: both again, and ∂/∂g; the block: both again, its 6 less ∂/∂g of the last convolution
  CHECK(since() == (4 + 2) + (4 + 7));
}

TEST_CASE("nothing inside a block outlives a pass") {
  Block block(DType::f32);
  int64_t before = memory_stats().current_bytes;
  auto kept = [&](bool again, bool inner) {  // in images of x's size
    Var x = Var::leaf(randn({2, 32, 32, 4}, {.seed = 1})), e = Var::leaf(randn({2, 3}, {.seed = 4})), g;
    int64_t one = memory_stats().current_bytes;
    Var phi = sum(block.run(std::vector{x, e}, again));
    if (inner) g = grad(phi, x, {.create_graph = true});
    return static_cast<double>(memory_stats().current_bytes - one) / static_cast<double>(x.value().bytes());
  };
  CHECK(kept(true, false) < 0.2);
  CHECK(kept(false, false) > 3);
  CHECK(kept(true, true) < 2.5);  // the cotangent of y, g, and nodes
  CHECK(kept(false, true) > 6);
  CHECK(memory_stats().current_bytes == before);
}

TEST_CASE("a chain of 30,000 blocks is walked and destroyed without recursion") {
  int64_t before = memory_stats().current_bytes;
  {
    Var x = Var::leaf(Tensor::ones({1}, DType::f64)), y = x;
    for (int i = 0; i < 30'000; ++i)
      y = recompute([](std::span<const Var> in) { return sin(in[0]); }, std::span(&y, 1));
    Var g = grad(y, x, {.create_graph = true});
    CHECK(std::isfinite(grad(g, x).item()));
  }
  CHECK(memory_stats().current_bytes == before);
}

TEST_CASE("errors: a leaf that is not named, an exception inside, a graph already freed") {
  Var x = Var::leaf(Tensor::ones({2}, DType::f64), "x"), w = Var::leaf(Tensor::ones({2}, DType::f64), "w");
  Var y = recompute([&](std::span<const Var> in) { return in[0] * w; }, std::span(&x, 1));
  CHECK_THROWS_WITH(grad(sum(y), x),
                    "[recompute] the block depends on 'w' (2), which is not among its inputs and parameters");
  Var hidden = w * w;
  y = recompute([&](std::span<const Var> in) { return in[0] * hidden; }, std::span(&x, 1));
  CHECK_THROWS_WITH(grad(sum(y), x), doctest::Contains("depends on 'w'"));

  bool broken = true;
  BlockFunction f = [&](std::span<const Var> in) {
    if (broken) throw std::runtime_error("broken");
    return in[0] * w;
  };
  CHECK_THROWS_WITH(recompute(f, std::span(&x, 1), std::span(&w, 1)), "broken");
  broken = false;
  y = recompute(f, std::span(&x, 1), std::span(&w, 1));
  broken = true;
  CHECK_THROWS_WITH(grad(sum(y), x, {.retain_graph = true}), "broken");
  CHECK(NoGradGuard::grad_enabled());
  broken = false;
  CHECK(grad(sum(y), x).value().at(1) == 1);
  CHECK_THROWS_WITH(grad(sum(y), x), doctest::Contains("the graph behind 'recompute' was freed"));
}

TEST_CASE("grad mode and constants") {
  Var x = Var::leaf(Tensor::ones({2}, DType::f64), "x"), c = Tensor::full({2}, 3, DType::f64);
  BlockFunction product = [](std::span<const Var> in) { return in[0] * in[1]; };
  CHECK_FALSE(recompute(product, std::vector{c, c}).requires_grad());
  {
    NoGradGuard off;
    CHECK_FALSE(recompute(product, std::vector{x, c}).requires_grad());
    CHECK_FALSE(contain(product, std::vector{x, c}).requires_grad());
    EnableGradGuard on;
    CHECK(grad(sum(recompute(product, std::vector{x, c})), x).value().at(0) == 3);
  }
  // an input on which the block does not depend is not reached
  Var unused = Var::leaf(Tensor::ones({2}, DType::f64), "unused");
  Var y = sum(recompute(product, std::vector{x, c, unused}));
  CHECK_THROWS_WITH(grad(y, unused, {.retain_graph = true}), doctest::Contains("do not depend on it"));
  CHECK(grad(y, unused, {.allow_unused = true}).value().at(0) == 0);
  // the block's result is an input like any other
  y = recompute(product, std::vector{x, c});
  CHECK(grad(sum(square(y)), y).value().at(0) == 6);
}
