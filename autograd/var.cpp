#include "autograd/var.h"

#include "autograd/graph.h"

namespace vapo {

constinit thread_local bool NoGradGuard::enabled = true;

Var Var::leaf(Tensor value, std::string name) {
  VAPO_CHECK(value.defined() && is_floating(value.dtype()), "[leaf] '{}' must be an f32 or f64 tensor", name);
  NodePtr node = Node::create("leaf", value.shape(), value.options(), 0);
  node->name = std::move(name);
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

Var Vjp::operator()(const Var& g, const Var& y) { return table_->call(store_, g, y); }

}  // namespace vapo
