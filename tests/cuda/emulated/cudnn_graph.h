#pragma once
// A stand-in for cuDNN's graph API: graphs of a convolution in double, with an addend and a bias in its epilogue, rounded
// once. It is strict about the types and counts of attributes, and lists engines of which most must not be taken: that
// give other bits every time, round operands, want a compiler or more memory than there is, or fail when they are built
// or run. Of the others a run takes as long as a table says. It refuses what the older API refuses, and where
// VAPO_EMULATED_CUDNN_REFUSES is "graph", that alone.

#include "cudnn_graph_names.h"

namespace emulated {

struct GraphPart;
using Parts = std::vector<std::shared_ptr<const GraphPart>>;
struct GraphPart {
  cudnnBackendDescriptorType_t type;
  std::map<int, std::vector<unsigned char>> values = {};  // by attribute
  std::map<int, Parts> parts = {};
  bool finalized = false;

  template <class T>
  std::vector<T> all(int name) const {
    auto found = values.find(name);
    if (found == values.end()) return {};
    std::vector<T> out(found->second.size() / sizeof(T));
    std::memcpy(out.data(), found->second.data(), found->second.size());
    return out;
  }
  template <class T>
  T get(int name) const {
    T value;
    std::memcpy(&value, values.at(name).data(), sizeof value);
    return value;
  }
  const GraphPart& part(int name, size_t i = 0) const { return *parts.at(name).at(i); }
};
struct GraphHandle {
  std::shared_ptr<GraphPart> part;
};
inline char last_error_text[128] = "";
inline cudnnStatus_t refuse(cudnnStatus_t status, const char* why) {
  std::strncpy(last_error_text, why, sizeof last_error_text - 1);
  return status;
}

inline size_t bytes_of(int type) {
  return type == CUDNN_TYPE_BOOLEAN                                 ? sizeof(bool)
         : type == CUDNN_TYPE_INT64                                 ? sizeof(int64_t)
         : type == CUDNN_TYPE_HANDLE || type == CUDNN_TYPE_VOID_PTR ? sizeof(void*)
                                                                    : sizeof(int);
}

// What a graph computes, read off its operations.
struct ConvolutionGraph {
  const GraphPart *x, *w, *y, *bias = nullptr, *add = nullptr;  // tensors
  int pass;                                                     // 0 forward, 1 to x, 2 to w
  Convolution conv;
  static int64_t id(const GraphPart& tensor) { return tensor.get<int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID); }
  static Extents extents(const GraphPart& t) {
    auto d = t.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
    return {t.get<cudnnDataType_t>(CUDNN_ATTR_TENSOR_DATA_TYPE), static_cast<int>(d[0]), static_cast<int>(d[1]),
            static_cast<int>(d[2]), static_cast<int>(d[3])};
  }
};
inline bool same_dimensions(const GraphPart& a, const GraphPart& b) {
  return a.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS) == b.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
}
// Throws const char* where it is none that is known.
inline ConvolutionGraph read_graph(const GraphPart& graph) {
  const Parts& ops = graph.parts.at(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  constexpr int names[3][4] = {
      {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y},
      {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY},
      {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY}};
  ConvolutionGraph g{};
  g.pass = ops[0]->type - CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR;
  if (g.pass < 0 || g.pass > 2) throw "the first operation is no convolution";
  const auto& n = names[g.pass];
  const GraphPart& conv = ops[0]->part(n[0]);
  g.x = &ops[0]->part(n[1]), g.w = &ops[0]->part(n[2]), g.y = &ops[0]->part(n[3]);
  auto pair = [&](int name) { return conv.all<int64_t>(name); };
  auto pad = pair(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS), stride = pair(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES),
       dilation = pair(CUDNN_ATTR_CONVOLUTION_DILATIONS);
  auto size = [](int64_t i) { return static_cast<int>(i); };
  int64_t inputs = g.x->all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS)[1],
          of_group = g.w->all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS)[1];
  g.conv = {size(pad[0]),      size(pad[1]),      size(stride[0]),        size(stride[1]),
            size(dilation[0]), size(dilation[1]), size(inputs / of_group)};
  if (pad != pair(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS) || pair(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS)[0] != 2)
    throw "paddings that differ, or not two dimensions";
  if (g.conv.groups > 1 && (dilation[0] > 1 || dilation[1] > 1)) throw "groups that are dilated";
  for (size_t i = 1; i < ops.size(); ++i) {
    const GraphPart &a = ops[i]->part(CUDNN_ATTR_OPERATION_POINTWISE_XDESC),
                    &b = ops[i]->part(CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
    bool whole = same_dimensions(a, b);
    if (g.pass != 0 || ConvolutionGraph::id(a) != ConvolutionGraph::id(*g.y) ||
        !a.get<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL) || (whole ? g.add || g.bias : g.bias != nullptr))
      throw "a pattern that no engine has";
    (whole ? g.add : g.bias) = &b;
    g.y = &ops[i]->part(CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
  }
  if (g.y->get<bool>(CUDNN_ATTR_TENSOR_IS_VIRTUAL)) throw "a result that is not in memory";
  if (const char* refuses = std::getenv("VAPO_EMULATED_CUDNN_REFUSES"); refuses) throw "as it was told to";
  return g;
}

