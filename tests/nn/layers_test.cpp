// Modules and layers: names, shapes, values by hand, initial distributions, derivatives of the time features.

#include "nn/layers.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "autograd/check_grads.h"
#include "autograd/grad.h"

using namespace vapo;

namespace {

struct Net : nn::Module {
  Net() : first(3, 4, {7, 0, 0}), second(4, 2, {7, 0, 1}, false) {}
  void parameters(const nn::ParameterVisitor& visit) override {
    nn::visit_child("layers.0", first, visit);
    nn::visit_child("layers.1", second, visit);
  }
  nn::Linear first, second;
};

struct Twice : nn::Module {
  void parameters(const nn::ParameterVisitor& visit) override {
    visit("w", w);
    visit("w", w);
  }
  Var w = Var::leaf(Tensor::zeros({2}));
};

}  // namespace

TEST_CASE("parameters have dotted names in a fixed order") {
  Net net;
  std::string names;
  for (const nn::NamedParameter& p : nn::named_parameters(net))
    names += p.name + " " + p.parameter->shape().str() + ", ";
  CHECK(names == "layers.0.weight (4,3), layers.0.bias (4), layers.1.weight (2,4), ");
  CHECK(nn::parameter_count(net) == 12 + 4 + 8);
  CHECK(nn::named_parameters(net)[1].parameter == &net.first.bias);
  Twice twice;
  CHECK_THROWS_WITH(nn::named_parameters(twice), doctest::Contains("two parameters are called 'w'"));
}

TEST_CASE("linear is x wᵀ + b") {
  nn::Linear layer(2, 3, {}, true, DType::f64);
  layer.weight = Tensor::from<double>({1, 2, 3, 4, 5, 6}, {3, 2});
  layer.bias = Tensor::from<double>({10, 20, 30}, {3});
  Var y = layer(Tensor::from<double>({1, -1, 2, 0.5}, {2, 2}));
  CHECK(y.value().to_vector<double>() == std::vector<double>{9, 19, 29, 13, 28, 43});
  layer.bias = Var();
  CHECK(layer(Tensor::from<double>({1, -1}, {1, 2})).value().to_vector<double>() ==
        std::vector<double>{-1, -1, -1});
  CHECK_THROWS(nn::Linear(0, 3, {}));
  CHECK_THROWS(nn::Linear(3, -1, {}));
}

TEST_CASE("linear starts uniform in ±1/√in") {
  nn::Linear layer(100, 300, {5, 1, 2});
  std::vector<float> all = layer.weight.value().to_vector<float>(), b = layer.bias.value().to_vector<float>();
  CHECK(all[0] != b[0]);  // one draw, not the same numbers twice
  all.insert(all.end(), b.begin(), b.end());
  auto n = static_cast<double>(all.size());
  double mean = 0, square = 0, largest = 0;
  for (double v : all) mean += v / n, square += v * v / n, largest = std::max(largest, std::abs(v));
  CHECK(largest <= 0.1);
  CHECK(largest > 0.0999);  // the chance that 30,300 draws all miss the outer thousandth is e^−30
  // U(±a): variance a²/3, variance of the square 4a⁴/45; four standard errors of each mean
  CHECK(std::abs(mean) < 4 * 0.1 / std::sqrt(3 * n));
  CHECK(std::abs(square - 0.01 / 3) < 4 * 0.01 * std::sqrt(4.0 / 45 / n));
  nn::Linear again(100, 300, {5, 1, 2}), other(100, 300, {5, 1, 3});
  CHECK(again.weight.value().to_vector<float>() == layer.weight.value().to_vector<float>());
  CHECK(other.weight.value().to_vector<float>() != layer.weight.value().to_vector<float>());
}

TEST_CASE("embedding picks rows and starts normal") {
  nn::Embedding table(400, 50, {3, 0, 0});
  Tensor w = table.weight.value();
  auto n = static_cast<double>(w.numel());
  double mean = 0, square = 0;
  for (double v : w.to_vector<float>()) mean += v / n, square += v * v / n;
  CHECK(std::abs(mean) < 4 / std::sqrt(n));
  CHECK(std::abs(square - 1) < 4 * std::sqrt(2 / n));
  Var y = table(Tensor::from<int64_t>({399, 0, 7}, {3}));
  CHECK(y.shape() == Shape{3, 50});
  CHECK(y.value().at(3) == w.at(399 * 50 + 3));
  CHECK(y.value().at(2 * 50) == w.at(7 * 50));
  CHECK_THROWS(nn::Embedding(0, 3, {}));
}

