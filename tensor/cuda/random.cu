// Philox: the same words as on the CPU, so the same numbers up to the rounding of log, cos and sin.

#include "tensor/cuda/context.h"
#include "tensor/philox.h"

namespace vapo::cuda {
namespace {

// A key, advanced by the step that is replayed.
struct DeviceKey {
  RandomKey key;
  const StepScalars* scalars = step_scalars();
  __device__ uint64_t seed() const { return key.seed; }
  __device__ uint32_t stream() const { return key.stream; }
  __device__ uint64_t step() const { return key.step + (scalars ? scalars->advance : 0); }
};

// write(y, element, word pair or word) for the four elements of block i.
template <class T>
struct Normal {
  DeviceKey key;
  int64_t first, n;
  T* y;
  __device__ void operator()(int64_t block) const {
    PhiloxWords c = philox_block(static_cast<uint64_t>(first + block), key.seed(), key.stream(), key.step());
    for (int j = 0; j < 4; j += 2) {  // Box–Muller on the word pairs
      T u = open_uniform<T>(c.w[j]), v = open_uniform<T>(c.w[j + 1]);
      T radius = sqrt(T(-2) * log(u)), angle = T(two_pi) * v;
      if (block * 4 + j < n) y[block * 4 + j] = radius * cos(angle);
      if (block * 4 + j + 1 < n) y[block * 4 + j + 1] = radius * sin(angle);
    }
  }
};
template <class T>
struct Uniform {
  DeviceKey key;
  int64_t n;
  double low, high;
  T* y;
  __device__ void operator()(int64_t block) const {
    PhiloxWords c = philox_block(static_cast<uint64_t>(block), key.seed(), key.stream(), key.step());
    for (int j = 0; j < 4 && block * 4 + j < n; ++j) y[block * 4 + j] = uniform_in<T>(c.w[j], low, high);
  }
};
template <class T>
struct Rademacher {
  DeviceKey key;
  int64_t n;
  T* y;
  __device__ void operator()(int64_t block) const {
    PhiloxWords c = philox_block(static_cast<uint64_t>(block), key.seed(), key.stream(), key.step());
    for (int j = 0; j < 4 && block * 4 + j < n; ++j) y[block * 4 + j] = random_sign<T>(c.w[j]);
  }
};
struct Bernoulli {
  DeviceKey key;
  int64_t first, n;
  float limit;
  uint8_t* y;
  __device__ void operator()(int64_t block) const {
    PhiloxWords c = philox_block(static_cast<uint64_t>(first + block), key.seed(), key.stream(), key.step());
    for (int j = 0; j < 4 && block * 4 + j < n; ++j)
      y[block * 4 + j] = static_cast<float>(uniform_of<float>(c.w[j])) >= limit;
  }
};

int64_t blocks(const Tensor& y) { return (y.numel() + 3) / 4; }

}  // namespace

void normal(const RandomKey& key, int64_t first_block, const Tensor& y) {
  dispatch_floating(y.dtype(), [&]<class T>() {
    for_each("randn", blocks(y), Normal<T>{{key}, first_block, y.numel(), pointer<T>(y)});
  });
}
void uniform(const RandomKey& key, double low, double high, const Tensor& y) {
  dispatch_floating(y.dtype(), [&]<class T>() {
    for_each("rand", blocks(y), Uniform<T>{{key}, y.numel(), low, high, pointer<T>(y)});
  });
}
void rademacher(const RandomKey& key, const Tensor& y) {
  dispatch_floating(y.dtype(), [&]<class T>() {
    for_each("rademacher", blocks(y), Rademacher<T>{{key}, y.numel(), pointer<T>(y)});
  });
}
void bernoulli(const RandomKey& key, double p, int64_t first_block, const Tensor& y) {
  for_each("dropout", blocks(y),
           Bernoulli{{key}, first_block, y.numel(), static_cast<float>(p), pointer<uint8_t>(y)});
}

}  // namespace vapo::cuda
