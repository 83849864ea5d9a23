// Checks and dispatch of the optimizers' updates.

#include <algorithm>
#include <cmath>

#include "tensor/backend.h"

namespace vapo::kernel {
namespace {

// update(device) says whether it wrote: on a GPU it may be that only the device knows.
template <class T>
void check_slots(const char* op, std::span<const Slot> slots, bool second_moment, T update) {
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
  if (!update(slots[0].param.device())) return;
  for (const Slot& s : slots)
    for (const Tensor* x : {&s.param, &s.m, &s.v, &s.ema})
      if (x->defined()) x->count_write();
}

// On the CPU the norm is known: f with the scale that it gives, or not at all where it is not finite.
template <class Update, class F>
bool with_known_norm(Update u, const F& f) {
  if (u.norm.squares.defined()) {
    double norm = std::sqrt(u.norm.squares.item());
    if (!std::isfinite(norm)) return false;
    u.grad_scale *= std::min(1.0, u.norm.limit / (norm + 1e-6));
  }
  f(u);
  return true;
}

}  // namespace

void adam_update(std::span<const Slot> slots, const AdamUpdate& u) {
  check_slots("adam_update", slots, true, [&](Device d) {
    if (d == Device::cuda) return cuda::adam_update(slots, u), true;
    return with_known_norm(u, [&](const AdamUpdate& known) { cpu::adam_update(slots, known); });
  });
}
void sgd_update(std::span<const Slot> slots, const SgdUpdate& u) {
  check_slots("sgd_update", slots, false, [&](Device d) {
    if (d == Device::cuda) return cuda::sgd_update(slots, u), true;
    return with_known_norm(u, [&](const SgdUpdate& known) { cpu::sgd_update(slots, known); });
  });
}
void lamb_update(std::span<const Slot> slots, const AdamUpdate& u) {
  check_slots("lamb_update", slots, true, [&](Device d) {
    if (d == Device::cuda) return cuda::lamb_update(slots, u), true;
    return with_known_norm(u, [&](const AdamUpdate& known) { cpu::lamb_update(slots, known); });
  });
}

}  // namespace vapo::kernel
