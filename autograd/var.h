#pragma once
// Var: a tensor and where it came from. Node: one recorded operation, with one vjp per input that needs a gradient.

#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "autograd/node.h"
#include "tensor/tensor.h"

namespace vapo {

struct Rule;

class Var {
 public:
  Var() = default;
  Var(Tensor value)
      : value_(std::move(value)) {}  // a constant: implicit, so that tensors go where Vars are expected
  // A leaf that gradients can be taken of. The name appears in error messages.
  static Var leaf(Tensor value, std::string name = {});

  // Inside a vjp: an error, naming it, where it was written since the operation kept it.
  const Tensor& value() const {
    if (in_vjp) [[unlikely]]
      check_unwritten();
    return value_;
  }
  const Shape& shape() const { return value_.shape(); }
  int rank() const { return value_.rank(); }
  int64_t dim(int64_t i) const { return value_.dim(i); }
  int64_t numel() const { return value_.numel(); }
  DType dtype() const { return value_.dtype(); }
  Device device() const { return value_.device(); }
  TensorOptions options() const { return value_.options(); }
  double item() const { return value().item(); }
  bool defined() const { return value_.defined(); }

  bool requires_grad() const { return static_cast<bool>(node_); }
  Var detach() const { return Var(value_); }  // the same value, without its history
  const NodePtr& node() const { return node_; }

 private:
  friend Var record(const char* op, Tensor value, std::span<const Rule> rules);
  friend Var with_history(Tensor value, NodePtr node);
  friend class Engine;
  friend class Differentiating;
  Var(Tensor value, NodePtr node) : value_(std::move(value)), node_(std::move(node)) {}
  void check_unwritten() const;
  static constinit thread_local bool in_vjp;
  Tensor value_;
  NodePtr node_;
};

// The cotangent that has come to an input so far, from operations that were later used with it. A vjp whose kernel can
// write its result plus another tensor takes it, and returns the sum: one pass over memory instead of three.
class Addend {
 public:
  Addend() = default;
  explicit Addend(Var& so_far) : so_far_(&so_far) {}
  Var take();  // undefined where nothing has come; its only handle, unless a rule or the caller has another
  bool taken() const { return taken_; }

 private:
  Var* so_far_ = nullptr;
  bool taken_ = false;
};

// One input of an operation and its vjp: f maps the cotangent g of the result, or (g, y) with y the result itself, or
// (g, Addend), to the cotangent of `input`. f is written in differentiable operations (ops.h).
struct Rule {
  template <class F>
  Rule(const Var& x, F&& f) : input(&x), vjp(std::forward<F>(f)) {}
  const Var* input;
  mutable Vjp vjp;  // moved into the node; dropped, with all it captured, where the input needs no gradient
};

// Makes the result of an operation. A constant when gradients are off or no input needs one.
Var record(const char* op, Tensor value, std::span<const Rule> rules);
inline Var record(const char* op, Tensor value, std::initializer_list<Rule> rules) {
  return record(op, std::move(value), std::span(rules.begin(), rules.size()));
}

// One rule for all inputs, where they share work: f maps the cotangents of the results, undefined where nothing
// came, to those of the inputs, of which only the wanted ones are looked at. sums: for each input.
using JointRule = std::function<std::vector<Var>(std::span<const Var> cotangents, const std::vector<bool>& wanted,
                                                 std::span<Addend> sums)>;
// Makes the results of an operation; an undefined one stays undefined.
std::vector<Var> record_jointly(const char* op, std::vector<Tensor> results, std::span<const Var> inputs,
                                JointRule f);

// While one lives, operations of this thread record nothing.
class NoGradGuard {
 public:
  NoGradGuard() : before_(enabled) { enabled = false; }
  ~NoGradGuard() { enabled = before_; }
  NoGradGuard(const NoGradGuard&) = delete;
  NoGradGuard& operator=(const NoGradGuard&) = delete;
  static bool grad_enabled() { return enabled; }

 private:
  friend class EnableGradGuard;
  static constinit thread_local bool enabled;
  bool before_;
};
class EnableGradGuard {  // records again inside a NoGradGuard: the inner ∇Φ of a sampler
 public:
  EnableGradGuard() : before_(NoGradGuard::enabled) { NoGradGuard::enabled = true; }
  ~EnableGradGuard() { NoGradGuard::enabled = before_; }
  EnableGradGuard(const EnableGradGuard&) = delete;
  EnableGradGuard& operator=(const EnableGradGuard&) = delete;

 private:
  bool before_;
};

}  // namespace vapo
