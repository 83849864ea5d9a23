#include "tensor/cuda/conv_graph.h"

#include <algorithm>
#include <map>
#include <ranges>

namespace vapo::cuda {
namespace {

constexpr int64_t most_workspace = int64_t{256} << 20;
enum : int64_t { id_x = 1, id_w, id_y, id_bias, id_add, id_convolved, id_added };

cudnnDataType_t type_of(DType t) { return t == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT; }

// Of logical dimensions (n,c,h,w), or (out,in,h,w) of weights, the channels last in memory.
Descriptor tensor(int64_t id, cudnnDataType_t type, int64_t n, int64_t c, int64_t h, int64_t w, bool in_memory) {
  Descriptor d(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, {type});
  d.set(CUDNN_ATTR_TENSOR_DIMENSIONS, {n, c, h, w});
  d.set(CUDNN_ATTR_TENSOR_STRIDES, {c * h * w, int64_t{1}, w * c, c});
  d.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, {id});
  d.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, {GraphPlan::alignment});
  d.set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, {!in_memory});
  d.finalize("a tensor");
  return d;
}

// sum ← a + b in f32
Descriptor addition(const Descriptor& a, const Descriptor& b, const Descriptor& sum) {
  Descriptor add(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  add.set(CUDNN_ATTR_POINTWISE_MODE, {CUDNN_POINTWISE_ADD});
  add.set(CUDNN_ATTR_POINTWISE_MATH_PREC, {CUDNN_DATA_FLOAT});
  add.finalize("an addition");
  Descriptor d(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, add);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, sum);
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, {1.0f});
  d.set(CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, {1.0f});
  d.finalize("the operation of an addition");
  return d;
}

struct PassAttributes {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t convolution, x, w, y, alpha, beta;
};
constexpr PassAttributes attributes_of[] = {  // by ConvolutionPass
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}};

bool is_acceptable(const Descriptor& engine) {
  auto notes =
      engine.get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  auto behaviour =
      engine.get<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT);
  auto harmless = [](cudnnBackendNumericalNote_t n) {
    return n == CUDNN_NUMERICAL_NOTE_TENSOR_CORE || n == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP;
  };
  return std::ranges::all_of(notes, harmless) &&
         std::ranges::count(behaviour, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) == 0;
}

Knobs knobs_of(const Descriptor& config) {
  Knobs out;
  for (const Descriptor& k :
       config.get(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, CUDNN_KNOB_TYPE_COUNTS))
    out.emplace_back(k.get<cudnnBackendKnobType_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, 1).at(0),
                     k.get<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, 1).at(0));
  return out;
}

// Of the heuristics' list in this mode, the acceptable ones among the first `most` that are not in `all` yet.
void append(std::vector<Candidate>& all, const Graph& graph, cudnnBackendHeurMode_t mode, int64_t most) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.graph);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, {mode});
  heuristics.finalize("heuristics");
  int64_t count = std::min(heuristics.count(CUDNN_ATTR_ENGINEHEUR_RESULTS), most);
  for (Descriptor& config :
       heuristics.get(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, count)) {
    auto engine = config.get(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
    if (engine.empty() || !is_acceptable(engine[0])) continue;
    int64_t index = engine[0].get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, 1).at(0);
    Knobs knobs = knobs_of(config);
    if (std::ranges::none_of(all, [&](const Candidate& c) { return c.engine == index && c.knobs == knobs; }))
      all.push_back({std::move(config), index, std::move(knobs)});
  }
}

// Zeros in a bias's place: the kernels that add a tensor add a bias too. Kept for good, as recorded steps read them.
Tensor zeros(int64_t bytes) {
  static auto& kept = *new std::map<int64_t, Tensor>;
  auto found = kept.find(bytes);
  if (found != kept.end()) return found->second;
  Tensor fresh = Tensor::zeros({bytes}, {DType::u8, Device::cuda});
  if (!is_recording()) kept.emplace(bytes, fresh);
  return fresh;
}

}  // namespace