TEST_CASE("activations by name") {
  using nn::Activation;
  Tensor x = Tensor::from<double>({-1.5, 0.25, 2}, {3});
  auto value = [&](const char* name, int64_t i) {
    return nn::activate(from_name<nn::Activation>(name), x).value().at(i);
  };
  for (int64_t i = 0; i < 3; ++i) {
    double v = x.at(i);
    CHECK(value("silu", i) == doctest::Approx(v / (1 + std::exp(-v))).epsilon(1e-14));
    CHECK(value("gelu", i) == doctest::Approx(v * 0.5 * std::erfc(-v / std::sqrt(2.0))).epsilon(1e-14));
    CHECK(value("softplus", i) == doctest::Approx(std::log(1 + std::exp(v))).epsilon(1e-14));
    CHECK(value("relu", i) == std::max(v, 0.0));
    CHECK(value("tanh", i) == doctest::Approx(std::tanh(v)).epsilon(1e-14));
  }
  CHECK_THROWS_WITH_AS(from_name<nn::Activation>("swish"),
                       "unknown activation 'swish': expected one of silu, gelu, softplus, relu, leaky_relu, tanh",
                       InputError);
}

TEST_CASE("time features are cosines, then sines, of falling frequencies") {
  for (DType dtype : {DType::f64, DType::f32}) {
    Tensor t = Tensor::from<double>({0, 0.3, 1}, {3}).to(dtype);
    Tensor e = nn::time_embedding(t, 6, 10).value();
    CHECK(e.shape() == Shape{3, 6});
    CHECK(e.dtype() == dtype);
    for (int64_t n = 0; n < 3; ++n)
      for (int64_t i = 0; i < 3; ++i) {
        double angle = 10 * t.at(n) * std::pow(10000.0, -static_cast<double>(i) / 3);
        double tolerance = dtype == DType::f64 ? 1e-14 : 2e-6;  // f32: rounding of an angle of up to 10
        CHECK(std::abs(e.at(n * 6 + i) - std::cos(angle)) < tolerance);
        CHECK(std::abs(e.at(n * 6 + 3 + i) - std::sin(angle)) < tolerance);
      }
  }
  CHECK(nn::time_embedding(Tensor::zeros({0}), 4).shape() == Shape{0, 4});
  CHECK_THROWS_WITH(nn::time_embedding(Tensor::zeros({2}), 5), doctest::Contains("width 5 must be even"));
  CHECK_THROWS_WITH(nn::time_embedding(Tensor::zeros({2}), 0), doctest::Contains("width 0"));
  CHECK_THROWS_WITH(nn::time_embedding(Tensor::zeros({2, 1}), 4), doctest::Contains("expected (N)"));
}

TEST_CASE("time features have derivatives in t, to any order") {
  std::vector<Tensor> t = {Tensor::from<double>({0.1, 0.45, 0.9}, {3})};
  for (double scale : {1.0, 3.0}) {
    auto f = [&](std::span<const Var> in) { return std::vector{nn::time_embedding(in[0], 4, scale)}; };
    CHECK(check_grads(f, t, {.order = 3}) < 1e-6);
  }
  Var x = Var::leaf(Tensor::from<double>({0.7}, {1}));
  Var first = grad(sum(nn::time_embedding(x, 2, 2)), x, {.create_graph = true});
  CHECK(first.item() == doctest::Approx(-2 * std::sin(1.4) + 2 * std::cos(1.4)));
  CHECK(grad(first, x).item() == doctest::Approx(-4 * std::cos(1.4) - 4 * std::sin(1.4)));
}

TEST_CASE("a gradient through ∇ₓ of a small network of layers is right in every parameter") {
  Tensor x = randn({4, 3}, {1, 0, 0}, DType::f64), t = rand({4}, {1, 1, 0}, 0, 1, DType::f64);
  nn::Linear first(5, 6, {1, 2, 0}, true, DType::f64), second(6, 1, {1, 3, 0}, true, DType::f64);
  auto norm_of_gradient = [&](std::span<const Var> in) {  // in: x, w1, b1, w2
    EnableGradGuard on;
    Var at =
        in[0].requires_grad() ? in[0] : Var::leaf(in[0].value());  // a constant where values alone are asked for
    Var h = concat({at, nn::time_embedding(t, 2)}, 1);
    Var phi = linear(nn::activate(nn::Activation::silu, linear(h, in[1], in[2])), in[3]);
    Var g = grad(sum(phi), at, {.create_graph = true});
    return std::vector{sum(square(g))};
  };
  std::vector<Tensor> inputs = {x, first.weight.value(), first.bias.value(), second.weight.value()};
  CHECK(check_grads(norm_of_gradient, inputs, {.order = 1}) < 1e-6);
}