struct Engine {
  int64_t index, tile;  // tile: its one knob, or −1
  cudnnBackendNumericalNote_t note = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
  bool compiles = false, fails_to_build = false, fails_to_run = false;
  int64_t workspace = 640;
  double microseconds = 10;
};
inline const std::vector<Engine>& engines() {
  static const std::vector<Engine> all = {{0, -1, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC},
                                          {1, -1, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS},
                                          {.index = 2, .tile = -1, .compiles = true},
                                          {.index = 3, .tile = -1, .workspace = int64_t{1} << 40},
                                          {.index = 4, .tile = 0, .fails_to_build = true},
                                          {.index = 5, .tile = -1, .fails_to_run = true},
                                          {.index = 6, .tile = 0, .microseconds = 100},
                                          {.index = 6, .tile = 1, .microseconds = 80},
                                          {.index = 6, .tile = 2, .microseconds = 79},
                                          {.index = 7, .tile = -1, .workspace = 0, .microseconds = 120},
                                          {.index = 8, .tile = 0, .microseconds = 90},
                                          {.index = 9, .tile = -1, .microseconds = 1000}};
  return all;
}
// Places in engines(). For windows of 5 rows the heuristics have none that can be taken.
inline std::vector<size_t> heuristics(const GraphPart& graph, cudnnBackendHeurMode_t mode) {
  ConvolutionGraph g = read_graph(graph);
  if (mode == CUDNN_HEUR_MODE_FALLBACK) return {0, 9, 11};
  if (g.add && !g.bias) return {2};
  if (g.w->all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS)[2] == 5) return {0, 1, 2};
  return mode == CUDNN_HEUR_MODE_A ? std::vector<size_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9} : std::vector<size_t>{7, 10};
}
inline const Engine* engine_of(int64_t index, int64_t tile) {
  for (const Engine& e : engines())
    if (e.index == index && (e.tile == tile || tile == -2)) return &e;
  return nullptr;
}
inline const Engine* engine_of(const GraphPart& config) {
  int64_t tile = -1;
  if (auto knobs = config.parts.find(CUDNN_ATTR_ENGINECFG_KNOB_CHOICES); knobs != config.parts.end())
    for (const auto& k : knobs->second) tile = k->get<int64_t>(CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE);
  return engine_of(config.part(CUDNN_ATTR_ENGINECFG_ENGINE).get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX), tile);
}

template <class T>
void put(GraphPart& part, int name, const T& value) {
  auto* bytes = reinterpret_cast<const unsigned char*>(&value);
  part.values[name].assign(bytes, bytes + sizeof value);
}
inline std::shared_ptr<GraphPart> finished(cudnnBackendDescriptorType_t type) {
  auto part = std::make_shared<GraphPart>(GraphPart{type});
  part->finalized = true;
  return part;
}
inline std::shared_ptr<GraphPart> config_of(const Engine& e, const std::shared_ptr<const GraphPart>& graph) {
  auto engine = finished(CUDNN_BACKEND_ENGINE_DESCRIPTOR), config = finished(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  engine->parts[CUDNN_ATTR_ENGINE_OPERATION_GRAPH] = {graph};
  put(*engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, e.index);
  config->parts[CUDNN_ATTR_ENGINECFG_ENGINE] = {engine};
  Parts& knobs = config->parts[CUDNN_ATTR_ENGINECFG_KNOB_CHOICES];
  if (e.tile < 0) return config;
  auto knob = finished(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
  put(*knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_KNOB_TYPE_TILE_SIZE);
  put(*knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, e.tile);
  knobs = {knob};
  return config;
}

inline cudnnStatus_t finalize(GraphPart& part) {
  for (const AttributeRule& r : attribute_rules)
    if (r.descriptor == part.type && r.least > 0 && !part.values.contains(r.name) && !part.parts.contains(r.name))
      return refuse(CUDNN_STATUS_BAD_PARAM, "an attribute is missing");
  if (part.type == CUDNN_BACKEND_TENSOR_DESCRIPTOR) {
    auto d = part.all<int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
    if (part.all<int64_t>(CUDNN_ATTR_TENSOR_STRIDES) !=
        std::vector{d[1] * d[2] * d[3], int64_t{1}, d[3] * d[1], d[1]})
      return refuse(CUDNN_STATUS_BAD_PARAM, "channels are not last");
  }
  if (part.type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) try {
      read_graph(part);
    } catch (const char* why) {
      return refuse(CUDNN_STATUS_NOT_SUPPORTED, why);
    }
  if (part.type == CUDNN_BACKEND_ENGINE_DESCRIPTOR &&
      !engine_of(part.get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX), -2))
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "no such engine");
  if (part.type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR && !engine_of(part))
    return refuse(CUDNN_STATUS_BAD_PARAM, "no such knob");
  if (part.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR &&
      engine_of(part.part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG))->fails_to_build)
    return refuse(CUDNN_STATUS_NOT_SUPPORTED, "an engine that fails");
  return part.finalized = true, CUDNN_STATUS_SUCCESS;
}

