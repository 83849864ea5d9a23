// Optimizer steps: every parameter's tensors are read and written once.

#include <cmath>
#include <tuple>
#include <vector>

#include "tensor/adam_constants.h"
#include "tensor/backend.h"
#include "tensor/cpu/simd.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {

using kernel::AdamUpdate, kernel::SgdUpdate, kernel::Slot;

struct Piece {  // part of one slot
  const Slot* slot;
  int64_t begin, count;
};
void cut(std::span<const Slot> slots, std::vector<Piece>& pieces) {
  constexpr int64_t size = 8192;
  pieces.clear();
  for (const Slot& s : slots)
    for (int64_t i = 0; i < s.param.numel(); i += size)
      pieces.push_back({&s, i, std::min(size, s.param.numel() - i)});
}

template <class T>
T* part(const Tensor& x, int64_t begin) {
  return x.defined() ? x.mutable_data<T>() + begin : nullptr;
}
template <class T>
const T* grad_part(const Slot& s, int64_t begin) {
  return s.grad.data<T>() + begin;
}

template <class F>
void for_pieces(std::span<const Slot> slots, const F& f) {
  static thread_local std::vector<Piece> pieces;  // kept, so that a step allocates nothing
  cut(slots, pieces);
  parallel_for(static_cast<int64_t>(pieces.size()), 4, 1, [all = &pieces, &f](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Piece& p = (*all)[static_cast<size_t>(i)];
      dispatch_floating(p.slot->param.dtype(), [&]<class T>() { f.template operator()<T>(p); });
    }
  });
}

}  // namespace

void adam_update(std::span<const Slot> slots, const AdamUpdate& update) {
  std::tuple constants{adam_constants<float>(update), adam_constants<double>(update)};
  for_pieces(slots, [&]<class T>(const Piece& p) {
    const Slot& s = *p.slot;
    simd<T>().adam(std::get<AdamConstants<T>>(constants), part<T>(s.param, p.begin), grad_part<T>(s, p.begin),
                   part<T>(s.m, p.begin), part<T>(s.v, p.begin), part<T>(s.ema, p.begin), p.count);
  });
}

void sgd_update(std::span<const Slot> slots, const SgdUpdate& u) {
  for_pieces(slots, [&]<class T>(const Piece& p) {
    const Slot& s = *p.slot;
    T *w = part<T>(s.param, p.begin), *m = part<T>(s.m, p.begin), *ema = part<T>(s.ema, p.begin);
    const T* g = grad_part<T>(s, p.begin);
    T limit = static_cast<T>(u.clip_value);
    for (int64_t i = 0; i < p.count; ++i) {
      T grad = g[i] * static_cast<T>(u.grad_scale);
      grad = grad > limit ? limit : grad < -limit ? -limit : grad;
      grad += static_cast<T>(u.weight_decay) * w[i];
      m[i] = static_cast<T>(u.momentum) * m[i] + grad;
      w[i] -= static_cast<T>(u.lr) * (u.nesterov ? grad + static_cast<T>(u.momentum) * m[i] : m[i]);
      if (ema) ema[i] += static_cast<T>(1 - u.ema_decay) * (w[i] - ema[i]);
    }
  });
}

// You et al., "Large Batch Optimization for Deep Learning" (2020): direction d = m̂/(√v̂+ε) + λp, step lr·‖p‖/‖d‖.
void lamb_update(std::span<const Slot> slots, const AdamUpdate& update) {
  AdamUpdate no_decay = update;
  no_decay.weight_decay = 0;
  double first_correction = 1 / (1 - std::pow(update.beta1, static_cast<double>(update.step)));
  for (const Slot& s : slots) {
    Tensor direction = Tensor::empty(s.param.shape(), s.param.dtype());
    dispatch_floating(s.param.dtype(), [&]<class T>() {
      auto k = adam_constants<T>(no_decay);
      k.direction_only = true;
      int64_t n = s.param.numel();
      T *w = part<T>(s.param, 0), *d = part<T>(direction, 0), *ema = part<T>(s.ema, 0);
      simd<T>().adam(k, w, grad_part<T>(s, 0), part<T>(s.m, 0), part<T>(s.v, 0), d, n);
      for (int64_t i = 0; i < n; ++i)
        d[i] = static_cast<T>(first_correction) * d[i] + static_cast<T>(update.weight_decay) * w[i];
      double size = std::sqrt(simd<T>().sum_squares(w, n)), length = std::sqrt(simd<T>().sum_squares(d, n));
      T rate = static_cast<T>(update.lr * (size > 0 && length > 0 ? size / length : 1));
      for (int64_t i = 0; i < n; ++i) {
        w[i] -= rate * d[i];
        if (ema) ema[i] += static_cast<T>(1 - update.ema_decay) * (w[i] - ema[i]);
      }
    });
  }
}

}  // namespace vapo::cpu
