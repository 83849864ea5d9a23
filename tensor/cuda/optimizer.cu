// Optimizer steps, up to `most` tensors in one launch. Adam and SGD read and write every parameter's tensors once;
// LAMB, which needs two norms of each before it can move it, reads the parameter and its moments twice.

#include <algorithm>
#include <cmath>

#include "tensor/cuda/context.h"
#include "tensor/optimizer_formulas.h"

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
  stride_over(batch.count[slot], [&](int64_t i) {
    f(i, batch.param[slot], batch.grad[slot], batch.m[slot], batch.v[slot], batch.ema[slot]);
  });
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

// What differs from step to step is worked out on the device, in a kernel of one thread before the update: from the
// numbers of this call, the norm of the gradients and, in a recorded step, from what its replay was given.
struct Numbers {
  double lr, weight_decay, grad_scale, clip_value, ema_decay, limit;
  const double* squares;
  const StepScalars* scalars = step_scalars();
  double beta1 = 0, beta2 = 0, eps = 0, momentum = 0;
  int64_t step = 1;
  bool decoupled = false, clip_std = false, nesterov = false;
  template <class Update>
  explicit Numbers(const Update& u)
      : lr(u.lr),
        weight_decay(u.weight_decay),
        grad_scale(u.grad_scale),
        clip_value(u.clip_value),
        ema_decay(u.ema_decay),
        limit(u.norm.limit),
        squares(pointer_or_null<double>(u.norm.squares)) {
    if constexpr (std::is_same_v<Update, SgdUpdate>)
      momentum = u.momentum, nesterov = u.nesterov;
    else
      beta1 = u.beta1, beta2 = u.beta2, eps = u.eps, step = u.step, decoupled = u.decoupled, clip_std = u.clip_std;
  }
  // false: nothing is to be written
  __device__ bool settle() {
    if (scalars) lr = scalars->learning_rate, ema_decay = scalars->ema_decay, step += scalars->advance;
    if (!squares) return true;
    double norm = sqrt(*squares);
    grad_scale *= norm_clipping(norm, limit);
    return norm - norm == 0;
  }
};
template <class T>
struct Constants {
  bool writes;
  AdamConstants<T> adam;
  SgdConstants<T> sgd;
};
template <class T>
__global__ void constants_kernel(Numbers n, Constants<T>* k) {
  k->writes = n.settle(), k->adam = adam_constants<T>(n), k->sgd = sgd_constants<T>(n);
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

// The direction at element i, whose moments move.
template <class T>
__device__ T moved_direction(const AdamConstants<T>& k, T p, T g, T* m, T* v) {
  T m1 = *m, m2 = *v, direction = adam_direction(k, p, g, m1, m2);
  *m = m1, *v = m2;
  return direction;
}
template <class T>
__device__ void write(int64_t i, T value, T* p, T* ema, T ema_rate) {
  p[i] = value;
  if (ema) ema[i] = averaged(ema_rate, value, ema[i]);
}
template <class T>
struct Adam {
  const Constants<T>* constants;
  __device__ void operator()(int64_t i, T* p, const T* g, T* m, T* v, T* ema) const {
    if (!constants->writes) return;
    const AdamConstants<T>& k = constants->adam;
    T value = p[i], direction = moved_direction(k, value, g[i], m + i, v + i);
    write(i, adam_moved(k, value, direction), p, ema, k.ema_rate);
  }
};
template <class T>
struct Sgd {
  const Constants<T>* constants;
  __device__ void operator()(int64_t i, T* p, const T* g, T* m, T*, T* ema) const {
    if (!constants->writes) return;
    const SgdConstants<T>& k = constants->sgd;
    T momentum = m[i], moved = sgd_moved(k, p[i], g[i], momentum);
    m[i] = momentum;
    write(i, moved, p, ema, k.ema_rate);
  }
};
// LAMB's first pass: the moments, and Σp² and Σd² of each slot in `gridDim.x` parts.
template <class T>
__global__ void lamb_norms_kernel(Batch<T> batch, const Constants<T>* k, T decay, double* parts) {
  int slot = static_cast<int>(blockIdx.y);
  double size = 0, length = 0;
  stride_over(k->writes ? batch.count[slot] : 0, [&](int64_t i) {
    T p = batch.param[slot][i];
    T adam = moved_direction(k->adam, p, batch.grad[slot][i], batch.m[slot] + i, batch.v[slot] + i);
    double wide_p = static_cast<double>(p), wide_d = static_cast<double>(lamb_direction(k->adam, decay, p, adam));
    size += wide_p * wide_p, length += wide_d * wide_d;
  });
  size = block_sum(size), length = block_sum(length);
  if (threadIdx.x > 0) return;
  double* part = parts + 2 * (static_cast<int64_t>(slot) * gridDim.x + blockIdx.x);
  part[0] = size, part[1] = length;
}
// The second, in as many blocks.
template <class T>
__global__ void lamb_move_kernel(Batch<T> batch, const Constants<T>* constants, T decay, const double* parts) {
  int slot = static_cast<int>(blockIdx.y);
  const double* part = parts + 2 * (static_cast<int64_t>(slot) * gridDim.x + threadIdx.x);
  bool has_part = threadIdx.x < gridDim.x;
  double size = block_sum(has_part ? part[0] : 0), length = block_sum(has_part ? part[1] : 0);
  if (!constants->writes) return;
  const AdamConstants<T>& k = constants->adam;
  T rate = static_cast<T>(lamb_rate(static_cast<double>(k.lr), size, length));
  stride_over(batch.count[slot], [&](int64_t i) {
    T p = batch.param[slot][i];
    T d = lamb_direction(k, decay, p, adam_direction(k, batch.m[slot][i], batch.v[slot][i]));
    write(i, p - rate * d, batch.param[slot], batch.ema[slot], k.ema_rate);
  });
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
    Tensor k = constants<T>("adam_update", Numbers(update));
    over_slots<T>("adam_update", slots, Adam<T>{at<T>(k)});
  });
}
void sgd_update(std::span<const Slot> slots, const SgdUpdate& update) {
  for_dtypes(slots, [&]<class T>() {
    Tensor k = constants<T>("sgd_update", Numbers(update));
    over_slots<T>("sgd_update", slots, Sgd<T>{at<T>(k)});
  });
}
void lamb_update(std::span<const Slot> slots, const AdamUpdate& update) {
  Numbers numbers(update);
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
