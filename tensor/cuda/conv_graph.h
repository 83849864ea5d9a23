#pragma once
// A convolution as a graph of operations, and the plans that cuDNN has for it.

#include <list>
#include <memory>

#include "tensor/cuda/conv.h"
#include "tensor/cuda/cudnn_graph.h"

namespace vapo::cuda {

struct GraphKey {
  ConvolutionPass pass;
  DType dtype;  // f32 or bf16
  ConvGeometry s;
  bool bias, add;  // of a forward pass
  auto operator<=>(const GraphKey&) const = default;
};

struct Graph {
  explicit Graph(const GraphKey& key);  // throws Refused

  GraphKey key;
  std::list<Descriptor> parts = {};
  std::vector<Descriptor> operations = {};
  Descriptor graph;
};

using Knobs = std::vector<std::pair<int64_t, int64_t>>;
// How a graph may be computed: an engine and how it is set.
struct Candidate {
  Descriptor config;
  int64_t engine;
  Knobs knobs;
};
// Of the heuristics, the best expected first: those that give the same bits every time, from operands as they are, by
// sums in f32, and are there without a compiler. More of them where they are to be compared.
std::vector<Candidate> candidates(const Graph& graph, bool to_compare);
Candidate candidate_of(const Graph& graph, int64_t engine, const Knobs& knobs);  // throws Refused

struct GraphPlan {
  // Throws Refused where it cannot be had, or wants more than most_workspace.
  GraphPlan(std::shared_ptr<const Graph> graph, Candidate candidate);
  static constexpr int64_t alignment = 16;   // bytes, of all operands
  void execute(const Convolution& c) const;  // throws Refused

  std::shared_ptr<const Graph> graph;
  Candidate candidate;
  Descriptor plan;
  int64_t workspace;        // bytes
  double microseconds = 0;  // where it was timed
};

}  // namespace vapo::cuda
