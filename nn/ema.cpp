#include "nn/ema.h"

#include <algorithm>

namespace vapo::nn {

Ema::Ema(const std::vector<NamedParameter>& parameters, double decay, bool ramp) : ramp_(ramp) {
  set_decay(decay);
  for (const NamedParameter& p : parameters) {
    names_.push_back(p.name);
    averages_.push_back(p.parameter->value().clone());
  }
}

void Ema::set_decay(double decay) {
  if (!(decay >= 0 && decay < 1)) throw InputError(fmt::format("the EMA decay must be in [0, 1), got {}", decay));
  decay_ = decay;
}

double Ema::next_decay() const {
  auto n = static_cast<double>(updates_);
  return ramp_ ? std::min(decay_, (1 + n) / (10 + n)) : decay_;
}

void Ema::state(const BufferVisitor& visit) {
  for (size_t i = 0; i < names_.size(); ++i) visit(names_[i], averages_[i]);
}

}  // namespace vapo::nn
