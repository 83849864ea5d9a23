#pragma once
// Functions of tensors that are called many times with the same shapes, as ∇Φ is by a sampler: recorded once on a GPU
// and replayed, with one call in the place of a thousand launches.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/rounded.h"
#include "tensor/step_graph.h"
#include "vapo/energy.h"

namespace vapo {

class Recorded {
 public:
  // A function of the elements of its operands alone, which may be undefined, and of what keeps its place and is read
  // anew at every call (weights). What else it does is done in the first two calls alone. One that copies anything
  // from or to the CPU, or reads a result, cannot be recorded.
  using Function = std::function<std::vector<Tensor>(std::span<const Tensor>)>;
  explicit Recorded(Function f, bool allowed = true);
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;

  // f of these operands, in fresh tensors; the same bits as f itself. On a GPU the first call with operands of these
  // shapes launches, so that libraries choose their algorithms, the second is recorded, and it and all later ones are
  // replays. One recording is kept, of the last shapes, with all memory that an evaluation takes.
  std::vector<Tensor> operator()(std::span<const Tensor> operands);
  bool is_recorded() const { return graph_ != nullptr; }
  // Why everything is launched although it was to be recorded; empty where that is not so.
  const std::string& refusal() const { return refusal_; }

 private:
  bool begins_anew(std::span<const Tensor> operands);
  bool record();

  nn::RoundedParameters rounded_;
  Function f_;
  bool allowed_;
  std::string refusal_;
  std::unique_ptr<StepGraph> graph_;  // outlives what its memory holds
  std::vector<Tensor> places_, results_;
};

// ∇ₓΦ at x and t as gradient() of potential.h gives it. The potential must outlive it.
class RecordedGradient {
 public:
  explicit RecordedGradient(const Potential& phi, const Tensor& labels = {}, bool allowed = true);
  void set_labels(const Tensor& labels) { labels_ = labels; }  // of the calls from here on
  Tensor operator()(const Tensor& x, const Tensor& t);         // t (N)
  Tensor operator()(const Tensor& x, double t);
  bool is_recorded() const { return f_.is_recorded(); }
  const std::string& refusal() const { return f_.refusal(); }

 private:
  Tensor labels_;
  Recorded f_;
};

// energy_gradient() of E as a function of x, recorded; E must be a function of x alone.
EnergySlope recorded_slope(Energy energy, bool allowed = true);
EnergyCurvature recorded_curvature(Energy energy, bool allowed = true);  // with v: a function of both

}  // namespace vapo
