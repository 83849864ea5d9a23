// The classifier: shapes, its loss, and that it learns.

#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "autograd/check_grads.h"
#include "autograd/grad.h"
#include "nn/optimizer.h"
#include "tensor/kernels.h"
#include "tensor/random.h"
#include "vapo/networks/classifier.h"

using namespace vapo;

namespace {

const ClassifierOptions tiny{.height = 6,
                             .width = 5,
                             .channels = 3,
                             .classes = 4,
                             .widths = {4, 6},
                             .features = 7,
                             .groups = 2,
                             .dropout = 0.5};

Tensor labels_of(const std::vector<int64_t>& labels) {
  return Tensor::from(labels, {static_cast<int64_t>(labels.size())});
}

void check_refused(ClassifierOptions o, const char* part) {
  CHECK_THROWS_WITH_AS(Classifier(o, 0), doctest::Contains(part), InputError);
}

}  // namespace

TEST_CASE("grey and colour images of odd sizes to features and logits; the parameters have names") {
  NoGradGuard no_grad;
  for (ClassifierOptions o :
       {tiny, ClassifierOptions{}, ClassifierOptions{.height = 32, .width = 32, .channels = 3}}) {
    Classifier network(o, 1);
    Tensor x = randn({3, o.height, o.width, o.channels}, {.seed = 2});
    CHECK(network.features(x).shape() == Shape{3, o.features});
    CHECK(network.logits(x).shape() == Shape{3, o.classes});
    CHECK(network.logits(x).value().to_vector<float>() == Classifier(o, 1).logits(x).value().to_vector<float>());
  }
  Classifier network(tiny, 0);
  std::vector<std::string> names;
  for (const auto& p : nn::named_parameters(network)) names.push_back(p.name + " " + p.parameter->shape().str());
  CHECK(names.size() == 14);
  CHECK(names[0] == "conv.weight (4,3,3,3)");
  CHECK(names[2] == "stage1.conv1.weight (6,3,3,4)");
  CHECK(names[9] == "stage1.norm2.bias (6)");
  CHECK(names[10] == "linear.weight (7,54)");
  CHECK(names[13] == "head.bias (4)");
}

TEST_CASE("the features, out of the operations they are made of") {
  NoGradGuard no_grad;
  Classifier network(tiny, 6);
  std::map<std::string, Var> w;
  network.parameters([&](const std::string& name, Var& p) {
    if (name.find("norm") != std::string::npos) p = Var::leaf(randn(p.shape(), {.seed = 7, .step = w.size()}));
    w[name] = p;
  });
  Tensor x = randn({2, 6, 5, 3}, {.seed = 8});
  auto conv = [&](const Var& h, const std::string& name, int64_t stride) {
    return conv2d(h, w[name + ".weight"], w[name + ".bias"], {.stride = stride, .padding = 1});
  };
  auto norm = [&](const Var& h, const std::string& name) {
    return group_norm(h, w[name + ".weight"], w[name + ".bias"], tiny.groups);
  };
  Var h = silu(conv(x, "conv", 1));
  h = silu(norm(conv(h, "stage1.conv1", 2), "stage1.norm1"));
  h = silu(norm(conv(h, "stage1.conv2", 1), "stage1.norm2"));
  CHECK(h.shape() == Shape{2, 3, 3, 6});
  Var expected = silu(linear(reshape(h, {2, 54}), w["linear.weight"], w["linear.bias"]));
  Var features = network.features(x);
  REQUIRE(features.shape() == expected.shape());
  for (int64_t i = 0; i < features.numel(); ++i)
    CHECK(features.value().at(i) == doctest::Approx(expected.value().at(i)).epsilon(1e-4));
}

TEST_CASE("the logits are a linear map of the features; dropout is by key") {
  NoGradGuard no_grad;
  Classifier network(tiny, 3);
  Tensor x = randn({8, 6, 5, 3}, {.seed = 4});
  std::vector<Var> head;
  network.parameters([&](const std::string& name, Var& p) {
    if (name.starts_with("head.")) head.push_back(p);
  });
  auto values = [](const Var& v) { return v.value().to_vector<float>(); };
  auto whole = values(network.logits(x));
  CHECK(whole == values(linear(network.features(x), head[0], head[1])));
  CHECK(values(network.logits(x, RandomKey{.seed = 5})) == values(network.logits(x, RandomKey{.seed = 5})));
  CHECK(values(network.logits(x, RandomKey{.seed = 5})) != values(network.logits(x, RandomKey{.seed = 6})));
  CHECK(values(network.logits(x, RandomKey{.seed = 5})) != whole);
}