Graph::Graph(const GraphKey& k) : key(k), graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
  const ConvGeometry& s = k.s;
  cudnnDataType_t stored = type_of(k.dtype);
  auto keep = [&](Descriptor d) -> const Descriptor& { return parts.emplace_back(std::move(d)); };
  auto between = [&](int64_t id) -> const Descriptor& {
    return keep(tensor(id, CUDNN_DATA_FLOAT, s.n, s.o, s.oh, s.ow, false));
  };
  const Descriptor &x = keep(tensor(id_x, stored, s.n, s.c, s.h, s.w, true)),
                   &w = keep(tensor(id_w, stored, s.o, s.cg, s.kh, s.kw, true)),
                   &y = keep(tensor(id_y, stored, s.n, s.o, s.oh, s.ow, true));
  bool adds = k.bias || k.add;
  const Descriptor& convolved = adds ? between(id_convolved) : y;

  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, {CUDNN_DATA_FLOAT});
  convolution.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, {CUDNN_CROSS_CORRELATION});
  convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {int64_t{2}});
  convolution.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, {s.p.padding.h, s.p.padding.w});
  convolution.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, {s.p.padding.h, s.p.padding.w});
  convolution.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, {s.p.dilation.h, s.p.dilation.w});
  convolution.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, {s.p.stride.h, s.p.stride.w});
  convolution.finalize("a convolution");

  const PassAttributes& names = attributes_of[static_cast<int>(k.pass)];
  Descriptor& operation = operations.emplace_back(names.operation);
  operation.set(names.convolution, keep(std::move(convolution)));
  operation.set(names.x, x);
  operation.set(names.w, w);
  operation.set(names.y, convolved);
  operation.set(names.alpha, {1.0f});
  operation.set(names.beta, {0.0f});
  operation.finalize("the operation of a convolution");
  if (adds) {  // the addend before the bias: so cuDNN has made kernels for it
    const Descriptor* sum = &convolved;
    if (k.add) {
      const Descriptor& added = between(id_added);
      operations.push_back(addition(*sum, keep(tensor(id_add, stored, s.n, s.o, s.oh, s.ow, true)), added));
      sum = &added;
    }
    operations.push_back(addition(*sum, keep(tensor(id_bias, stored, 1, s.o, 1, 1, true)), y));
  }
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, {cudnn()});
  graph.finalize("the graph");
}

std::vector<Candidate> candidates(const Graph& graph, bool to_compare) {
  std::vector<Candidate> all;
  append(all, graph, CUDNN_HEUR_MODE_A, 12);
  if (to_compare || all.empty()) append(all, graph, CUDNN_HEUR_MODE_B, 6);  // some 10 ms, where it has an opinion
  if (all.empty()) append(all, graph, CUDNN_HEUR_MODE_FALLBACK, 6);
  return all;
}

Candidate candidate_of(const Graph& graph, int64_t index, const Knobs& knobs) {
  Descriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR), config(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  engine.set(CUDNN_ATTR_ENGINE_OPERATION_GRAPH, graph.graph);
  engine.set(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, {index});
  engine.finalize("an engine");
  if (!is_acceptable(engine)) throw Refused{"an engine that is not taken for what it does"};
  std::vector<Descriptor> choices;
  for (auto [type, value] : knobs) {
    Descriptor& k = choices.emplace_back(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    k.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, {static_cast<cudnnBackendKnobType_t>(type)});
    k.set(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, {value});
    k.finalize("a knob");
  }
  config.set(CUDNN_ATTR_ENGINECFG_ENGINE, engine);
  if (!choices.empty()) config.set(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, choices);
  config.finalize("an engine's configuration");
  return {std::move(config), index, knobs};
}

GraphPlan::GraphPlan(std::shared_ptr<const Graph> g, Candidate c)
    : graph(std::move(g)), candidate(std::move(c)), plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, {cudnn()});
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, candidate.config);
  plan.finalize("a plan");
  workspace = plan.get<int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 1).at(0);
  if (workspace > most_workspace) throw Refused{fmt::format("a plan wants {} bytes of workspace", workspace)};
}

void GraphPlan::execute(const Convolution& c) const {
  std::vector<int64_t> ids{id_x, id_w, id_y};
  std::vector<void*> places{address(c.x), address(c.w), address(c.y)};
  Tensor bias = c.bias;
  if (graph->key.bias || graph->key.add) {
    if (!bias.defined()) bias = zeros(c.s.o * static_cast<int64_t>(size_of(c.dtype())));
    ids.push_back(id_bias), places.push_back(address(bias));
  }
  if (graph->key.add) ids.push_back(id_add), places.push_back(address(c.add));
  Tensor space = scratch(std::max<int64_t>(workspace, 1), DType::u8);
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const int64_t>(ids));
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::span<void* const>(places));
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, {address(space)});
  pack.finalize("a variant pack");
  accept(cudnnBackendExecute(cudnn(), plan.handle(), pack.handle()), "cudnnBackendExecute");
}

}  // namespace vapo::cuda
