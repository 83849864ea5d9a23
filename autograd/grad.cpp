// Reverse mode. Node numbers grow from inputs to results, so "largest number first" is an order in which every
// cotangent is complete before it is used, and nothing older than the oldest wanted input can matter.

#include "autograd/grad.h"

#include <algorithm>
#include <limits>
#include <queue>

#include "autograd/graph.h"
#include "autograd/ops.h"

namespace vapo {
namespace {

std::string describe(const Node& n) {
  return n.name.empty() ? fmt::format("{} {}", n.op, n.shape.str()) : fmt::format("'{}' {}", n.name, n.shape.str());
}

}  // namespace

class Engine {
 public:
  Engine(std::span<const Var> outputs, std::span<const Var> inputs, const GradOptions& options,
         std::span<const Var> boundary = {})
      : outputs_(outputs),
        inputs_(inputs),
        boundary_(boundary),
        options_(options),
        retain_(options.retain_graph.value_or(options.create_graph)) {}

  std::vector<Var> run(std::span<const Var> grad_outputs) {
    if (options_.create_graph) {
      EnableGradGuard on;
      return walk(grad_outputs);
    }
    NoGradGuard off;
    return walk(grad_outputs);
  }

 private:
  std::vector<Var> walk(std::span<const Var> grad_outputs) {
    collect();
    mark_needed();
    seed(grad_outputs);
    if (options_.ready) count_senders();
    for (Visit& v : visits_) {
      if (!v.needed || v.ends) continue;
      if (v.cotangent.defined() || !v.further.empty()) propagate(v);
      if (options_.ready) count_sent(v);
    }
    return results();
  }

  struct Visit {
    explicit Visit(NodePtr n) : node(std::move(n)) {}
    NodePtr node;
    bool needed = false, wanted = false, ends = false;  // ends: the graph goes no further here
    Var cotangent;
    std::vector<Var> further;  // of slots 1, 2, …
    size_t senders = 0;        // edges from which something may come yet, where that is counted
  };

