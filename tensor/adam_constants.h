#pragma once
// What one step of Adam multiplies with, worked out once for all elements: shared by both back ends.

#include <cmath>

#include "tensor/functions.h"
#include "tensor/kernels.h"

namespace vapo {

// The constants of one optimizer step, worked out once.
template <class T>
struct AdamConstants {
  T step_size;  // lr / (1 − β₁^t)
  T beta1, beta2, eps;
  T root_correction;  // 1/√(1 − β₂^t)
  T shrink;           // 1 − lr·weight_decay where decoupled, else 1
  T l2;               // weight_decay where not decoupled, else 0
  T grad_scale, clip_value;
  T clip_std_factor;       // 3/√(1 − β₂^(t−1)); negative: no such clipping
  T ema_rate;              // 1 − decay
  T lr, first_correction;  // of LAMB: 1/(1 − β₁^t)
  bool direction_only;     // write the update's direction into `ema` instead of moving p (LAMB)
};

// Update: kernel::AdamUpdate, or what a GPU is handed of it.
template <class T, class Update>
VAPO_FN AdamConstants<T> adam_constants(const Update& u) {
  double t = static_cast<double>(u.step);
  AdamConstants<T> k{};
  k.step_size = static_cast<T>(u.lr / (1 - std::pow(u.beta1, t)));
  k.beta1 = static_cast<T>(u.beta1), k.beta2 = static_cast<T>(u.beta2), k.eps = static_cast<T>(u.eps);
  k.root_correction = static_cast<T>(1 / std::sqrt(1 - std::pow(u.beta2, t)));
  k.shrink = static_cast<T>(u.decoupled ? 1 - u.lr * u.weight_decay : 1);
  k.l2 = static_cast<T>(u.decoupled ? 0 : u.weight_decay);
  k.grad_scale = static_cast<T>(u.grad_scale);
  k.clip_value = static_cast<T>(u.clip_value);
  // the first step has no second moment to compare with
  k.clip_std_factor = static_cast<T>(u.clip_std && u.step > 1 ? 3 / std::sqrt(1 - std::pow(u.beta2, t - 1)) : -1);
  k.ema_rate = static_cast<T>(1 - u.ema_decay);
  k.lr = static_cast<T>(u.lr), k.first_correction = static_cast<T>(1 / (1 - std::pow(u.beta1, t)));
  return k;
}

}  // namespace vapo
