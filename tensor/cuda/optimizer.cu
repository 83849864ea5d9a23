// Optimizer steps: every parameter's tensors are read and written once, up to `most` tensors in one launch.

#include <algorithm>
#include <cmath>

#include "tensor/adam_constants.h"
#include "tensor/cuda/context.h"

namespace vapo::cuda {
namespace {

using kernel::AdamUpdate, kernel::SgdUpdate, kernel::Slot;

constexpr size_t most = 64;  // their addresses travel as one kernel argument
template <class T>
struct Batch {
  T *param[most], *m[most], *v[most], *ema[most];
  const T* grad[most];
  int64_t count[most];
};

template <class T, class F>
__global__ void slots_kernel(Batch<T> batch, F f) {
  int slot = static_cast<int>(blockIdx.y);
  int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < batch.count[slot]; i += step)
    f(i, batch.param[slot], batch.grad[slot], batch.m[slot], batch.v[slot], batch.ema[slot]);
}
// f over every element of the slots of one dtype.
template <class T, class F>
void over_slots(const char* op, std::span<const Slot> slots, const F& f) {
  Batch<T> batch;
  size_t used = 0;
  int64_t longest = 0;
  auto flush = [&] {
    if (used == 0) return;
    dim3 grid(static_cast<unsigned>(std::clamp<int64_t>((longest + 1023) / 1024, 1, 1024)),
              static_cast<unsigned>(used));
    launch(op, slots_kernel<T, F>, grid, block_size, batch, f);
    used = 0, longest = 0;
  };
  for (const Slot& s : slots) {
    if (s.param.dtype() != dtype_of<T>) continue;
    batch.param[used] = pointer<T>(s.param), batch.grad[used] = pointer<T>(s.grad), batch.m[used] = pointer<T>(s.m);
    batch.v[used] = pointer_or_null<T>(s.v), batch.ema[used] = pointer_or_null<T>(s.ema);
    batch.count[used] = s.param.numel(), longest = std::max(longest, s.param.numel());
    if (++used == most) flush();
  }
  flush();
}

template <class T>
__device__ T clamped(T x, T bound) {
  return x > bound ? bound : x < -bound ? -bound : x;
}

template <class T>
struct Adam {
  AdamConstants<T> k;
  __device__ void operator()(int64_t i, T* p, const T* g, T* m, T* v, T* ema) const {
    T w = p[i], grad = clamped(g[i] * k.grad_scale, k.clip_value), m1 = m[i], m2 = v[i];
    if (k.clip_std_factor >= 0) grad = clamped(grad, k.clip_std_factor * sqrt(m2) + T(0.1));
    grad += k.l2 * w;
    m1 += (T(1) - k.beta1) * (grad - m1);
    m2 += (T(1) - k.beta2) * (grad * grad - m2);
    T direction = m1 / (sqrt(m2) * k.root_correction + k.eps);
    m[i] = m1, v[i] = m2;
    if (k.direction_only) {
      ema[i] = direction;
      return;
    }
    p[i] = w = w * k.shrink - k.step_size * direction;
    if (ema) ema[i] += k.ema_rate * (w - ema[i]);
  }
};
template <class T>
struct Sgd {
  T lr, momentum, weight_decay, grad_scale, clip_value, ema_rate;
  bool nesterov;
  __device__ void operator()(int64_t i, T* p, const T* g, T* m, T*, T* ema) const {
    T grad = clamped(g[i] * grad_scale, clip_value) + weight_decay * p[i];
    m[i] = momentum * m[i] + grad;
    p[i] -= lr * (nesterov ? grad + momentum * m[i] : m[i]);
    if (ema) ema[i] += ema_rate * (p[i] - ema[i]);
  }
};
template <class T>
struct Decay {  // d ← correction·d + decay·p
  T correction, decay;
  const T* p;
  T* d;
  __device__ void operator()(int64_t i) const { d[i] = correction * d[i] + decay * p[i]; }
};
template <class T>
struct Move {
  T rate, ema_rate;
  const T* d;
  T *p, *ema;
  __device__ void operator()(int64_t i) const {
    p[i] -= rate * d[i];
    if (ema) ema[i] += ema_rate * (p[i] - ema[i]);
  }
};

template <class T>
void lamb_of(const Slot& s, const AdamUpdate& update) {
  AdamUpdate no_decay = update;
  no_decay.weight_decay = 0;
  AdamConstants<T> k = adam_constants<T>(no_decay);
  k.direction_only = true;
  Tensor direction = Tensor::empty(s.param.shape(), s.param.options());
  Slot one = s;
  one.ema = direction;
  over_slots<T>("lamb_update", std::span(&one, 1), Adam<T>{k});
  double correction = 1 / (1 - std::pow(update.beta1, static_cast<double>(update.step)));
  for_each("lamb_update", s.param.numel(),
           Decay<T>{static_cast<T>(correction), static_cast<T>(update.weight_decay), pointer<T>(s.param),
                    pointer<T>(direction)});
  double size = std::sqrt(sum_squares(std::span(&s.param, 1))),
         length = std::sqrt(sum_squares(std::span(&direction, 1)));
  double rate = update.lr * (size > 0 && length > 0 ? size / length : 1);
  for_each("lamb_update", s.param.numel(),
           Move<T>{static_cast<T>(rate), static_cast<T>(1 - update.ema_decay), pointer<T>(direction),
                   pointer<T>(s.param), pointer_or_null<T>(s.ema)});
}

}  // namespace

void adam_update(std::span<const Slot> slots, const AdamUpdate& update) {
  over_slots<float>("adam_update", slots, Adam<float>{adam_constants<float>(update)});
  over_slots<double>("adam_update", slots, Adam<double>{adam_constants<double>(update)});
}
void sgd_update(std::span<const Slot> slots, const SgdUpdate& u) {
  auto step = [&](auto zero) {
    using T = decltype(zero);
    auto as = [](double x) { return static_cast<T>(x); };
    over_slots<T>("sgd_update", slots,
                  Sgd<T>{as(u.lr), as(u.momentum), as(u.weight_decay), as(u.grad_scale), as(u.clip_value),
                         as(1 - u.ema_decay), u.nesterov});
  };
  step(float{}), step(double{});
}
void lamb_update(std::span<const Slot> slots, const AdamUpdate& update) {
  for (const Slot& s : slots)
    dispatch_floating(s.param.dtype(), [&](auto zero) { lamb_of<decltype(zero)>(s, update); });
}

}  // namespace vapo::cuda