// result ← convolution (+ addend) (+ bias), in double and rounded once.
inline void run_graph(const ConvolutionGraph& g, const std::map<int64_t, void*>& at) {
  Extents x = ConvolutionGraph::extents(*g.x), w = ConvolutionGraph::extents(*g.w),
          y = ConvolutionGraph::extents(*g.y),
          out = g.pass == 0   ? y
                : g.pass == 1 ? x
                              : w;
  auto place = [&](const GraphPart* t) { return t ? at.at(ConvolutionGraph::id(*t)) : nullptr; };
  void* places[] = {place(g.x), place(g.w), place(g.y), place(g.bias), place(g.add)};
  for (void* p : places) expect_on_device(p, "a convolution");
  auto all = [=, conv = g.conv, pass = g.pass](auto zero) {
    using T = decltype(zero);
    auto value = [](const void* p, int64_t i) { return static_cast<double>(static_cast<const T*>(p)[i]); };
    std::vector<double> sums(static_cast<size_t>(out.n) * static_cast<size_t>(out.c) * static_cast<size_t>(out.h) *
                             static_cast<size_t>(out.w));
    for_products(x, w, y, conv, [&](int64_t i, int64_t j, int64_t k) {
      const int64_t index[] = {i, j, k};
      int a = pass == 0 ? 0 : pass == 1 ? 1 : 0, b = pass == 0 ? 1 : 2, to = pass == 0 ? 2 : pass == 1 ? 0 : 1;
      sums[static_cast<size_t>(index[to])] += value(places[a], index[a]) * value(places[b], index[b]);
    });
    T* result = static_cast<T*>(places[pass == 0 ? 2 : pass == 1 ? 0 : 1]);
    for (size_t i = 0; i < sums.size(); ++i) {
      auto n = static_cast<int64_t>(i);
      double total =
          sums[i] + (places[4] ? value(places[4], n) : 0) + (places[3] ? value(places[3], n % out.c) : 0);
      result[i] = static_cast<T>(static_cast<float>(total));
    }
  };
  submit(work_of("convolution",
                 [all, type = x.type] { type == CUDNN_DATA_FLOAT ? all(float{}) : all(vapo::BFloat16{}); }));
}

}  // namespace emulated

