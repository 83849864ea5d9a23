#pragma once
// What an optimizer does to one element, written once over a value type V: float, double or a SIMD pack. What it
// multiplies with is worked out once a step for all elements.

#include <cmath>

#include "tensor/functions.h"
#include "tensor/kernels.h"

namespace vapo {

namespace scalar {
template <class V>
requires std::is_floating_point_v<V> VAPO_FN V clamp(V x, V bound) {  // to ±bound; NaN stays
  return x > bound ? bound : x < -bound ? -bound : x;
}
}  // namespace scalar

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
template <class T>
struct SgdConstants {
  T lr, momentum, weight_decay, grad_scale, clip_value;
  T ema_rate;  // 1 − decay
  bool nesterov;
};

// What gradients of this norm are multiplied with.
VAPO_FN double norm_clipping(double norm, double limit) {
  double scale = limit / (norm + 1e-6);
  return scale < 1 ? scale : 1;
}
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
template <class T, class Update>
VAPO_FN SgdConstants<T> sgd_constants(const Update& u) {
  return {static_cast<T>(u.lr),
          static_cast<T>(u.momentum),
          static_cast<T>(u.weight_decay),
          static_cast<T>(u.grad_scale),
          static_cast<T>(u.clip_value),
          static_cast<T>(1 - u.ema_decay),
          u.nesterov};
}

// m/(√v̂ + ε), but for the first moment's correction.
template <class V, class T>
VAPO_FN V adam_direction(const AdamConstants<T>& k, V m, V v) {
  using namespace scalar;
  return m / multiply_add(sqrt(v), V(k.root_correction), V(k.eps));
}
// The same after the moments have moved.
template <class V, class T>
VAPO_FN V adam_direction(const AdamConstants<T>& k, V p, V g, V& m, V& v) {
  using namespace scalar;
  V grad = clamp(g * V(k.grad_scale), V(k.clip_value));
  if (k.clip_std_factor >= 0) grad = clamp(grad, multiply_add(V(k.clip_std_factor), sqrt(v), V(0.1)));
  grad = multiply_add(V(k.l2), p, grad);
  m = multiply_add(V(T(1) - k.beta1), grad - m, m);
  v = multiply_add(V(T(1) - k.beta2), grad * grad - v, v);
  return adam_direction(k, m, v);
}
template <class V, class T>
VAPO_FN V adam_moved(const AdamConstants<T>& k, V p, V direction) {
  return p * V(k.shrink) - V(k.step_size) * direction;
}

// Moves the momentum: the new p.
template <class V, class T>
VAPO_FN V sgd_moved(const SgdConstants<T>& k, V p, V g, V& m) {
  using namespace scalar;
  V grad = multiply_add(V(k.weight_decay), p, clamp(g * V(k.grad_scale), V(k.clip_value)));
  m = multiply_add(V(k.momentum), m, grad);
  return p - V(k.lr) * (k.nesterov ? multiply_add(V(k.momentum), m, grad) : m);
}

// You et al., "Large Batch Optimization for Deep Learning" (2020): p ← p − lr·‖p‖/‖d‖·d with d = m̂/(√v̂ + ε) + λp.
template <class V, class T>
VAPO_FN V lamb_direction(const AdamConstants<T>& k, T decay, V p, V adam) {
  return V(k.first_correction) * adam + V(decay) * p;
}
VAPO_FN double lamb_rate(double lr, double p_squares, double d_squares) {
  return lr * (p_squares > 0 && d_squares > 0 ? std::sqrt(p_squares) / std::sqrt(d_squares) : 1);
}

// The moving average after p has moved.
template <class V, class T>
VAPO_FN V averaged(T rate, V p, V average) {
  using namespace scalar;
  return multiply_add(V(rate), p - average, average);
}

}  // namespace vapo
