#pragma once
// What potentials made of another one share.

#include <memory>

#include "vapo/potential.h"

namespace vapo {

class WrappedPotential : public Potential {
 public:
  explicit WrappedPotential(std::shared_ptr<Potential> base) : base_(std::move(base)) {
    VAPO_CHECK(base_, "[potential] made of no potential");
  }
  void set_recompute(bool on) override { base_->set_recompute(on); }
  bool autonomous() const override { return base_->autonomous(); }
  void parameters(const nn::ParameterVisitor& visit) override { base_->parameters(visit); }
  void buffers(const nn::BufferVisitor& visit) override { base_->buffers(visit); }

 protected:
  const Potential& base() const { return *base_; }

 private:
  std::shared_ptr<Potential> base_;
};

}  // namespace vapo
