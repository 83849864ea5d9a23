#pragma once
// Group normalisation in one pass over device memory: a block copies rows (sample, group) of neighbouring groups into
// shared memory, where each thread keeps the vectors of 16 bytes that it alone works on, so that neither conflicts of
// banks nor barriers lie between a copy and its use. How rows are shared out, and what the threads of all kernels do.

#include <cuda_pipeline.h>

#include <bit>
#include <optional>

#include "tensor/cuda/vectors.h"
#include "tensor/norm_formulas.h"

namespace vapo::cuda {

// In one pass (norm_rows.cu); false, and nothing is done, where rows do not fit or vectors do not divide them.
bool group_norm_in_rows(const NormCall& call);
bool group_norm_vjp_in_rows(const NormCall& call);
bool group_norm_vjp2_in_rows(const NormCall& call);

// Of a block of the forward pass and of the two derivatives, and how many such blocks have registers enough at once.
inline constexpr int most_threads[] = {512, 384, 512}, least_blocks[] = {2, 2, 1};

// What a block takes: `width` neighbouring channels of one sample, of a pixel `slots` vectors. These lie in `lanes`
// lanes of `warps` warps, and a warp has `lines` pixels at once; `parts` such (groups of) warps share the pixels.
struct Rows {
  int64_t channels;  // of a sample, as are `groups_of_all`
  int groups_of_all, pixels, group, width, groups, slots,
      spans;  // `groups` of `group` channels; `spans` blocks to a sample
  int vec, lanes, warps, lines, parts, threads;
  Divisor<int> by_group, by_groups, by_width, by_lanes, by_warps;
  int operand[3], mask, exchange, scalars, bytes;  // offsets into shared memory
};
// Of derivative 0 (the forward pass), 1 or 2; none where two passes are to be taken.
std::optional<Rows> rows_for(const NormSize& size, int64_t groups, DType dtype, int derivative, bool masked);

template <class C, int n>
struct Values {
  C at[n];
};
// A vector that is read whole, before anything is made of it: compilers would split it into its elements.
template <int vec, class T>
struct Raw {
  static constexpr int bytes = sizeof(T) * vec;
  uint32_t words[bytes / 4];

  __device__ void read(const T* at) { memcpy(words, __builtin_assume_aligned(at, bytes), bytes); }
  __device__ Compute<T> operator[](int v) const {
    constexpr int per_word = 4 / sizeof(T);
    uint32_t word = words[v / per_word];
    if constexpr (std::is_same_v<T, uint8_t>)
      return word >> 8 * (v % 4) & 0xffu;
    else
      return std::bit_cast<float>(per_word == 1 ? word : v % 2 == 0 ? word << 16 : word & 0xffff0000u);
  }
};
template <int vec, class T>
__device__ Values<Compute<T>, vec> read(const T* at) {
  Raw<vec, T> raw;
  raw.read(at);
  Values<Compute<T>, vec> out;
  for (int v = 0; v < vec; ++v) out.at[v] = raw[v];
  return out;
}
template <int vec, class T>
__device__ void write(T* at, const Values<Compute<T>, vec>& from) {
  Pack<T, vec> out;
#ifdef __CUDA_ARCH__
  if constexpr (std::is_same_v<T, BFloat16>)  // two at once
    for (int i = 0; i < vec; i += 2)
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;"
          : "=r"(reinterpret_cast<uint32_t&>(out.at[i]))
          : "f"(from.at[i + 1]), "f"(from.at[i]));
  else
#endif
    for (int v = 0; v < vec; ++v) out.at[v] = static_cast<T>(from.at[v]);
  pack_at<vec>(at) = out;
}

template <int vec, class T>
__device__ void copy_to_shared(T* to, const T* from) {
  __pipeline_memcpy_async(to, from, sizeof(Pack<T, vec>));
}
template <class V>
__device__ V* shared_at(int offset) {
  return reinterpret_cast<V*>(dynamic_shared() + offset);
}
__device__ inline void fetch_into_cache([[maybe_unused]] const void* at) {  // where it waits for its read
#ifdef __CUDA_ARCH__
  asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
#endif
}
// What the lane `delta` above has.
template <class C, int n>
__device__ Values<C, n> shuffle_down(const Values<C, n>& x, int delta) {
#ifdef VAPO_EMULATED_CUDA
  return emulated::shuffle_down(x, delta);
#else
  Values<C, n> out;
  for (int k = 0; k < n; ++k) out.at[k] = __shfl_down_sync(0xffffffffu, x.at[k], delta);
  return out;
#endif
}

