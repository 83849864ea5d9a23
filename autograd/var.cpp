#include "autograd/var.h"

#include <algorithm>
#include <memory>
#include <set>
#include <vector>

#include "autograd/graph.h"

namespace vapo {

constinit thread_local bool NoGradGuard::enabled = true;
constinit thread_local bool Var::in_vjp = false;

namespace {

// The leaf with these elements among the nodes that the graph behind `from` holds; null where there is none.
const Node* leaf_behind(const Node* from, const void* elements) {
  std::vector<Node*> open{const_cast<Node*>(from)};
  std::set<const Node*> seen{from};
  while (!open.empty()) {
    Node* n = open.back();
    open.pop_back();
    if (n->edge_count == 0 && n->elements == elements) return n;
    for (Edge& e : n->edges())
      if (e.input && seen.insert(e.input.get()).second) open.push_back(e.input.get());
  }
  return nullptr;
}

std::string describe(const Tensor& value, const Node* own, const Node* user) {
  const Node* leaf = own ? leaf_behind(own, value.raw()) : nullptr;
  if (!leaf) leaf = leaf_behind(user, value.raw());
  if (leaf) return leaf->name.empty() ? "a leaf" : fmt::format("'{}'", leaf->name);
  return own ? fmt::format("the result of '{}'", own->op) : "a constant";
}

}  // namespace

// Older than the origin: read in the forward pass. Between it and the node: made by a backward pass whose graph the
// node is of. Newer: made by the vjp that runs, or given to it.
void Var::check_unwritten() const {
  if (!value_.defined()) return;
  const Node& n = *Differentiating::current_node();
  uint64_t made = value_.made_at(), kept = made <= n.origin ? n.origin : n.id;
  if (made > n.id || value_.written_at() <= kept) return;
  fail(
      "[grad] {} {} was written after '{}' used it (an optimizer step?). Hint: call grad before the step, or run "
      "the forward pass again",
      describe(value_, node_.get(), &n), value_.shape().str(), n.op);
}

Var Var::leaf(Tensor value, std::string name) {
  VAPO_CHECK(value.defined() && is_floating(value.dtype()), "[leaf] '{}' must be an f32 or f64 tensor", name);
  NodePtr node = Node::create("leaf", value.shape(), value.options(), 0);
  node->name = std::move(name);
  node->elements = value.raw();
  return Var(std::move(value), std::move(node));
}

Var record(const char* op, Tensor value, std::span<const Rule> rules) {
  uint32_t edges = 0;
  if (NoGradGuard::grad_enabled())
    for (const Rule& r : rules) edges += r.input->requires_grad();
  if (edges == 0) return Var(std::move(value));
  NodePtr node = Node::create(op, value.shape(), value.options(), edges);
  Edge* edge = node->edge_array();
  for (const Rule& r : rules) {
    if (!r.input->requires_grad()) continue;
    if (r.vjp.wants_result()) node->result = value;
    edge->input = r.input->node();
    edge->vjp = std::move(r.vjp);
    ++edge;
  }
  return Var(std::move(value), std::move(node));
}

Var with_history(Tensor value, NodePtr node) { return Var(std::move(value), std::move(node)); }

namespace {
// Translates between inputs and edges, which only inputs with a history have.
class JointRuleVjp : public JointVjp {
 public:
  JointRuleVjp(JointRule f, std::vector<bool> has_edge, size_t results)
      : f_(std::move(f)), has_edge_(std::move(has_edge)), results_(results) {}
  std::vector<Var> operator()(const NodePtr&, std::span<const Var> slots, const std::vector<bool>& wanted,
                              std::span<Addend> sums) override {
    std::vector<bool> of_inputs(has_edge_.size());
    std::vector<Addend> sums_of_inputs(has_edge_.size());
    for (size_t i = 0, edge = 0; i < has_edge_.size(); ++i)
      if (has_edge_[i]) of_inputs[i] = wanted[edge], sums_of_inputs[i] = sums[edge++];
    std::vector<Var> cotangents(slots.begin() + (results_ > 1), slots.end());
    cotangents.resize(results_);
    std::vector<Var> of_edges, all = f_(cotangents, of_inputs, sums_of_inputs);
    for (size_t i = 0; i < has_edge_.size(); ++i) {
      if (!has_edge_[i]) continue;
      sums[of_edges.size()] = sums_of_inputs[i];
      of_edges.push_back(of_inputs[i] ? std::move(all[i]) : Var());
    }
    return of_edges;
  }

 private:
  JointRule f_;
  std::vector<bool> has_edge_;
  size_t results_;
};
}  // namespace

// Several results are nodes of their own, which hand their cotangents to further slots of a common one.
std::vector<Var> record_jointly(const char* op, std::vector<Tensor> results, std::span<const Var> inputs,
                                JointRule f) {
  std::vector<bool> has_edge;
  uint32_t edges = 0;
  for (const Var& x : inputs) {
    has_edge.push_back(x.requires_grad() && NoGradGuard::grad_enabled());
    edges += has_edge.back();
  }
  std::vector<Var> out(results.begin(), results.end());
  auto some = std::find_if(results.begin(), results.end(), [](const Tensor& y) { return y.defined(); });
  if (edges == 0 || some == results.end()) return out;
  NodePtr node = Node::create(op, results.size() == 1 ? some->shape() : Shape{0}, some->options(), edges);
  Edge* edge = node->edge_array();
  for (size_t i = 0; i < inputs.size(); ++i)
    if (has_edge[i]) (edge++)->input = inputs[i].node();
  node->joint = std::make_unique<JointRuleVjp>(std::move(f), std::move(has_edge), results.size());
  if (results.size() == 1) return {with_history(std::move(results[0]), std::move(node))};
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i].defined()) continue;
    NodePtr part = Node::create(op, results[i].shape(), results[i].options(), 1);
    Edge& e = part->edge_array()[0];
    e.input = node, e.slot = static_cast<uint32_t>(1 + i), e.vjp = [](const Var& g) { return g; };
    out[i] = with_history(std::move(results[i]), std::move(part));
  }
  return out;
}

Var Vjp::operator()(const Var& g, const Var& y, Addend& sum) { return table_->call(store_, g, y, sum); }

// A handle as new as this call: it was not kept by the operation whose vjp takes it.
Var Addend::take() {
  if (!so_far_ || !so_far_->defined()) return {};
  taken_ = true;
  Var taken = std::exchange(*so_far_, Var());
  return with_history(taken.value().alias(), taken.node());
}

}  // namespace vapo
