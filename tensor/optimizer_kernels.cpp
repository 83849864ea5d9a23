// Checks and dispatch of the optimizers' updates.

#include <cmath>

#include "tensor/backend.h"
#include "tensor/optimizer_formulas.h"

namespace vapo::kernel {
namespace {

// Checks the slots and hands them on. On the CPU the norm is known, and where it is not finite nothing is written;
// of a GPU's only the device knows.
template <class Update>
void step(const char* op, std::span<const Slot> slots, bool second_moment, Update u,
          void (*on_cuda)(std::span<const Slot>, const Update&),
          void (*on_cpu)(std::span<const Slot>, const Update&)) {
  if (slots.empty()) return;
  for (const Slot& s : slots) {
    for (const Tensor* x : {&s.grad, &s.m, &s.v, &s.ema}) {
      if (!x->defined()) continue;
      VAPO_CHECK(x->shape() == s.param.shape() && x->dtype() == s.param.dtype() && x->device() == s.param.device(),
                 "[{}] parameter {} {} on {}, but its state or gradient is {} {} on {}", op, s.param.shape().str(),
                 name_of(s.param.dtype()), name_of(s.param.device()), x->shape().str(), name_of(x->dtype()),
                 name_of(x->device()));
    }
    VAPO_CHECK(s.grad.defined() && s.m.defined() && (!second_moment || s.v.defined()),
               "[{}] a gradient or moment is missing", op);
    VAPO_CHECK(s.param.device() == slots[0].param.device(), "[{}] parameters on different devices", op);
  }
  if (slots[0].param.device() == Device::cuda) {
    on_cuda(slots, u);
  } else {
    if (u.norm.squares.defined()) {
      double norm = std::sqrt(u.norm.squares.item());
      if (!std::isfinite(norm)) return;
      u.grad_scale *= norm_clipping(norm, u.norm.limit);
    }
    on_cpu(slots, u);
  }
  for (const Slot& s : slots)
    for (const Tensor* x : {&s.param, &s.m, &s.v, &s.ema})
      if (x->defined()) x->count_write();
}

}  // namespace

void adam_update(std::span<const Slot> slots, const AdamUpdate& u) {
  step("adam_update", slots, true, u, cuda::adam_update, cpu::adam_update);
}
void sgd_update(std::span<const Slot> slots, const SgdUpdate& u) {
  step("sgd_update", slots, false, u, cuda::sgd_update, cpu::sgd_update);
}
void lamb_update(std::span<const Slot> slots, const AdamUpdate& u) {
  step("lamb_update", slots, true, u, cuda::lamb_update, cpu::lamb_update);
}

}  // namespace vapo::kernel
