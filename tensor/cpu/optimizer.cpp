// Optimizer steps: every parameter's tensors are read and written once.

#include <cmath>
#include <tuple>
#include <vector>

#include "tensor/backend.h"
#include "tensor/cpu/simd.h"
#include "tensor/optimizer_formulas.h"
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

void sgd_update(std::span<const Slot> slots, const SgdUpdate& update) {
  for_pieces(slots, [&]<class T>(const Piece& piece) {
    auto k = sgd_constants<T>(update);
    const Slot& s = *piece.slot;
    T *p = part<T>(s.param, piece.begin), *m = part<T>(s.m, piece.begin), *ema = part<T>(s.ema, piece.begin);
    const T* g = grad_part<T>(s, piece.begin);
    for (int64_t i = 0; i < piece.count; ++i) {
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
