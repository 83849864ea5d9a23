// Two kinds of nodes. "recompute" is the block, y = f(x), with x its sources: the inputs and parameters that need a
// gradient. Its vjp for the cotangent g runs f again. Where that is to be differentiated once more, the results
// d = ∂⟨f(x), g⟩/∂x become results of a "recompute_vjp" node, which keeps g. A second derivative arrives there
// first, as cotangents u of d. With f and d made again it sends
//   ∂⟨d, u⟩/∂g  to g, and
//   (g, u)      to the block's node, which waits for the cotangent v of y: ∂(⟨d, u⟩ + ⟨y, v⟩)/∂x is one pass, whose
//               sums come in the order in which they come when everything is kept.

#include "autograd/recompute.h"

#include <algorithm>
#include <atomic>

#include "autograd/graph.h"

namespace vapo {
namespace {

// The same value as a node of its own: what comes to it is summed there before it goes on.
Var alias(const Var& x) {
  return record("alias", x.value(), {{x, [](const Var& g) { return alias(g); }}});
}

struct Contained {
  std::vector<Var> inputs;
  Var y;
};
Contained contained(const BlockFunction& f, std::span<const Var> inputs) {
  std::vector<Var> inside(inputs.size());
  for (size_t i = inputs.size(); i-- > 0;) inside[i] = alias(inputs[i]);  // the first is the newest, visited first
  Var y = alias(f(inside));
  return {std::move(inside), std::move(y)};
}

struct Block {
  BlockFunction f;
  std::vector<Var> inputs, parameters;  // parameters: each once
  size_t source_count = 0;
  std::atomic<uint32_t> gradients = 0;  // how many recompute_vjp nodes there are
};
using BlockPtr = std::shared_ptr<Block>;

// The block once more, recorded.
class Replay {
 public:
  explicit Replay(const Block& b) {
    EnableGradGuard on;
    auto [inputs, y] = contained(b.f, b.inputs);
    for (const Var& x : inputs)
      if (x.requires_grad()) boundary_.push_back(x);
    boundary_.insert(boundary_.end(), b.parameters.begin(), b.parameters.end());
    sources_ = boundary_;
    y_ = std::move(y);
  }
  const Var& y() const { return y_; }

  // ∂⟨y, g⟩ in the chosen sources, undefined for the others.
  std::vector<Var> gradient(const Var& g, const std::vector<bool>& chosen, bool create_graph) {
    std::vector<Var> d = inside({&y_, 1}, {&g, 1}, chosen, create_graph);
    if (g.requires_grad()) boundary_.push_back(g);
    return d;
  }
  std::vector<Var> inside(std::span<const Var> outputs, std::span<const Var> cotangents,
                          const std::vector<bool>& chosen, bool create_graph) const {
    std::vector<Var> inputs, d(sources_.size());
    for (size_t i = 0; i < d.size(); ++i)
      if (chosen[i]) inputs.push_back(sources_[i]);
    std::vector<Var> found = grad_inside(boundary_, outputs, cotangents, inputs, create_graph);
    for (size_t i = 0, j = 0; i < d.size(); ++i)
      if (chosen[i]) d[i] = std::move(found[j++]);
    return d;
  }
  Var inside(std::span<const Var> outputs, std::span<const Var> cotangents, const Var& g, bool create_graph) const {
    return std::move(grad_inside(boundary_, outputs, cotangents, {&g, 1}, create_graph)[0]);
  }

 private:
  std::vector<Var> sources_, boundary_;
  Var y_;
};

// Outputs d with their cotangents u, of one gradient of a replayed block. The last first, as their aliases would be visited.
void add_outputs(Replay& replay, const Var& g, std::span<const Var> u, std::vector<Var>& outputs,
                 std::vector<Var>& cotangents) {
  std::vector<bool> chosen;
  for (const Var& ui : u) chosen.push_back(ui.defined());
  std::vector<Var> d = replay.gradient(g, chosen, true);
  for (size_t i = u.size(); i-- > 0;)
    if (u[i].defined() && d[i].defined()) outputs.push_back(d[i]), cotangents.push_back(u[i]);
}

// Slot 1 + i: the cotangent of d for source i. Edges: to g where it needs a gradient, then to the block's node.
class GradientRule : public JointVjp {
 public:
  GradientRule(BlockPtr block, Var g) : block_(std::move(block)), g_(std::move(g)) {}
  std::vector<Var> operator()(const NodePtr&, std::span<const Var> slots, const std::vector<bool>& wanted,
                              std::span<Addend>) override {
    std::vector<Var> u(slots.begin() + 1, slots.end()), out;
    u.resize(block_->source_count);
    if (g_.requires_grad()) {
      out.emplace_back();
      if (wanted[0]) {
        Replay replay(*block_);
        std::vector<Var> outputs, cotangents;
        add_outputs(replay, g_, u, outputs, cotangents);
        out[0] = replay.inside(outputs, cotangents, g_, NoGradGuard::grad_enabled());
      }
    }
    out.push_back(g_);
    out.insert(out.end(), u.begin(), u.end());
    return out;
  }

