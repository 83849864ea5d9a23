#pragma once
// What a node holds, and whether what it kept is still what it was. Only var.cpp, node.cpp, grad.cpp and
// recompute.cpp look inside.

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "autograd/var.h"

namespace vapo {

struct Edge {
  NodePtr input;
  uint32_t slot = 0;  // of the input: 0 is for the cotangent of its value
  Vjp vjp;            // empty where the node has a joint rule
};

// The rule of an operation that computes several cotangents in one go, or that is told more than the cotangent of
// its value: its further slots hold what the edges that name them send.
class JointVjp {
 public:
  virtual ~JointVjp() = default;
  // slots: what came to `self`, undefined where nothing did; wanted[i]: edge i leads to an input of this grad().
  // Returns what edge i sends, for each edge, with sums[i] in it where that was taken; undefined: nothing.
  virtual std::vector<Var> operator()(const NodePtr& self, std::span<const Var> slots,
                                      const std::vector<bool>& wanted, std::span<Addend> sums) = 0;
};

// Header and edges are one block of the caching allocator.
struct Node {
  std::atomic<int32_t> references{1};
  uint32_t edge_count = 0;
  uint64_t id = 0;  // counts up: an input's is smaller than its results'. A tick of the WriteClock
  // The id of the operation, made by the user's own code, whose derivative this is, to any order; else its own. A
  // value that is older than it was read then, though this node may keep it for the first time.
  uint64_t origin = 0;
  const char* op = "";  // "leaf" for a leaf
  Shape shape;
  DType dtype = DType::f32;
  Device device = Device::cpu;
  bool released = false;  // its rules and what they kept were freed by a grad() that did not retain the graph
  Tensor result;          // only where a vjp asks for it
  std::string name;       // of a leaf
  const void* elements = nullptr;  // of a leaf: where they lie, to know it again
  std::unique_ptr<JointVjp> joint;
  Node* next_dead = nullptr;

  Edge* edge_array() { return reinterpret_cast<Edge*>(reinterpret_cast<std::byte*>(this) + header_bytes()); }
  std::span<Edge> edges() { return {edge_array(), edge_count}; }
  void release_rules() noexcept;  // where the edges lead stays known

  static constexpr size_t header_bytes();
  static size_t block_bytes(uint32_t edges) { return header_bytes() + edges * sizeof(Edge); }
  static NodePtr create(const char* op, const Shape& shape, TensorOptions options,
                        uint32_t edges);  // edges are constructed empty
};
constexpr size_t Node::header_bytes() { return (sizeof(Node) + alignof(Edge) - 1) / alignof(Edge) * alignof(Edge); }

Var with_history(Tensor value, NodePtr node);

// While one lives, reading a Var that was written after `node` kept it is an error. Results of that very vjp, and
// what it was given, are newer than the node.
class Differentiating {
 public:
  explicit Differentiating(const NodePtr& node) : before_(current) {
    current = node.get();
    Var::in_vjp = true;
  }
  ~Differentiating() {
    current = before_;
    Var::in_vjp = before_ != nullptr;
  }
  Differentiating(const Differentiating&) = delete;
  Differentiating& operator=(const Differentiating&) = delete;
  static Node* current_node() { return current; }

 private:
  static constinit thread_local Node* current;
  Node* before_;
};

// grad() in a graph cut out of a larger one: it ends at `boundary`, and reaching a leaf that is none of these is an
// error. Undefined where `inputs`, which are of the boundary, are not reached. create_graph decides on both options.
std::vector<Var> grad_inside(std::span<const Var> boundary, std::span<const Var> outputs,
                             std::span<const Var> grad_outputs, std::span<const Var> inputs, bool create_graph);

}  // namespace vapo
