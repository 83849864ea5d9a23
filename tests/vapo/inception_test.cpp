// The Inception network: its parameters, and beside the same network in PyTorch.

#include "vapo/networks/inception.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "tensor/check.h"
#include "tensor/io/safetensors.h"
#include "tensor/precision.h"
#include "tests/vapo/inception_weights.h"

using namespace vapo;
using namespace vapo::testing;

namespace {

// max|a − b| / max|b|
double error(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  double worst = 0, largest = 0;
  for (int64_t i = 0; i < b.numel(); ++i) {
    worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
    largest = std::max(largest, std::abs(b.at(i)));
  }
  return worst / largest;
}

}  // namespace

TEST_CASE("Inception: names and shapes of the port's state dict, norms folded") {
  Inception network;
  std::vector<nn::NamedParameter> named = nn::named_parameters(network);
  std::map<std::string, std::string> shapes;
  for (const auto& p : named) shapes[p.name] = p.parameter->shape().str();
  CHECK(named.size() == 2 * 94 + 1);
  CHECK(shapes.size() == named.size());
  CHECK(named.front().name == "Conv2d_1a_3x3.conv.weight");
  CHECK(shapes["Conv2d_1a_3x3.conv.weight"] == "(32,3,3,3)");
  CHECK(shapes["Mixed_5b.branch_pool.conv.bias"] == "(32)");
  CHECK(shapes["Mixed_6c.branch7x7dbl_3.conv.weight"] == "(160,1,7,160)");
  CHECK(shapes["Mixed_7c.branch3x3dbl_3b.conv.weight"] == "(384,3,1,384)");
  CHECK(shapes["fc.weight"] == "(1008,2048)");
  CHECK(nn::parameter_count(network) == 23'832'736);
}

TEST_CASE("Inception's features and logits are those of the same network in PyTorch") {
  TensorFile golden = read_safetensors(std::filesystem::path(VAPO_GOLDEN_DIR) / "inception.safetensors");
  Inception network;
  fill_by_formula(network);
  Tensor squares = rand({2, 23, 23, 3}, {.seed = kInceptionSeed, .stream = 1}, -1, 1);
  Tensor x = kernel::upsample_nearest2d(squares, 13, 1);
  Precision before = precision();
  for (Precision p : {Precision::strict, Precision::fast}) {
    set_precision(p);
    InceptionOutput y = network(x);
    CHECK(error(y.features, golden.tensors["features"]) < 1e-5);
    CHECK(error(y.logits, golden.tensors["logits"]) < 1e-5);
  }
  set_precision(before);
}

TEST_CASE("Inception takes smaller images, and refuses what is none") {
  Inception network;
  InceptionOutput y = network(Tensor::ones({1, 75, 80, 3}));
  CHECK(y.features.shape() == Shape{1, 2048});
  CHECK(y.logits.shape() == Shape{1, 1008});
  CHECK(network(Tensor::ones({0, 75, 75, 3})).features.shape() == Shape{0, 2048});
  for (Shape shape : {Shape{1, 74, 299, 3}, {1, 299, 299, 1}, {299, 299, 3}})
    CHECK_THROWS_WITH_AS(network(Tensor::ones(shape)), doctest::Contains("(N,H,W,3)"), Error);
}