 private:
  BlockPtr block_;
  Var g_;
};

// Slot 0: the cotangent of y; then for each gradient that was taken, oldest first, 1 + source_count slots: its g and u.
class BlockRule : public JointVjp {
 public:
  explicit BlockRule(BlockPtr block) : block_(std::move(block)) {}
  std::vector<Var> operator()(const NodePtr& self, std::span<const Var> slots, const std::vector<bool>& wanted,
                              std::span<Addend>) override {
    Replay replay(*block_);
    bool create_graph = NoGradGuard::grad_enabled();
    if (slots.size() == 1) {
      std::vector<Var> d = replay.gradient(slots[0], wanted, false);
      return create_graph ? recorded(self, slots[0], d) : d;
    }
    std::vector<Var> outputs, cotangents, all(slots.begin(), slots.end());
    size_t n = block_->source_count, step = 1 + n;
    all.resize(1 + (slots.size() - 1 + n) / step * step);
    for (size_t k = 1; k < all.size(); k += step)
      if (all[k].defined()) add_outputs(replay, all[k], std::span(all).subspan(k + 1, n), outputs, cotangents);
    if (slots[0].defined()) outputs.push_back(replay.y()), cotangents.push_back(slots[0]);
    return replay.inside(outputs, cotangents, wanted, create_graph);
  }

 private:
  // d as results of a recompute_vjp node
  std::vector<Var> recorded(const NodePtr& self, const Var& g, std::span<const Var> d) {
    auto n = static_cast<uint32_t>(d.size()), to_g = static_cast<uint32_t>(g.requires_grad());
    uint32_t first = 1 + block_->gradients.fetch_add(1) * (1 + n);
    NodePtr node = Node::create("recompute_vjp", g.shape(), g.options(), to_g + 1 + n);
    if (to_g) node->edge_array()[0].input = g.node();
    for (uint32_t i = 0; i <= n; ++i) {
      Edge& e = node->edge_array()[to_g + i];
      e.input = self, e.slot = first + i;
    }
    node->joint = std::make_unique<GradientRule>(block_, g);
    std::vector<Var> out(n);
    for (uint32_t i = 0; i < n; ++i) {
      if (!d[i].defined()) continue;
      NodePtr part = Node::create("recompute_vjp", d[i].shape(), d[i].value().options(), 1);
      Edge& e = part->edge_array()[0];
      e.input = node, e.slot = 1 + i, e.vjp = [](const Var& u) { return u; };
      out[i] = with_history(d[i].value(), part);
    }
    return out;
  }

  BlockPtr block_;
};

}  // namespace

Var recompute(BlockFunction f, std::span<const Var> inputs, std::span<const Var> parameters) {
  Tensor y = [&] {
    NoGradGuard off;
    return f(inputs).value();
  }();
  if (!NoGradGuard::grad_enabled()) return y;
  std::vector<NodePtr> sources;
  for (const Var& x : inputs)
    if (x.requires_grad()) sources.push_back(x.node());
  size_t of_inputs = sources.size();
  auto block = std::make_shared<Block>();
  for (const Var& p : parameters) {
    auto same = [&](const NodePtr& s) { return s.get() == p.node().get(); };
    if (!p.requires_grad() ||
        std::any_of(sources.begin() + static_cast<std::ptrdiff_t>(of_inputs), sources.end(), same))
      continue;
    sources.push_back(p.node());
    block->parameters.push_back(p);
  }
  if (sources.empty()) return y;
  block->f = std::move(f);
  block->inputs.assign(inputs.begin(), inputs.end());
  block->source_count = sources.size();
  NodePtr node = Node::create("recompute", y.shape(), y.options(), static_cast<uint32_t>(sources.size()));
  for (size_t i = 0; i < sources.size(); ++i) node->edge_array()[i].input = std::move(sources[i]);
  node->joint = std::make_unique<BlockRule>(std::move(block));
  return with_history(std::move(y), std::move(node));
}

Var contain(const BlockFunction& f, std::span<const Var> inputs) { return contained(f, inputs).y; }

}  // namespace vapo
