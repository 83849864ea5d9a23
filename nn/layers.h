#pragma once
// Layers, named and shaped as in PyTorch.

#include <string>
#include <vector>

#include "autograd/ops.h"
#include "nn/module.h"
#include "nn/rounded.h"
#include "tensor/names.h"
#include "tensor/random.h"

namespace vapo::nn {

// What a network computes x in: bf16 on a GPU under that precision policy, else x itself.
Var to_activation(const Var& x);
// A parameter as a layer uses it: in the dtype of its input, where that is bf16 and the parameter is kept in f32.
inline Var like(const Var& x, const Var& parameter) {
  return x.dtype() == DType::bf16 && parameter.defined() ? rounded(parameter) : parameter;
}

// y = x wᵀ + b: (…, in) → (…, out). Initialised as PyTorch does: U(±1/√in) for both.
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, RandomKey key, bool bias = true, DType dtype = DType::f32);
  Var operator()(const Var& x) const { return linear(x, like(x, weight), like(x, bias)); }
  void parameters(const ParameterVisitor& visit) override;  // weight (out,in), bias (out)
  Var weight, bias;
};

// Rows of a table: i64 (…) → (…, width). Initialised N(0,1).
class Embedding : public Module {
 public:
  Embedding(int64_t count, int64_t width, RandomKey key, DType dtype = DType::f32);
  Var operator()(const Tensor& index) const { return embedding(weight, index); }
  void parameters(const ParameterVisitor& visit) override;  // weight (count,width)
  Var weight;
};

// (N,H,W,in) → (N,H',W',out). Initialised as PyTorch does: U(±1/√fan_in), fan_in = in/groups·kH·kW.
class Conv2d : public Module {
 public:
  Conv2d(int64_t in, int64_t out, Pair window, RandomKey key, kernel::Conv2dOptions options = {}, bool bias = true,
         DType dtype = DType::f32);
  Var operator()(const Var& x, const Var& add = {}) const {  // plus `add`, of the result's shape
    return conv2d(x, like(x, weight), like(x, bias), options_, add);
  }
  void parameters(const ParameterVisitor& visit) override;  // weight (out,kH,kW,in/groups), bias (out)
  Var weight, bias;

 private:
  kernel::Conv2dOptions options_;
};

// Over (N,…,C); weight 1 and bias 0 at first.
class GroupNorm : public Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, double eps = 1e-5, DType dtype = DType::f32);
  Var operator()(const Var& x) const { return group_norm(x, weight, bias, groups_, eps_); }
  // dropout(silu(norm(x)·(1 + scale) + shift)); e (N,2C) = [scale, shift], or undefined: both 0
  Var silu(const Var& x, const Var& e = {}, const Dropout& d = {}) const {
    return group_norm_silu(x, weight, bias, groups_, eps_, e, d);
  }
  void parameters(const ParameterVisitor& visit) override;  // weight (C), bias (C)
  Var weight, bias;

 private:
  int64_t groups_;
  double eps_;
};

enum class Activation { silu, gelu, softplus, relu, leaky_relu, tanh };  // leaky_relu: slope 0.2
constexpr auto names_of(Activation) {
  using enum Activation;
  return name_table<Activation>("activation", {{"silu", silu},
                                               {"gelu", gelu},
                                               {"softplus", softplus},
                                               {"relu", relu},
                                               {"leaky_relu", leaky_relu},
                                               {"tanh", tanh}});
}
inline Var activate(Activation a, const Var& x) {
  switch (a) {
    case Activation::silu:
      return silu(x);
    case Activation::gelu:
      return gelu(x);
    case Activation::softplus:
      return softplus(x);
    case Activation::relu:
      return relu(x);
    case Activation::leaky_relu:
      return leaky_relu(x, 0.2);
    case Activation::tanh:
      return tanh(x);
  }
  fail("[activate] unknown activation {}", static_cast<int>(a));
}

// Sinusoidal features of time, (N) → (N, width): [cos(s·t·f), sin(s·t·f)], f_i = 10000^(−i/half), half = width/2 (even).
Var time_embedding(const Var& t, int64_t width, double time_scale = 1);

}  // namespace vapo::nn
