// Optimizer steps, up to `most` tensors in one launch. Adam and SGD read and write every parameter's tensors once;
// LAMB, which needs two norms of each before it can move it, reads the parameter and its moments twice.

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
// f(batch, grid) over the slots of one dtype, at most `most_blocks` to a slot.
template <class T, class F>
void for_batches(std::span<const Slot> slots, int64_t most_blocks, const F& f) {
  Batch<T> batch{};
  size_t used = 0;
  int64_t longest = 0;
  auto flush = [&] {
    if (used == 0) return;
    f(batch, dim3(static_cast<unsigned>(std::clamp<int64_t>((longest + 1023) / 1024, 1, most_blocks)),
                  static_cast<unsigned>(used)));
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
// f over every element.
template <class T, class F>
void over_slots(const char* op, std::span<const Slot> slots, const F& f) {
  for_batches<T>(slots, 1024, [&](const Batch<T>& batch, dim3 grid) {
    launch(op, slots_kernel<T, F>, grid, block_size, batch, f);
  });
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
  bool decoupled, clip_std, nesterov;
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

// Moves the moments; m/(√v+ε), but for the first moment's correction.
template <class T>
__device__ T adam_direction(const AdamConstants<T>& k, T p, T g, T* m, T* v) {
  T grad = clamped(g * k.grad_scale, k.clip_value), m1 = *m, m2 = *v;
  if (k.clip_std_factor >= 0) grad = clamped(grad, k.clip_std_factor * sqrt(m2) + T(0.1));
  grad += k.l2 * p;
  m1 += (T(1) - k.beta1) * (grad - m1);
  m2 += (T(1) - k.beta2) * (grad * grad - m2);
  *m = m1, *v = m2;
  return m1 / (sqrt(m2) * k.root_correction + k.eps);
}
template <class T>
struct Adam {
  const Constants<T>* constants;
  __device__ void operator()(int64_t i, T* p, const T* g, T* m, T* v, T* ema) const {
    if (!constants->writes) return;
    const AdamConstants<T>& k = constants->adam;
    T w = p[i], direction = adam_direction(k, w, g[i], m + i, v + i);
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
// LAMB's first pass: the moments, and Σp² and Σd² of each slot in `gridDim.x` parts, d = m̂/(√v̂+ε) + decay·p.
template <class T>
__global__ void lamb_norms_kernel(Batch<T> batch, const Constants<T>* k, T decay, double* parts) {
  int slot = static_cast<int>(blockIdx.y);
  double size = 0, length = 0;
  int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x, n = k->writes ? batch.count[slot] : 0;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += step) {
    T p = batch.param[slot][i];
    T d = adam_direction(k->adam, p, batch.grad[slot][i], batch.m[slot] + i, batch.v[slot] + i);
    d = k->adam.first_correction * d + decay * p;
    size += static_cast<double>(p) * static_cast<double>(p),
        length += static_cast<double>(d) * static_cast<double>(d);
  }
  size = block_sum(size), length = block_sum(length);
  if (threadIdx.x > 0) return;
  double* part = parts + 2 * (static_cast<int64_t>(slot) * gridDim.x + blockIdx.x);
  part[0] = size, part[1] = length;
}
// The second, in as many blocks: p ← p − lr·‖p‖/‖d‖·d.
template <class T>
__global__ void lamb_move_kernel(Batch<T> batch, const Constants<T>* constants, T decay, const double* parts) {
  int slot = static_cast<int>(blockIdx.y);
  const double* part = parts + 2 * (static_cast<int64_t>(slot) * gridDim.x + threadIdx.x);
  bool has_part = threadIdx.x < gridDim.x;
  double size = block_sum(has_part ? part[0] : 0), length = block_sum(has_part ? part[1] : 0);
  if (!constants->writes) return;
  const AdamConstants<T>& k = constants->adam;
  T rate = static_cast<T>(static_cast<double>(k.lr) * (size > 0 && length > 0 ? sqrt(size) / sqrt(length) : 1));
  int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < batch.count[slot]; i += step) {
    T p = batch.param[slot][i];
    T d = batch.m[slot][i] / (sqrt(batch.v[slot][i]) * k.root_correction + k.eps);
    batch.param[slot][i] = p -= rate * (k.first_correction * d + decay * p);
    if (T* ema = batch.ema[slot]) ema[i] += k.ema_rate * (p - ema[i]);
  }
}

// f<T>() for each dtype that the slots have.
template <class F>
void for_dtypes(std::span<const Slot> slots, const F& f) {
  auto has = [&](DType t) {
    return std::ranges::any_of(slots, [&](const Slot& s) { return s.param.dtype() == t; });
  };
  if (has(DType::f32)) f.template operator()<float>();
  if (has(DType::f64)) f.template operator()<double>();
}

}  // namespace

void adam_update(std::span<const Slot> slots, const AdamUpdate& update) {
  for_dtypes(slots, [&]<class T>() {
    Tensor k = constants<T>("adam_update", update);
    over_slots<T>("adam_update", slots, Adam<T>{at<T>(k)});
  });
}
void sgd_update(std::span<const Slot> slots, const SgdUpdate& update) {
  for_dtypes(slots, [&]<class T>() {
    Tensor k = constants<T>("sgd_update", update);
    over_slots<T>("sgd_update", slots, Sgd<T>{at<T>(k)});
  });
}
void lamb_update(std::span<const Slot> slots, const AdamUpdate& update) {
  Numbers numbers = update;
  numbers.weight_decay = 0;  // it is part of the direction
  for_dtypes(slots, [&]<class T>() {
    Tensor k = constants<T>("lamb_update", numbers);
    T decay = static_cast<T>(update.weight_decay);
    for_batches<T>(slots, block_size, [&](const Batch<T>& batch, dim3 grid) {
      Tensor parts = scratch(2 * int64_t{grid.x} * grid.y, DType::f64);
      launch("lamb_update", lamb_norms_kernel<T>, grid, block_size, batch, at<T>(k), decay, pointer<double>(parts));
      launch("lamb_update", lamb_move_kernel<T>, grid, block_size, batch, at<T>(k), decay, pointer<double>(parts));
    });
  });
}

}  // namespace vapo::cuda
