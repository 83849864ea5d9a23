// Which plan computes a convolution: chosen once a shape, kept, handed out and taken back.

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <mutex>
#include <optional>

#include "tensor/cuda/conv_graph.h"

namespace vapo::cuda {
namespace {

struct Choice {
  std::optional<GraphPlan> plan;
  std::string why;  // there is none
};
struct Choices {
  std::mutex lock;
  std::map<GraphKey, Choice> of;
};
Choices& choices() {
  static auto* const all = new Choices;  // never destroyed: tensors in statics may outlive any order of exit
  return *all;
}

// The shortest of a few runs back to back.
double microseconds(const GraphPlan& plan, const Convolution& c) {
  static const auto events = [] {
    std::array<cudaEvent_t, 4> made;
    for (cudaEvent_t& e : made) VAPO_CUDA(cudaEventCreate(&e));
    return made;
  }();
  plan.execute(c);  // its kernel is loaded
  VAPO_CUDA(cudaEventRecord(events[0], stream()));
  for (size_t i = 1; i < events.size(); ++i) {
    plan.execute(c);
    VAPO_CUDA(cudaEventRecord(events[i], stream()));
  }
  VAPO_CUDA(cudaEventSynchronize(events.back()));
  float best = INFINITY;
  for (size_t i = 1; i < events.size(); ++i) {
    float milliseconds = 0;
    VAPO_CUDA(cudaEventElapsedTime(&milliseconds, events[i - 1], events[i]));
    best = std::min(best, milliseconds);
  }
  return 1000.0 * static_cast<double>(best);
}

// Computes c by the plan that it chooses: the heuristics' first that can do it; or, where they are timed, the first of
// those within 3 % of the fastest.
GraphPlan choose(const GraphKey& key, const Convolution& c) {
  constexpr double nearly = 1.03;
  bool timed = times_convolution_plans() && !is_recording();
  auto began = std::chrono::steady_clock::now();
  auto graph = std::make_shared<const Graph>(key);
  std::vector<GraphPlan> plans;
  std::string why = "no plan that gives the same bits every time";
  for (Candidate& candidate : candidates(*graph, timed)) {
    try {
      GraphPlan plan(graph, std::move(candidate));
      timed ? void(plan.microseconds = microseconds(plan, c)) : plan.execute(c);
      plans.push_back(std::move(plan));
      if (!timed) break;
    } catch (const Refused& r) {
      why = r.why;
    } catch (const Error& e) {  // no room for its workspace
      why = e.what();
    }
  }
  if (plans.empty()) throw Refused{why};
  double fastest = std::ranges::min_element(plans, {}, &GraphPlan::microseconds)->microseconds;
  auto chosen = std::ranges::find_if(plans, [&](const GraphPlan& p) { return p.microseconds <= nearly * fastest; });
  if (timed) chosen->execute(c);
  std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
  count_convolution_choice({1, timed ? std::ssize(plans) : 0, seconds.count()});
  return std::move(*chosen);
}

}  // namespace

bool by_plan(const Convolution& c, std::string& why) {
  for (const Tensor* x : {&c.x, &c.w, &c.y, &c.bias, &c.add})
    if (x->defined() && reinterpret_cast<uintptr_t>(address(*x)) % GraphPlan::alignment != 0) {
      why = fmt::format("an operand does not lie at a multiple of {} bytes", GraphPlan::alignment);
      return false;
    }
  GraphKey key{c.pass, c.dtype(), c.s, c.bias.defined(), c.add.defined()};
  Choices& all = choices();
  std::lock_guard guard(all.lock);
  auto found = all.of.find(key);
  try {
    if (found == all.of.end()) {
      found = all.of.emplace(key, Choice{choose(key, c), ""}).first;
      return true;
    }
    if (found->second.plan) {
      found->second.plan->execute(c);
      return true;
    }
  } catch (const Refused& r) {
    found = all.of.insert_or_assign(key, Choice{{}, r.why}).first;
  }
  why = found->second.why;
  return false;
}

std::vector<ConvolutionPlan> convolution_plans() {
  Choices& all = choices();
  std::lock_guard guard(all.lock);
  std::vector<ConvolutionPlan> out;
  for (const auto& [key, choice] : all.of) {
    const ConvGeometry& s = key.s;
    if (const auto& p = choice.plan)
      out.push_back({key.pass,
                     key.dtype,
                     {s.n, s.h, s.w, s.c},
                     {s.o, s.kh, s.kw, s.cg},
                     s.p,
                     key.bias,
                     key.add,
                     p->candidate.engine,
                     p->candidate.knobs,
                     p->microseconds});
  }
  return out;
}

std::string convolution_plans_hold_for() { return fmt::format("{}, cuDNN {}", device_name(), cudnnGetVersion()); }

bool take_convolution_plan(const ConvolutionPlan& p) {
  bool fits = (p.dtype == DType::f32 || p.dtype == DType::bf16) &&
              (p.pass == ConvolutionPass::forward || (!p.bias && !p.add));
  if (!fits) return false;
  Choices& all = choices();
  std::lock_guard guard(all.lock);
  try {
    GraphKey key{p.pass, p.dtype, conv_geometry("take_convolution_plan", p.x, p.w, p.options), p.bias, p.add};
    auto graph = std::make_shared<const Graph>(key);
    GraphPlan plan(graph, candidate_of(*graph, p.engine, p.knobs));
    plan.microseconds = p.microseconds;
    all.of[key] = {std::move(plan), ""};
    return true;
  } catch (const Refused&) {
    return false;
  } catch (const Error&) {  // of shapes that do not fit
    return false;
  }
}

}  // namespace vapo::cuda
