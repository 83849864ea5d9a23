#include "vapo/networks/inception.h"

#include <optional>
#include <string>
#include <vector>

#include "tensor/check.h"
#include "tensor/kernels.h"

namespace vapo {
namespace {

using kernel::Pair, kernel::Pool, kernel::Window;

// relu(conv(x) + bias)
struct Unit {
  Unit(std::string name_, int64_t in, int64_t out, Pair window = 1, kernel::Conv2dOptions options_ = {})
      : name(std::move(name_)),
        weight(Var::leaf(Tensor::zeros({out, window.h, window.w, in}))),
        bias(Var::leaf(Tensor::zeros({out}))),
        options(options_) {}
  Tensor operator()(const Tensor& x) const {
    return kernel::unary<Relu>(kernel::conv2d(x, weight.value(), bias.value(), options));
  }
  void parameters(const std::string& prefix, const nn::ParameterVisitor& visit) {
    visit(prefix + name + ".conv.weight", weight);
    visit(prefix + name + ".conv.bias", bias);
  }
  std::string name;
  Var weight, bias;
  kernel::Conv2dOptions options;
};

Tensor beside(const std::vector<Tensor>& parts) { return parts.size() == 1 ? parts[0] : kernel::concat(parts, 3); }

struct Pooling {
  Pool pool;
  Window window;
};

// A pool, units one after the other, and at last units beside each other: any of them may be missing.
struct Branch {
  Tensor operator()(Tensor x) const {
    if (pooling) x = kernel::pool2d(pooling->pool, x, pooling->window);
    for (const Unit& unit : chain) x = unit(x);
    if (fork.empty()) return x;
    std::vector<Tensor> parts;
    for (const Unit& unit : fork) parts.push_back(unit(x));
    return beside(parts);
  }
  std::optional<Pooling> pooling = {};
  std::vector<Unit> chain = {}, fork = {};
};

struct Block {  // branches beside each other
  Tensor operator()(const Tensor& x) const {
    std::vector<Tensor> parts;
    for (const Branch& branch : branches) parts.push_back(branch(x));
    return beside(parts);
  }
  std::string name;
  std::vector<Branch> branches;
};

const Pooling halving{Pool::maximum, {.size = 3, .stride = 2}};
Pooling around(Pool pool) { return {pool, {.size = 3, .padding = 1}}; }

// Windows that keep the image's size, and those that halve it.
Unit square(std::string name, int64_t in, int64_t out, int64_t k) {
  return {std::move(name), in, out, k, {.padding = k / 2}};
}
Unit row(std::string name, int64_t in, int64_t out, int64_t k) {
  return {std::move(name), in, out, {1, k}, {.padding = {0, k / 2}}};
}
Unit column(std::string name, int64_t in, int64_t out, int64_t k) {
  return {std::move(name), in, out, {k, 1}, {.padding = {k / 2, 0}}};
}
Unit half(std::string name, int64_t in, int64_t out) { return {std::move(name), in, out, 3, {.stride = 2}}; }

// --- the five kinds of blocks, by the sizes of their images at 299 × 299
Block at_35(std::string name, int64_t in, int64_t pooled) {
  return {std::move(name),
          {{.chain = {{"branch1x1", in, 64}}},
           {.chain = {{"branch5x5_1", in, 48}, square("branch5x5_2", 48, 64, 5)}},
           {.chain = {{"branch3x3dbl_1", in, 64},
                      square("branch3x3dbl_2", 64, 96, 3),
                      square("branch3x3dbl_3", 96, 96, 3)}},
           {.pooling = around(Pool::mean), .chain = {{"branch_pool", in, pooled}}}}};
}
Block from_35_to_17(std::string name, int64_t in) {
  return {
      std::move(name),
      {{.chain = {half("branch3x3", in, 384)}},
       {.chain = {{"branch3x3dbl_1", in, 64}, square("branch3x3dbl_2", 64, 96, 3), half("branch3x3dbl_3", 96, 96)}},
       {.pooling = halving}}};
}
Block at_17(std::string name, int64_t width) {
  constexpr int64_t in = 768, out = 192;
  return {std::move(name),
          {{.chain = {{"branch1x1", in, out}}},
           {.chain = {{"branch7x7_1", in, width},
                      row("branch7x7_2", width, width, 7),
                      column("branch7x7_3", width, out, 7)}},
           {.chain = {{"branch7x7dbl_1", in, width},
                      column("branch7x7dbl_2", width, width, 7),
                      row("branch7x7dbl_3", width, width, 7),
                      column("branch7x7dbl_4", width, width, 7),
                      row("branch7x7dbl_5", width, out, 7)}},
           {.pooling = around(Pool::mean), .chain = {{"branch_pool", in, out}}}}};
}
Block from_17_to_8(std::string name, int64_t in) {
  return {std::move(name),
          {{.chain = {{"branch3x3_1", in, 192}, half("branch3x3_2", 192, 320)}},
           {.chain = {{"branch7x7x3_1", in, 192},
                      row("branch7x7x3_2", 192, 192, 7),
                      column("branch7x7x3_3", 192, 192, 7),
                      half("branch7x7x3_4", 192, 192)}},
           {.pooling = halving}}};
}
Block at_8(std::string name, int64_t in, Pool pool) {
  return {std::move(name),
          {{.chain = {{"branch1x1", in, 320}}},
           {.chain = {{"branch3x3_1", in, 384}},
            .fork = {row("branch3x3_2a", 384, 384, 3), column("branch3x3_2b", 384, 384, 3)}},
           {.chain = {{"branch3x3dbl_1", in, 448}, square("branch3x3dbl_2", 448, 384, 3)},
            .fork = {row("branch3x3dbl_3a", 384, 384, 3), column("branch3x3dbl_3b", 384, 384, 3)}},
           {.pooling = around(pool), .chain = {{"branch_pool", in, 192}}}}};
}

}  // namespace

struct Inception::Network {
  std::vector<Branch> stem = {{.chain = {half("Conv2d_1a_3x3", 3, 32),  // 299 → 149
                                         {"Conv2d_2a_3x3", 32, 32, 3},  // → 147
                                         square("Conv2d_2b_3x3", 32, 64, 3)}},
                              {.pooling = halving,                                                    // → 73
                               .chain = {{"Conv2d_3b_1x1", 64, 80}, {"Conv2d_4a_3x3", 80, 192, 3}}},  // → 71
                              {.pooling = halving}};                                                  // → 35
  std::vector<Block> blocks = {at_35("Mixed_5b", 192, 32),
                               at_35("Mixed_5c", 256, 64),
                               at_35("Mixed_5d", 288, 64),
                               from_35_to_17("Mixed_6a", 288),
                               at_17("Mixed_6b", 128),
                               at_17("Mixed_6c", 160),
                               at_17("Mixed_6d", 160),
                               at_17("Mixed_6e", 192),
                               from_17_to_8("Mixed_7a", 768),
                               at_8("Mixed_7b", 1280, Pool::mean),
                               at_8("Mixed_7c", 2048, Pool::maximum)};
  Var head = Var::leaf(Tensor::zeros({kLogits, kFeatures}));
};

Inception::Inception() : network_(std::make_unique<Network>()) {}
Inception::~Inception() = default;

InceptionOutput Inception::operator()(const Tensor& x) const {
  VAPO_CHECK(x.rank() == 4 && x.dim(1) >= 75 && x.dim(2) >= 75 && x.dim(3) == 3,
             "[inception] x has shape {}, expected (N,H,W,3) of at least 75 × 75 pixels", x.shape().str());
  Tensor h = x;
  for (const Branch& part : network_->stem) h = part(h);
  for (const Block& block : network_->blocks) h = block(h);
  double pixels = static_cast<double>(h.dim(1) * h.dim(2));
  Tensor features = kernel::pool_sum2d(h, {h.dim(1), h.dim(2)}, 1 / pixels).reshape({x.dim(0), kFeatures});
  return {features, kernel::linear(features, network_->head.value(), {})};
}

void Inception::parameters(const nn::ParameterVisitor& visit) {
  auto visit_branch = [&](const std::string& prefix, Branch& branch) {
    for (std::vector<Unit>* units : {&branch.chain, &branch.fork})
      for (Unit& unit : *units) unit.parameters(prefix, visit);
  };
  for (Branch& part : network_->stem) visit_branch("", part);
  for (Block& block : network_->blocks)
    for (Branch& branch : block.branches) visit_branch(block.name + ".", branch);
  visit("fc.weight", network_->head);
}

}  // namespace vapo
