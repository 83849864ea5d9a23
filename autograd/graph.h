#pragma once
// What a node holds. Only var.cpp, node.cpp and grad.cpp look inside.

#include <atomic>
#include <cstdint>
#include <span>
#include <string>

#include "autograd/var.h"

namespace vapo {

struct Edge {
  NodePtr input;
  Vjp vjp;
};

// Header and edges are one block of the caching allocator.
struct Node {
  std::atomic<int32_t> references{1};
  uint32_t edge_count = 0;
  uint64_t id = 0;      // counts up: an input's is smaller than its results'
  const char* op = "";  // "leaf" for a leaf
  Shape shape;
  DType dtype = DType::f32;
  Device device = Device::cpu;
  bool released = false;  // its edges were freed by a grad() that did not retain the graph
  Tensor result;          // only where a vjp asks for it
  std::string name;       // of a leaf
  Node* next_dead = nullptr;

  Edge* edge_array() { return reinterpret_cast<Edge*>(reinterpret_cast<std::byte*>(this) + header_bytes()); }
  std::span<Edge> edges() { return {edge_array(), edge_count}; }
  void release_edges() noexcept;

  static constexpr size_t header_bytes();
  static size_t block_bytes(uint32_t edges) { return header_bytes() + edges * sizeof(Edge); }
  static NodePtr create(const char* op, const Shape& shape, TensorOptions options,
                        uint32_t edges);  // edges are constructed empty
};
constexpr size_t Node::header_bytes() { return (sizeof(Node) + alignof(Edge) - 1) / alignof(Edge) * alignof(Edge); }

}  // namespace vapo
