#pragma once
// Group normalisation of one element, for both ways to run it, and the one in one pass over device memory: a block
// keeps whole rows (sample, group) of neighbouring groups in shared memory. How they lie there, and what the
// threads of all its kernels do.

#include <cuda_pipeline.h>

#include <optional>

#include "tensor/cuda/context.h"
#include "tensor/norm_formulas.h"

namespace vapo::cuda {

// In one pass over device memory (norm_rows.cu); false, and nothing is done, where a row does not fit into shared memory.
bool group_norm_in_rows(const NormCall& call);
bool group_norm_vjp_in_rows(const NormCall& call);
bool group_norm_vjp2_in_rows(const NormCall& call);

// f<T, whether φ is silu>() for the dtype and φ.
template <class F>
void with_kind(const NormCall& call, const F& f) {
  dispatch_stored(call.x.dtype(), [&]<class T>() {
    if (call.p.silu)
      f.template operator()<T, true>();
    else
      f.template operator()<T, false>();
  });
}

template <class C, bool silu>
struct MaskedElement {
  NormElement<C, silu> e;
  C m;  // the mask's factor

  __device__ C value() const { return m * norm_phi<silu>(e.z); }
  __device__ void add_vjp(C g, C* total) const { e.add_vjp(m * g, total); }
  __device__ void add_vjp2(C g, C u, C* total) const { e.add_vjp2(m * g, u, total); }
  // k: the channel's coefficients
  __device__ C vjp(C g, const C (&k)[NormMap::count]) const {
    return k[NormMap::h] * e.h(m * g) + k[NormMap::y] * e.y + k[NormMap::one];
  }
  __device__ void vjp2(C g, C u, const C (&k)[NormMap2::count], C* dx, C* dg) const {
    using K = NormMap2;
    C mg = m * g, d1 = e.h(C(1)), dz = k[K::zu] * u + k[K::zy] * e.y + k[K::z1];
    *dx = k[K::h] * mg * d1 + k[K::u] * u + k[K::y] * e.y + k[K::one];
    if constexpr (silu) *dx += k[K::e] * (mg * SiluD2::apply<C>(e.z, 0) * dz);
    *dg = m * d1 * dz;
  }
};
// The coefficients of channel `c`.
template <class C, int count>
__device__ void load(C (&k)[count], const ChannelArrays<C>& from, int64_t c) {
  for (int i = 0; i < count; ++i) k[i] = from[i][c];
}

inline constexpr int most_threads = 512;

// What a block takes: `width` neighbouring channels of one sample, read as `slots` vectors. Thread i has vector i %
// slots of the pixels i / slots, i / slots + lines, …
struct Rows {
  int64_t channels, groups;                       // of a sample
  int pixels, group, width, slots, lines, spans;  // `group` channels; `spans` blocks to a sample
  int parts;                                      // in which a channel's sum over the lines is taken
  int vec, threads;
  int operand[3], mask, shares, exchange, partial, sums, map, bytes;  // offsets into shared memory
};
// Of derivative 0 (the forward pass), 1 or 2; none where a row does not fit.
std::optional<Rows> rows_for(const NormSize& size, int64_t groups, DType dtype, int derivative, bool masked);

template <class T, int vec>
__device__ void copy_to_shared(T* to, const T* from) {
  using P = Pack<T, vec>;
  if constexpr (sizeof(P) >= 4)
    __pipeline_memcpy_async(to, from, sizeof(P));
  else
    *reinterpret_cast<P*>(to) = *reinterpret_cast<const P*>(from);
}
template <int vec, class T>
__device__ Pack<T, vec>& pack(T* at) {
  return *reinterpret_cast<Pack<T, vec>*>(at);
}
template <int vec, class T>
__device__ const Pack<T, vec>& pack(const T* at) {
  return *reinterpret_cast<const Pack<T, vec>*>(at);
}
template <class V>
__device__ V* shared_at(int offset) {
  return reinterpret_cast<V*>(dynamic_shared() + offset);
}

template <int vec>
struct Place {  // of one thread
  int thread, slot, line;
  int64_t image, nc, ng;  // where the block begins in images, in (N, C) and in (N, groups)
  const Rows& r;

  __device__ explicit Place(const Rows& rows) : r(rows) {
    int64_t n = blockIdx.x / r.spans, c = static_cast<int64_t>(blockIdx.x % r.spans) * r.width;
    thread = static_cast<int>(threadIdx.x), slot = thread % r.slots, line = thread / r.slots;
    image = n * r.pixels * r.channels + c, nc = n * r.channels + c, ng = n * r.groups + c / r.group;
  }
  __device__ bool works() const { return line < r.lines; }
  __device__ int group_of(int v) const { return (slot * vec + v) / r.group; }
  // f(i, j) for this thread's vectors, at i in shared memory and at j in images.
  template <class F>
  __device__ void each(const F& f) const {
    if (works())
      for (int p = line; p < r.pixels; p += r.lines)
        f(p * r.width + slot * vec, image + p * r.channels + slot * vec);
  }
  // f(i) for the block's channels or groups, each by one thread.
  template <class F>
  __device__ void share(int count, const F& f) const {
    for (int i = thread; i < count; i += r.threads) f(i);
  }
};

// Sums over the pixels from every thread's: sums[k·width + c]. Whoever comes back may read them.
template <int count, int vec, class C>
__device__ void sum_pixels(const Place<vec>& at, const C (&total)[vec][count]) {
  const Rows& r = at.r;
  C *partial = shared_at<C>(r.partial), *sums = shared_at<C>(r.sums);
#pragma unroll
  for (int k = 0; k < count; ++k) {  // two buffers in turn: one is read while the next is filled
    C* exchange = shared_at<C>(r.exchange) + (k & 1) * r.threads * vec;
    Pack<C, vec> own;
    for (int v = 0; v < vec; ++v) own.at[v] = total[v][k];
    if (at.works()) pack<vec>(exchange + at.thread * vec) = own;
    __syncthreads();
    at.share(r.parts * r.width, [&](int i) {
      C sum = 0;
      for (int line = i / r.width; line < r.lines; line += r.parts) sum += exchange[line * r.width + i % r.width];
      partial[k * r.parts * r.width + i] = sum;
    });
  }
  __syncthreads();
  at.share(count * r.width, [&](int i) {
    C sum = 0;
    for (int part = 0; part < r.parts; ++part)
      sum += partial[(i / r.width * r.parts + part) * r.width + i % r.width];
    sums[i] = sum;
  });
  __syncthreads();
}

}  // namespace vapo::cuda