using cudnnBackendDescriptor_t = void*;
inline void cudnnGetLastErrorString(char* text, size_t size) {
  std::strncpy(text, emulated::last_error_text, size);
  text[size - 1] = 0, emulated::last_error_text[0] = 0;
}
inline cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* d) {
  return *d = new emulated::GraphHandle{std::make_shared<emulated::GraphPart>(emulated::GraphPart{type})},
         CUDNN_STATUS_SUCCESS;
}
inline cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d) {
  return delete static_cast<emulated::GraphHandle*>(d), CUDNN_STATUS_SUCCESS;
}
namespace emulated {
inline GraphPart& part_of(cudnnBackendDescriptor_t d) { return *static_cast<GraphHandle*>(d)->part; }
}  // namespace emulated
inline cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t d) {
  return emulated::finalize(emulated::part_of(d));
}
inline cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  emulated::GraphPart& part = emulated::part_of(d);
  if (part.finalized) return emulated::refuse(CUDNN_STATUS_BAD_PARAM, "set after it was finalized");
  for (const emulated::AttributeRule& r : emulated::attribute_rules) {
    if (r.descriptor != part.type || r.name != name) continue;
    if (r.type != type) return emulated::refuse(CUDNN_STATUS_BAD_PARAM, "an attribute of another type");
    if (count < std::max(r.least, 1) || count > r.most)
      return emulated::refuse(CUDNN_STATUS_BAD_PARAM, "another number of values");
    if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
      auto& parts = part.parts[name] = {};
      for (int64_t i = 0; i < count; ++i) {
        const auto& of = static_cast<emulated::GraphHandle* const*>(values)[i]->part;
        if (!of->finalized) return emulated::refuse(CUDNN_STATUS_BAD_PARAM, "a descriptor that is not finalized");
        parts.push_back(of);
      }
    } else {
      auto* bytes = static_cast<const unsigned char*>(values);
      part.values[name].assign(bytes, bytes + static_cast<size_t>(count) * emulated::bytes_of(type));
    }
    return CUDNN_STATUS_SUCCESS;
  }
  return emulated::refuse(CUDNN_STATUS_BAD_PARAM, "no such attribute");
}
inline cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t most, int64_t* count,
                                              void* values) {
  using namespace emulated;
  const GraphPart& part = part_of(d);
  if (!part.finalized) return refuse(CUDNN_STATUS_BAD_PARAM, "read before it was finalized");
  auto give = [&](auto value, int expected) {
    if (type != expected) return refuse(CUDNN_STATUS_BAD_PARAM, "an attribute of another type");
    *count = 1;
    if (most > 0) std::memcpy(values, &value, sizeof value);
    return CUDNN_STATUS_SUCCESS;
  };
  auto give_parts = [&](const std::vector<std::shared_ptr<GraphPart>>& parts) {
    if (type != CUDNN_TYPE_BACKEND_DESCRIPTOR) return refuse(CUDNN_STATUS_BAD_PARAM, "another type");
    *count = std::ssize(parts);
    for (int64_t i = 0; i < std::min(most, *count); ++i) {
      GraphHandle* to = static_cast<GraphHandle**>(values)[i];
      if (to->part->type != parts[static_cast<size_t>(i)]->type)
        return refuse(CUDNN_STATUS_BAD_PARAM, "no such part");
      to->part = parts[static_cast<size_t>(i)];
    }
    return CUDNN_STATUS_SUCCESS;
  };
  auto stored = [&](int which) {
    std::vector<std::shared_ptr<GraphPart>> out;
    if (auto found = part.parts.find(which); found != part.parts.end())
      for (const auto& p : found->second) out.push_back(std::const_pointer_cast<GraphPart>(p));
    return out;
  };
  switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS: {
      const auto& graph = part.parts.at(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH).at(0);
      std::vector<std::shared_ptr<GraphPart>> configs;
      for (size_t i : heuristics(*graph, part.get<cudnnBackendHeurMode_t>(CUDNN_ATTR_ENGINEHEUR_MODE)))
        configs.push_back(config_of(engines()[i], graph));
      return give_parts(configs);
    }
    case CUDNN_ATTR_ENGINECFG_ENGINE:
    case CUDNN_ATTR_ENGINECFG_KNOB_CHOICES:
      return give_parts(stored(name));
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE:
      return give(part.get<int64_t>(name), CUDNN_TYPE_INT64);
    case CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE:
      return give(part.get<cudnnBackendKnobType_t>(name), CUDNN_TYPE_KNOB_TYPE);
    case CUDNN_ATTR_ENGINE_NUMERICAL_NOTE:
      return give(engine_of(part.get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX), -2)->note,
                  CUDNN_TYPE_NUMERICAL_NOTE);
    case CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE:
      if (type == CUDNN_TYPE_BEHAVIOR_NOTE &&
          !engine_of(part.get<int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX), -2)->compiles)
        return *count = 0, CUDNN_STATUS_SUCCESS;
      return give(CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION, CUDNN_TYPE_BEHAVIOR_NOTE);
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
      return give(engine_of(part.part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG))->workspace, CUDNN_TYPE_INT64);
    default:
      return refuse(CUDNN_STATUS_BAD_PARAM, "no such attribute");
  }
}
inline cudnnStatus_t cudnnBackendExecute(cudnnHandle_t, cudnnBackendDescriptor_t plan,
                                         cudnnBackendDescriptor_t pack) {
  using namespace emulated;
  const GraphPart &p = part_of(plan), &v = part_of(pack);
  if (!p.finalized || !v.finalized) return refuse(CUDNN_STATUS_BAD_PARAM, "executed before it was finalized");
  const GraphPart& config = p.part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  const Engine& engine = *engine_of(config);
  if (engine.note != CUDNN_NUMERICAL_NOTE_TENSOR_CORE || engine.compiles)
    give_up("an engine runs that must not be taken");
  if (engine.fails_to_run) return refuse(CUDNN_STATUS_EXECUTION_FAILED, "an engine that fails");
  auto ids = v.all<int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  auto places = v.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  if (ids.size() != places.size()) return refuse(CUDNN_STATUS_BAD_PARAM, "as many ids as places");
  std::map<int64_t, void*> at;
  for (size_t i = 0; i < ids.size(); ++i) at[ids[i]] = places[i];
  expect_on_device(v.get<void*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE), "a convolution's workspace");
  run_graph(read_graph(config.part(CUDNN_ATTR_ENGINECFG_ENGINE).part(CUDNN_ATTR_ENGINE_OPERATION_GRAPH)), at);
  submit([us = engine.microseconds] { device_microseconds += us; });
  return CUDNN_STATUS_SUCCESS;
}