TEST_CASE("the loss: uniform logits, one wrong image, large logits, its derivatives") {
  CHECK(cross_entropy(Tensor::full({5, 4}, 7.0), labels_of({0, 1, 2, 3, 0})).item() ==
        doctest::Approx(std::log(4.0)));
  Tensor certain = Tensor::from(std::vector<double>{1000, 0, 0, 0, 1000, 0}, {2, 3});
  CHECK(cross_entropy(certain, labels_of({0, 1})).item() == 0);
  CHECK(cross_entropy(certain, labels_of({0, 2})).item() == doctest::Approx(500));
  Tensor logits = randn({5, 4}, {.seed = 7}, DType::f64), labels = labels_of({3, 0, 2, 2, 1});
  CHECK(check_grads([&](std::span<const Var> v) { return std::vector{cross_entropy(v[0], labels)}; },
                    std::vector{logits}) < 1e-6);
  Var leaf = Var::leaf(logits);  // (softmax − one-hot)/N
  Tensor slope = grad(cross_entropy(leaf, labels), leaf).value(), share = kernel::softmax(logits);
  for (int64_t i = 0; i < 20; ++i)
    CHECK(slope.at(i) ==
          doctest::Approx((share.at(i) - (static_cast<double>(i % 4) == labels.at(i / 4))) / 5).epsilon(1e-12));
  Classifier network(tiny, 0, DType::f64);
  CHECK(check_grads(
            [&](std::span<const Var> v) {
              return std::vector{cross_entropy(network.logits(v[0], RandomKey{.seed = 1}), labels)};
            },
            std::vector{randn({5, 6, 5, 3}, {.seed = 8}, DType::f64)}) < 1e-6);
}

TEST_CASE("it learns on which side the bright half is") {
  ClassifierOptions o{.height = 8, .width = 8, .channels = 1, .classes = 4, .widths = {8, 16}, .features = 16};
  Classifier network(o, 0);
  auto batch = [&](uint64_t step) {  // noise, and a brighter half: left, right, top or bottom
    Tensor labels = randint({32}, {.seed = 1, .step = step}, 4),
           x = randn({32, 8, 8, 1}, {.seed = 2, .step = step});
    for (int64_t i = 0; i < x.numel(); ++i) {
      int64_t column = i % 8, row = i / 8 % 8, label = labels.data<int64_t>()[i / 64];
      bool bright = label == 0 ? column < 4 : label == 1 ? column >= 4 : label == 2 ? row < 4 : row >= 4;
      x.mutable_data<float>()[i] += bright ? 1.0f : -1.0f;
    }
    return std::pair{x, labels};
  };
  std::vector<Var> leaves;
  auto named = nn::named_parameters(network);
  for (const auto& p : named) leaves.push_back(*p.parameter);
  nn::Optimizer optimizer(named, {});
  double first = 0, last = 0;
  for (uint64_t step = 0; step < 60; ++step) {
    auto [x, labels] = batch(step);
    Var loss = cross_entropy(network.logits(x, RandomKey{.seed = 3, .step = step}), labels);
    last = loss.item();
    if (step == 0) first = last;
    optimizer.step(grad(loss, leaves), 0.01);
  }
  CHECK(first > 1);
  CHECK(last < 0.3);
  auto [x, labels] = batch(1000);
  CHECK(predicted_labels(network.logits(x).value()).to_vector<int64_t>() == labels.to_vector<int64_t>());
}

TEST_CASE("labels: the largest logit, the first of equal ones") {
  Tensor logits = Tensor::from(std::vector<float>{1, 3, 2, -1, -1, -5, 0, 0, 4}, {3, 3});
  CHECK(predicted_labels(logits).to_vector<int64_t>() == std::vector<int64_t>{1, 0, 2});
}

TEST_CASE("what does not fit is refused") {
  Classifier network(tiny, 0);
  CHECK_THROWS_WITH_AS(network.features(Tensor::zeros({2, 5, 6, 3})), doctest::Contains("(2,5,6,3)"), Error);
  CHECK_THROWS_WITH_AS(network.logits(Tensor::zeros({6, 5, 3})), doctest::Contains("(N,6,5,3)"), Error);
  Tensor logits = Tensor::zeros({2, 4});
  CHECK_THROWS_WITH_AS(cross_entropy(logits, labels_of({0, 4})), doctest::Contains("label 4 of 4"), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(logits, labels_of({-1, 0})), doctest::Contains("label -1"), Error);
  CHECK_THROWS_WITH_AS(cross_entropy(logits, labels_of({0})), doctest::Contains("(1)"), Error);
  CHECK_THROWS_AS(cross_entropy(logits, Tensor::zeros({2})), Error);
  ClassifierOptions o = tiny;
  o.groups = 4;
  check_refused(o, "4 groups do not divide a width of 6");
  o = tiny, o.widths = {};
  check_refused(o, "widths");
  o = tiny, o.widths = {4, 0};
  check_refused(o, "widths");
  o = tiny, o.classes = 1;
  check_refused(o, "classes = 1");
  o = tiny, o.channels = 0;
  check_refused(o, "0 channels");
  o = tiny, o.dropout = 1;
  check_refused(o, "dropout = 1");
  o = tiny, o.features = -3;
  check_refused(o, "features");
}
