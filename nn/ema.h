#pragma once
// Exponential moving average of the parameters, with the published ramp: decay min(d, (1+n)/(10+n)) after n updates.

#include <span>
#include <string>
#include <vector>

#include "nn/module.h"

namespace vapo::nn {

class Ema {
 public:
  Ema(const std::vector<NamedParameter>& parameters, double decay, bool ramp = true);  // starts at the parameters

  double next_decay() const;  // of the coming update
  void set_decay(double decay);
  void count_update() { ++updates_; }
  std::span<const Tensor> averages() const { return averages_; }
  void state(const BufferVisitor& visit);  // parameter names
  int64_t updates() const { return updates_; }
  void set_updates(int64_t n) { updates_ = n; }

 private:
  std::vector<std::string> names_;
  std::vector<Tensor> averages_;
  double decay_;
  bool ramp_;
  int64_t updates_ = 0;
};

}  // namespace vapo::nn