  // Every node reachable from the outputs and not older than the oldest input, newest first.
  void collect() {
    uint64_t oldest = std::numeric_limits<uint64_t>::max();
    for (const Var& x : inputs_)
      if (x.requires_grad()) oldest = std::min(oldest, x.node()->id);
    if (!boundary_.empty()) oldest = 0;  // it limits the walk, and what lies outside of it is to be found
    auto older = [](const NodePtr& a, const NodePtr& b) { return a->id < b->id; };
    std::vector<NodePtr> heap;
    auto push = [&](const NodePtr& n) {
      if (!n || n->id < oldest) return;
      heap.push_back(n);
      std::push_heap(heap.begin(), heap.end(), older);
    };
    for (const Var& y : outputs_) push(y.node());
    visits_.reserve(64);
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end(), older);
      NodePtr n = std::move(heap.back());
      heap.pop_back();
      if (!visits_.empty() && visits_.back().node.get() == n.get()) continue;
      bool ends =
          std::any_of(boundary_.begin(), boundary_.end(), [&](const Var& b) { return b.node().get() == n.get(); });
      VAPO_CHECK(boundary_.empty() || ends || n->edge_count > 0,
                 "[recompute] the block depends on {}, which is not among its inputs and parameters",
                 describe(*n.get()));
      if (!ends)
        for (Edge& e : n->edges()) push(e.input);
      visits_.emplace_back(std::move(n));
      visits_.back().ends = ends;
    }
  }

  Visit* find(const NodePtr& node) {
    auto it = std::lower_bound(visits_.begin(), visits_.end(), node->id,
                               [](const Visit& v, uint64_t id) { return v.node->id > id; });
    return it != visits_.end() && it->node.get() == node.get() ? &*it : nullptr;
  }

  // A node is needed if it is a wanted input or leads to one: oldest first.
  void mark_needed() {
    for (const Var& x : inputs_)
      if (x.requires_grad())
        if (Visit* v = find(x.node())) v->wanted = v->needed = true;
    for (auto v = visits_.rbegin(); v != visits_.rend(); ++v) {
      if (v->ends) continue;
      for (Edge& e : v->node->edges()) {
        if (v->needed) break;
        Visit* input = e.input ? find(e.input) : nullptr;
        v->needed = input && input->needed;
      }
    }
  }

  // f(visit): of every edge of v that leads to a wanted input, which v may be left with more than once.
  template <class F>
  void for_wanted(Visit& v, const F& f) {
    for (Edge& e : v.node->edges())
      if (Visit* input = e.input ? find(e.input) : nullptr; input && input->wanted) f(*input);
  }

  void count_senders() {
    for (Visit& v : visits_)
      if (v.needed && !v.ends) for_wanted(v, [](Visit& input) { ++input.senders; });
    for (Visit& v : visits_)
      if (v.wanted && v.senders == 0) tell_ready(v);
  }

  // After v has sent all that it has.
  void count_sent(Visit& v) {
    for_wanted(v, [&](Visit& input) {
      if (--input.senders == 0) tell_ready(input);
    });
  }

  void tell_ready(const Visit& v) {
    if (!v.cotangent.defined()) return;
    for (size_t i = 0; i < inputs_.size(); ++i)
      if (inputs_[i].requires_grad() && inputs_[i].node().get() == v.node.get()) options_.ready(i, v.cotangent);
  }

  void seed(std::span<const Var> grad_outputs) {
    VAPO_CHECK(grad_outputs.empty() || grad_outputs.size() == outputs_.size(),
               "[grad] {} grad_outputs for {} outputs", grad_outputs.size(), outputs_.size());
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const Var& y = outputs_[i];
      VAPO_CHECK(y.requires_grad() || options_.allow_unused,
                 "[grad] output {} {} has no history: none of its inputs requires a gradient, or it was made under "
                 "NoGradGuard",
                 i, y.defined() ? y.shape().str() : "");
      if (!y.requires_grad()) continue;
      if (grad_outputs.empty())
        VAPO_CHECK(y.numel() == 1,
                   "[grad] output {} has shape {}: grad_outputs must be given where it is not one element", i,
                   y.shape().str());
      Visit* v = find(y.node());
      if (!v) continue;  // older than every input
      add_cotangent(*v, grad_outputs.empty() ? Var(Tensor::ones(y.shape(), y.options())) : given(grad_outputs[i]),
                    "grad_outputs", i);
    }
  }

  // Of a buffer that the caller may have filled since the forward pass: a handle as new as this call.
  static Var given(const Var& g) { return g.defined() ? Var(g.value().alias(), g.node()) : g; }

  // `whole`: g is the sum of what has come.
  void add_cotangent(Visit& v, const Var& g, const char* op, size_t argument, bool whole = false) {
    const Node& n = *v.node.get();
    VAPO_CHECK(g.defined() && g.shape() == n.shape && g.dtype() == n.dtype,
               "[grad] {}, argument {}: cotangent {} {} for {} {}", op, argument,
               g.defined() ? name_of(g.dtype()) : "undefined", g.defined() ? g.shape().str() : "", describe(n),
               name_of(n.dtype));
    VAPO_CHECK(g.device() == n.device, "[grad] {}, argument {}: cotangent on {} for {} on {}", op, argument,
               name_of(g.device()), describe(n), name_of(n.device));
    v.cotangent = v.cotangent.defined() && !whole ? add(v.cotangent, g) : g;
  }

  static Addend sum_of(Visit* to, uint32_t slot) { return to && slot == 0 ? Addend(to->cotangent) : Addend(); }

  void send(Visit& to, uint32_t slot, const Var& g, const char* op, size_t argument, const Addend& sum) {
    g.value();  // what a rule kept and passes on as it is counts as read
    if (slot == 0) return add_cotangent(to, g, op, argument, sum.taken());
    if (to.further.size() < slot) to.further.resize(slot);
    to.further[slot - 1] = g;  // every slot but the first has one sender
  }

  void propagate(Visit& v) {
    Node& n = *v.node.get();
    VAPO_CHECK(!n.released || !leads_on(n),
               "[grad] the graph behind '{}' was freed by an earlier grad(). Hint: retain_graph = true there",
               n.op);
    if (n.released) return;  // what came to it is what was wanted
    Differentiating reading(v.node);
    bool ran = n.joint ? propagate_jointly(v) : propagate_by_edges(v);
    if (!v.wanted) v.cotangent = Var();  // free early: it has been passed on
    v.further.clear();
    if (ran && !retain_) n.release_rules();
  }

  bool leads_on(Node& n) {
    return std::ranges::any_of(n.edges(), [&](const Edge& e) {
      Visit* input = find(e.input);
      return input && input->needed;
    });
  }

  bool propagate_by_edges(Visit& v) {
    Node& n = *v.node.get();
    Var y;
    bool ran = false;
    for (size_t i = 0; i < n.edge_count; ++i) {
      Edge& e = n.edges()[i];
      Visit* input = find(e.input);
      if (!input || !input->needed) continue;
      if (e.vjp.wants_result() && !y.defined()) y = Var(n.result, v.node);
      Addend sum = sum_of(input, e.slot);
      Var g = e.vjp(v.cotangent, y, sum);
      send(*input, e.slot, g, n.op, i, sum);
      ran = true;
    }
    return ran;
  }

  bool propagate_jointly(Visit& v) {
    Node& n = *v.node.get();
    std::vector<Visit*> to(n.edge_count);
    std::vector<bool> wanted(n.edge_count);
    std::vector<Addend> sums(n.edge_count);
    for (size_t i = 0; i < n.edge_count; ++i) {
      to[i] = find(n.edges()[i].input);
      wanted[i] = to[i] && to[i]->needed;
      bool first = std::find(to.begin(), to.begin() + static_cast<std::ptrdiff_t>(i), to[i]) ==
                   to.begin() + static_cast<std::ptrdiff_t>(i);
      if (first) sums[i] = sum_of(to[i], n.edges()[i].slot);  // of an operand that is there twice only once
    }
    std::vector<Var> slots{v.cotangent};
    slots.insert(slots.end(), v.further.begin(), v.further.end());
    std::vector<Var> out = (*n.joint)(v.node, slots, wanted, sums);
    for (size_t i = 0; i < n.edge_count; ++i)
      if (wanted[i] && out[i].defined()) send(*to[i], n.edges()[i].slot, out[i], n.op, i, sums[i]);
    return std::find(wanted.begin(), wanted.end(), true) != wanted.end();
  }

  std::vector<Var> results() {
    std::vector<Var> out;
    out.reserve(inputs_.size());
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const Var& x = inputs_[i];
      Visit* v = x.requires_grad() ? find(x.node()) : nullptr;
      if (v && v->cotangent.defined()) {
        out.push_back(v->cotangent);
        continue;
      }
      if (!boundary_.empty()) {
        out.emplace_back();
        continue;
      }
      VAPO_CHECK(options_.allow_unused,
                 "[grad] input {} {}: the outputs do not depend on it. Hint: allow_unused = true gives zeros", i,
                 x.requires_grad() ? describe(*x.node().get()) : x.shape().str() + ", a constant,");
      out.push_back(Tensor::zeros(x.shape(), x.options()));
    }
    return out;
  }

  std::span<const Var> outputs_, inputs_, boundary_;
  const GradOptions& options_;
  bool retain_;
  std::vector<Visit> visits_;  // newest first
};

