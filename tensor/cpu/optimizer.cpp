// Optimizer steps: every parameter's tensors are read and written once.

#include <cmath>
#include <tuple>

#include "tensor/backend.h"
#include "tensor/cpu/pieces.h"
#include "tensor/cpu/simd.h"
#include "tensor/optimizer_formulas.h"

namespace vapo::cpu {
namespace {

using kernel::AdamUpdate, kernel::SgdUpdate, kernel::Slot;

template <class T>
T* part(const Tensor& x, int64_t begin) {
  return x.defined() ? x.mutable_data<T>() + begin : nullptr;
}
template <class T>
const T* grad_part(const Slot& s, int64_t begin) {
  return s.grad.data<T>() + begin;
}

// f<T>(slot, first element, how many)
template <class F>
void for_slots(std::span<const Slot> slots, const F& f) {
  for_pieces(
      slots.size(), [&](size_t i) { return slots[i].param.numel(); },
      [&](const Piece& p) {
        const Slot& s = slots[p.tensor];
        dispatch_floating(s.param.dtype(), [&]<class T>() { f.template operator()<T>(s, p.begin, p.count); });
      });
}

}  // namespace

void adam_update(std::span<const Slot> slots, const AdamUpdate& update) {
  std::tuple constants{adam_constants<float>(update), adam_constants<double>(update)};
  for_slots(slots, [&]<class T>(const Slot& s, int64_t begin, int64_t count) {
    simd<T>().adam(std::get<AdamConstants<T>>(constants), part<T>(s.param, begin), grad_part<T>(s, begin),
                   part<T>(s.m, begin), part<T>(s.v, begin), part<T>(s.ema, begin), count);
  });
}

void sgd_update(std::span<const Slot> slots, const SgdUpdate& update) {
  for_slots(slots, [&]<class T>(const Slot& s, int64_t begin, int64_t count) {
    auto k = sgd_constants<T>(update);
    T *p = part<T>(s.param, begin), *m = part<T>(s.m, begin), *ema = part<T>(s.ema, begin);
    const T* g = grad_part<T>(s, begin);
    for (int64_t i = 0; i < count; ++i) {
      p[i] = sgd_moved(k, p[i], g[i], m[i]);
      if (ema) ema[i] = averaged(k.ema_rate, p[i], ema[i]);
    }
  });
}

void lamb_update(std::span<const Slot> slots, const AdamUpdate& update) {
  AdamUpdate no_decay = update;
  no_decay.weight_decay = 0;  // it is part of the direction
  for (const Slot& s : slots) {
    Tensor direction = Tensor::empty(s.param.shape(), s.param.dtype());
    dispatch_floating(s.param.dtype(), [&]<class T>() {
      auto k = adam_constants<T>(no_decay);
      k.direction_only = true;
      T decay = static_cast<T>(update.weight_decay);
      int64_t n = s.param.numel();
      T *p = part<T>(s.param, 0), *d = part<T>(direction, 0), *ema = part<T>(s.ema, 0);
      simd<T>().adam(k, p, grad_part<T>(s, 0), part<T>(s.m, 0), part<T>(s.v, 0), d, n);
      for (int64_t i = 0; i < n; ++i) d[i] = lamb_direction(k, decay, p[i], d[i]);
      T rate = static_cast<T>(lamb_rate(update.lr, simd<T>().sum_squares(p, n), simd<T>().sum_squares(d, n)));
      for (int64_t i = 0; i < n; ++i) {
        p[i] -= rate * d[i];
        if (ema) ema[i] = averaged(k.ema_rate, p[i], ema[i]);
      }
    });
  }
}

}  // namespace vapo::cpu
