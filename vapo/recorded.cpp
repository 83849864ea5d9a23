#include "vapo/recorded.h"

#include <algorithm>

#include "tensor/check.h"
#include "tensor/kernels.h"

namespace vapo {

Recorded::Recorded(Function f, bool allowed)
    : f_([this, f = std::move(f)](std::span<const Tensor> operands) {
        nn::RoundedParameters::Use rounded(rounded_);
        return f(operands);
      }),
      allowed_(allowed) {}

// Whether these operands do not fit into the places of the last ones.
bool Recorded::begins_anew(std::span<const Tensor> operands) {
  return !std::ranges::equal(operands, places_, [](const Tensor& x, const Tensor& place) {
    if (!x.defined() || !place.defined()) return x.defined() == place.defined();
    return x.shape() == place.shape() && x.dtype() == place.dtype() && x.device() == place.device();
  });
}

bool Recorded::record() {
  graph_ = std::make_unique<StepGraph>();
  try {
    graph_->record([&] { results_ = f_(places_); });
    return true;
  } catch (const Error& e) {  // what was launched before can be launched again
    refusal_ = e.what();
    allowed_ = false;
    results_.clear();
    graph_.reset();
    return false;
  }
}

std::vector<Tensor> Recorded::operator()(std::span<const Tensor> operands) {
  bool on_gpu = std::ranges::any_of(
      operands, [](const Tensor& x) { return x.defined() && x.device() == Device::cuda && x.numel() > 0; });
  if (!allowed_ || !on_gpu) return f_(operands);
  if (begins_anew(operands)) {
    results_.clear(), places_.clear();
    graph_.reset();
    for (const Tensor& x : operands) places_.push_back(x.defined() ? Tensor::empty(x.shape(), x.options()) : x);
    return f_(operands);
  }
  for (size_t i = 0; i < operands.size(); ++i)
    if (operands[i].defined()) kernel::copy_into(places_[i], operands[i]);
  if (!graph_ && !record()) return f_(operands);
  graph_->replay({});
  std::vector<Tensor> out;
  for (const Tensor& y : results_) out.push_back(y.clone());
  return out;
}

RecordedGradient::RecordedGradient(const Potential& phi, const Tensor& labels, bool allowed)
    : labels_(labels),
      f_([&phi](std::span<const Tensor> at) { return std::vector{gradient(phi, at[0], at[1], at[2])}; }, allowed) {}

Tensor RecordedGradient::operator()(const Tensor& x, const Tensor& t) {
  if (labels_.defined()) labels_ = labels_.to(x.device());  // what is recorded copies nothing from the CPU
  const Tensor at[] = {x, t, labels_};
  return f_(at)[0];
}

Tensor RecordedGradient::operator()(const Tensor& x, double t) {
  return (*this)(x, Tensor::full({x.dim(0)}, t, x.options()));
}

EnergySlope recorded_slope(Energy energy, bool allowed) {
  auto f = [energy = std::move(energy)](std::span<const Tensor> at) {
    EnergyGradient e = energy_gradient(energy, at[0]);
    return std::vector{e.gradient, e.value};
  };
  return [recorded = std::make_shared<Recorded>(std::move(f), allowed)](const Tensor& x) {
    std::vector<Tensor> out = (*recorded)({&x, 1});
    return EnergyGradient{out[0], out[1]};
  };
}

EnergyCurvature recorded_curvature(Energy energy, bool allowed) {
  auto f = [energy = std::move(energy)](std::span<const Tensor> at) {
    EnergyGradient e = energy_gradient(energy, at[0], at[1]);
    return std::vector{e.gradient, e.value, e.curvature};
  };
  return [recorded = std::make_shared<Recorded>(std::move(f), allowed)](const Tensor& x, const Tensor& v) {
    const Tensor at[] = {x, v};
    std::vector<Tensor> out = (*recorded)(at);
    return EnergyGradient{out[0], out[1], out[2]};
  };
}

}  // namespace vapo