template <int vec>
struct Place {                          // of one thread
  int thread, part, line, slot, first;  // `line`: of its warp; `first`: channel of the block
  bool works;
  int64_t image, nc, ng;  // where the block begins in images, in (N, C) and in (N, groups)
  const Rows& r;

  __device__ explicit Place(const Rows& rows) : r(rows) {
    thread = static_cast<int>(threadIdx.x);
    int warp = thread / 32, lane = thread % 32;
    part = r.by_warps.quotient(warp), line = r.by_lanes.quotient(lane);
    slot = (warp - part * r.warps) * 32 + lane - line * r.lanes;
    works = line < r.lines && slot < r.slots;
    if (slot >= r.slots) slot = 0;
    first = slot * vec;
    int n = static_cast<int>(blockIdx.x) / r.spans, span = static_cast<int>(blockIdx.x) - n * r.spans;
    nc = n * r.channels + span * r.width, ng = int64_t{n} * r.groups_of_all + span * r.groups;
    image = n * r.channels * r.pixels + span * r.width;
  }
  __device__ int group_of(int v) const { return r.by_group.quotient(first + v); }  // in the block
  // f(i, j) for this thread's vectors, at i in shared memory and at j in images.
  template <class F>
  __device__ void each(const F& f) const {
    if (!works) return;
    for (int p = part * r.lines + line; p < r.pixels; p += r.parts * r.lines)
      f(p * r.width + first, image + p * r.channels + first);
  }
  // f(i, k) for the block's groups or channels i, as `by` divides, and k < count; each by one thread.
  template <class F>
  __device__ void share(int size, const Divisor<int>& by, int count, const F& f) const {
    for (int i = thread; i < size * count; i += r.threads) {
      int k = by.quotient(i);
      f(i - k * size, k);
    }
  }
  // The sums of x over each part's lines go where sum_of looks for them. Whoever comes back may.
  template <class C, int n>
  __device__ void sum_lines(Values<C, n> x) const {
#pragma unroll 1
    for (int rest = r.lines; rest > 1;) {
      int half = (rest + 1) / 2;
      Values<C, n> other = shuffle_down(x, half * r.lanes);
      if (line + half < rest)
        for (int k = 0; k < n; ++k) x.at[k] += other.at[k];
      rest = half;
    }
    if (works && line == 0) reinterpret_cast<Values<C, n>*>(shared_at<C>(r.exchange))[part * r.slots + slot] = x;
    __syncthreads();
  }
  // Over the parts: of x.at[k] in that slot; and of x.at[k + u] over all units of a group, of which a slot has `units`.
  template <int n, class S, class C>
  __device__ S sum_of(int of_slot, int k) const {
    S sum = 0;
    for (int i = 0; i < r.parts; ++i)
      sum += static_cast<S>(shared_at<C>(r.exchange)[(i * r.slots + of_slot) * n + k]);
    return sum;
  }
  template <int n, int units, class S, class C>
  __device__ S sum_of_group(int group, int k) const {
    S sum = 0;
    int count = r.group * units / vec;
    for (int u = group * count; u < (group + 1) * count; ++u) sum += sum_of<n, S, C>(u / units, k + u % units);
    return sum;
  }
  // The means over each of the block's groups of `count` values, that of x.at[k + units·j] into to[groups·j + group].
  template <int n, int units, class C>
  __device__ void means(int count, int k, C* to) const {
    share(r.groups, r.by_groups, count, [&](int group, int j) {
      C sum = sum_of_group<n, units, C, C>(group, k + units * j);
      to[r.groups * j + group] = sum / (static_cast<C>(r.pixels) * static_cast<C>(r.group));
    });
    __syncthreads();
  }
};

}  // namespace vapo::cuda
