#pragma once
// Recomputation of activations (gradient checkpointing): a block of a network keeps its inputs alone, and runs
// again where a derivative passes through it. Memory then grows with the blocks' inputs instead of all that is inside.

#include <functional>
#include <span>

#include "autograd/var.h"

namespace vapo {

using BlockFunction = std::function<Var(std::span<const Var>)>;

// f(inputs), of which nothing but `inputs` is kept. `parameters`: the leaves that f reads beside its arguments; one
// that is left out is an error in grad(), which names it.
//   - Derivatives of any order. To the second, memory is saved and only those that are wanted are computed: the
//     gradient of an inner pass keeps f's inputs and its cotangent. From the third on, what it needs is kept.
//   - A step with ∇ₓΦ in its loss runs f forward four times: it makes 11 or 12 convolutions for 6.
//   - f must give the same bits at every call, and what it refers to live unchanged, until the derivatives are
//   taken.
Var recompute(BlockFunction f, std::span<const Var> inputs, std::span<const Var> parameters = {});

// f(inputs) with everything kept, and the cotangents of its inputs summed inside first, as recompute() does it: to
// the second derivative the two give the same bits, where no parameter is read by several blocks.
Var contain(const BlockFunction& f, std::span<const Var> inputs);

}  // namespace vapo
