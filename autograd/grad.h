#pragma once
// Reverse-mode differentiation as a function of its arguments. There is no .grad field and no .backward().

#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "autograd/var.h"

namespace vapo {

struct GradOptions {
  bool create_graph = false;              // the results can be differentiated again
  std::optional<bool> retain_graph = {};  // keep the graph for another call; default: create_graph
  bool allow_unused = false;              // an input that is not reached gives zeros instead of an error
  // Called with an input's place among the inputs and its gradient as soon as that is complete, while the rest is
  // computed; not for inputs that are not reached.
  std::function<void(size_t input, const Var& gradient)> ready = {};
};

// Σ_i ⟨grad_outputs[i], ∂outputs[i]/∂input⟩ for every input, shaped like the inputs. Only the vjps that lead to
// `inputs` run. grad_outputs may be left out where every output has one element (then 1).
// Errors: an output without history; an input not reached (named); a graph already freed; a cotangent whose shape
// or dtype is not its input's (op and argument named).
std::vector<Var> grad(std::span<const Var> outputs, std::span<const Var> inputs, const GradOptions& options = {},
                      std::span<const Var> grad_outputs = {});
std::vector<Var> grad(const Var& output, std::span<const Var> inputs, const GradOptions& options = {});
Var grad(const Var& output, const Var& input, const GradOptions& options = {});

using ScalarFunction = std::function<Var(std::span<const Var>)>;  // inputs → one element

// f's value and its gradient at `inputs`, which become fresh leaves.
std::pair<Var, std::vector<Var>> value_and_grad(const ScalarFunction& f, std::span<const Var> inputs,
                                                const GradOptions& options = {});
// The Hessian of f times v: d/dx ⟨∇f(x), v⟩, per input, shaped like the inputs.
std::vector<Var> hvp(const ScalarFunction& f, std::span<const Var> inputs, std::span<const Var> v);

}  // namespace vapo
