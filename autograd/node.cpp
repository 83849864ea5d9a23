#include <new>

#include "autograd/graph.h"

namespace vapo {
namespace {

// Nodes whose last reference went away, waiting to be destroyed by the outermost release: no recursion.
thread_local Node* dead = nullptr;
thread_local bool draining = false;

}  // namespace

constinit thread_local Node* Differentiating::current = nullptr;

NodePtr Node::create(const char* op, const Shape& shape, TensorOptions options, uint32_t edges) {
  Node* node = new (detail::allocate(block_bytes(edges))) Node;
  node->edge_count = edges;
  node->id = WriteClock::tick();
  const Node* of = Differentiating::current_node();
  node->origin = of ? of->origin : node->id;
  node->op = op;
  node->shape = shape;
  node->dtype = options.dtype;
  node->device = options.device;
  for (uint32_t i = 0; i < edges; ++i) new (node->edge_array() + i) Edge;
  return NodePtr(node);
}

void Node::release_rules() noexcept {
  released = true;
  result = Tensor();
  joint.reset();
  for (Edge& e : edges()) e.vjp.reset();
}

NodePtr::NodePtr(const NodePtr& o) : p_(o.p_) {
  if (p_) p_->references.fetch_add(1, std::memory_order_relaxed);
}

void NodePtr::release(Node* p) noexcept {
  if (p->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  p->next_dead = dead;
  dead = p;
  if (draining) return;
  draining = true;
  while (Node* node = dead) {
    dead = node->next_dead;
    size_t bytes = Node::block_bytes(node->edge_count);
    for (Edge& e : node->edges()) e.~Edge();
    node->~Node();
    detail::deallocate(node, bytes);
  }
  draining = false;
}

}  // namespace vapo