std::vector<Var> grad(std::span<const Var> outputs, std::span<const Var> inputs, const GradOptions& options,
                      std::span<const Var> grad_outputs) {
  return Engine(outputs, inputs, options).run(grad_outputs);
}

std::vector<Var> grad_inside(std::span<const Var> boundary, std::span<const Var> outputs,
                             std::span<const Var> grad_outputs, std::span<const Var> inputs, bool create_graph) {
  return Engine(outputs, inputs, {.create_graph = create_graph, .allow_unused = true}, boundary).run(grad_outputs);
}

std::vector<Var> grad(const Var& output, std::span<const Var> inputs, const GradOptions& options) {
  return grad(std::span(&output, 1), inputs, options);
}

Var grad(const Var& output, const Var& input, const GradOptions& options) {
  return std::move(grad(std::span(&output, 1), std::span(&input, 1), options)[0]);
}

namespace {
std::vector<Var> fresh_leaves(std::span<const Var> inputs) {
  std::vector<Var> leaves;
  for (size_t i = 0; i < inputs.size(); ++i)
    leaves.push_back(Var::leaf(inputs[i].value(), fmt::format("input {}", i)));
  return leaves;
}
}  // namespace

std::pair<Var, std::vector<Var>> value_and_grad(const ScalarFunction& f, std::span<const Var> inputs,
                                                const GradOptions& options) {
  EnableGradGuard on;
  std::vector<Var> leaves = fresh_leaves(inputs);
  Var y = f(leaves);
  std::vector<Var> g = grad(y, leaves, options);
  return {options.create_graph ? y : y.detach(), std::move(g)};
}

std::vector<Var> hvp(const ScalarFunction& f, std::span<const Var> inputs, std::span<const Var> v) {
  VAPO_CHECK(inputs.size() == v.size(), "[hvp] {} vectors for {} inputs", v.size(), inputs.size());
  EnableGradGuard on;
  std::vector<Var> leaves = fresh_leaves(inputs);
  Var y = f(leaves);
  std::vector<Var> g = grad(y, leaves, {.create_graph = true, .allow_unused = true});
  return grad(g, leaves, {.allow_unused = true}, v);
}

}  // namespace vapo
