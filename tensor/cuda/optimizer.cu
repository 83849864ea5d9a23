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

// What differs from step to step is worked out on the device, in a kernel of one thread before the update: from the
// numbers of this call, the norm of the gradients and, in a recorded step, from what its replay was given.
struct Numbers {
  double lr, beta1, beta2, eps, weight_decay, momentum, grad_scale, clip_value, ema_decay, limit;
  int64_t step;
  bool decoupled, clip_std, nesterov, direction_only;
  const double* squares;
  const StepScalars* scalars;
  Numbers(const AdamUpdate& u)
      : lr(u.lr),
        beta1(u.beta1),
        beta2(u.beta2),
        eps(u.eps),
        weight_decay(u.weight_decay),
        momentum(0),
        grad_scale(u.grad_scale),
        clip_value(u.clip_value),
        ema_decay(u.ema_decay),
        limit(u.norm.limit),
        step(u.step),
        decoupled(u.decoupled),
        clip_std(u.clip_std),
        nesterov(false),
        direction_only(false),
        squares(pointer_or_null<double>(u.norm.squares)),
        scalars(step_scalars()) {}
  Numbers(const SgdUpdate& u)
      : lr(u.lr),
        beta1(0),
        beta2(0),
        eps(0),
        weight_decay(u.weight_decay),
        momentum(u.momentum),
        grad_scale(u.grad_scale),
        clip_value(u.clip_value),
        ema_decay(u.ema_decay),
        limit(u.norm.limit),
        step(1),
        decoupled(false),
        clip_std(false),
        nesterov(u.nesterov),
        direction_only(false),
        squares(pointer_or_null<double>(u.norm.squares)),
        scalars(step_scalars()) {}
  // false: nothing is to be written
  __device__ bool settle() {
    if (scalars) lr = scalars->learning_rate, ema_decay = scalars->ema_decay, step += scalars->advance;
    if (!squares) return true;
    double norm = sqrt(*squares), scale = limit / (norm + 1e-6);
    grad_scale *= scale < 1 ? scale : 1;
    return norm - norm == 0;
  }
};
template <class T>
struct Constants {
  AdamConstants<T> adam;
  T lr, momentum, weight_decay, grad_scale, clip_value, ema_rate;  // of SGD
  bool nesterov, writes;
};
template <class T>
__global__ void constants_kernel(Numbers n, Constants<T>* k) {
  k->writes = n.settle();
  k->adam = adam_constants<T>(n);
  k->adam.direction_only = n.direction_only;
  k->lr = static_cast<T>(n.lr), k->momentum = static_cast<T>(n.momentum);
  k->weight_decay = static_cast<T>(n.weight_decay), k->grad_scale = static_cast<T>(n.grad_scale);
  k->clip_value = static_cast<T>(n.clip_value), k->ema_rate = static_cast<T>(1 - n.ema_decay);
  k->nesterov = n.nesterov;
}
template <class T>
Tensor constants(const char* op, const Numbers& n) {
  Tensor k = scratch(sizeof(Constants<T>), DType::u8);
  launch(op, constants_kernel<T>, 1, 1, n, static_cast<Constants<T>*>(k.raw()));
  return k;
}
template <class T>
const Constants<T>* at(const Tensor& k) {
  return static_cast<const Constants<T>*>(k.raw());
}

template <class T>
struct Adam {
  const Constants<T>* constants;
  __device__ void operator()(int64_t i, T* p, const T* g, T* m, T* v, T* ema) const {
    if (!constants->writes) return;
    const AdamConstants<T>& k = constants->adam;
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
  const Constants<T>* constants;
  __device__ void operator()(int64_t i, T* p, const T* g, T* m, T*, T* ema) const {
    const Constants<T>& k = *constants;
    if (!k.writes) return;
    T grad = clamped(g[i] * k.grad_scale, k.clip_value) + k.weight_decay * p[i];
    m[i] = k.momentum * m[i] + grad;
    p[i] -= k.lr * (k.nesterov ? grad + k.momentum * m[i] : m[i]);
    if (ema) ema[i] += k.ema_rate * (p[i] - ema[i]);
  }
};
template <class T>
struct Decay {  // d ← d/(1 − β₁^t) + decay·p
  const Constants<T>* k;
  T decay;
  const T* p;
  T* d;
  __device__ void operator()(int64_t i) const {
    if (k->writes) d[i] = k->adam.first_correction * d[i] + decay * p[i];
  }
};
template <class T>
struct Move {  // p ← p − lr·‖p‖/‖d‖·d
  const Constants<T>* k;
  const double *p_squares, *d_squares;
  const T* d;
  T *p, *ema;
  __device__ void operator()(int64_t i) const {
    if (!k->writes) return;
    double ratio = *p_squares > 0 && *d_squares > 0 ? sqrt(*p_squares) / sqrt(*d_squares) : 1;
    p[i] -= static_cast<T>(static_cast<double>(k->lr) * ratio) * d[i];
    if (ema) ema[i] += k->ema_rate * (p[i] - ema[i]);
  }
};

template <class T>
void lamb_of(const Slot& s, const AdamUpdate& update) {
  Numbers numbers = update;
  numbers.weight_decay = 0, numbers.direction_only = true;
  Tensor k = constants<T>("lamb_update", numbers);
  Tensor direction = Tensor::zeros(s.param.shape(), s.param.options());
  Slot one = s;
  one.ema = direction;
  over_slots<T>("lamb_update", std::span(&one, 1), Adam<T>{at<T>(k)});
  for_each("lamb_update", s.param.numel(),
           Decay<T>{at<T>(k), static_cast<T>(update.weight_decay), pointer<T>(s.param), pointer<T>(direction)});
  Tensor size = scratch(1, DType::f64), length = scratch(1, DType::f64);
  sum_squares(std::span(&s.param, 1), size), sum_squares(std::span(&direction, 1), length);
  for_each("lamb_update", s.param.numel(),
           Move<T>{at<T>(k), pointer<double>(size), pointer<double>(length), pointer<T>(direction),
                   pointer<T>(s.param), pointer_or_null<T>(s.ema)});
}

// f(T{}) for each dtype that the slots have.
template <class F>
void for_dtypes(std::span<const Slot> slots, const F& f) {
  auto has = [&](DType t) {
    return std::ranges::any_of(slots, [&](const Slot& s) { return s.param.dtype() == t; });
  };
  if (has(DType::f32)) f(float{});
  if (has(DType::f64)) f(double{});
}

}  // namespace

void adam_update(std::span<const Slot> slots, const AdamUpdate& update) {
  for_dtypes(slots, [&](auto zero) {
    using T = decltype(zero);
    Tensor k = constants<T>("adam_update", update);
    over_slots<T>("adam_update", slots, Adam<T>{at<T>(k)});
  });
}
void sgd_update(std::span<const Slot> slots, const SgdUpdate& update) {
  for_dtypes(slots, [&](auto zero) {
    using T = decltype(zero);
    Tensor k = constants<T>("sgd_update", update);
    over_slots<T>("sgd_update", slots, Sgd<T>{at<T>(k)});
  });
}
void lamb_update(std::span<const Slot> slots, const AdamUpdate& update) {
  for (const Slot& s : slots)
    dispatch_floating(s.param.dtype(), [&](auto zero) { lamb_of<decltype(zero)>(s, update); });
}

}  // namespace vapo::cuda
