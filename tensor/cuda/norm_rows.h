#pragma once
// Group normalisation in one pass over device memory: a block copies rows (sample, group) of neighbouring groups into
// shared memory, where each thread has the vectors of 16 bytes that it alone works on, so that neither conflicts of
// banks nor barriers lie between a copy and its use. Where registers hold these, or shared memory holds them twice, what
// comes next is on its way while they are worked on. How rows are shared out, and what all threads do.

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

// Of a block of the forward pass and of the two derivatives, and how many such blocks have registers enough at once;
// and the vectors of an operand that one of their threads can hold.
inline constexpr int most_threads[] = {512, 512, 512}, least_blocks[] = {2, 1, 1}, most_held = 4;

// What a block takes at once, an item: `width` neighbouring channels of one sample, of a pixel `slots` vectors. These
// lie in `lanes` lanes (a power of two) of `warps` warps, and a warp has `lines` pixels at once; `parts` such (groups
// of) warps share the pixels.
struct Rows {
  int64_t channels;  // of a sample, as are `groups_of_all`
  int groups_of_all, pixels, group, width, groups, slots,
      spans;          // `groups` of `group` channels; `spans` items to a sample
  int items, blocks;  // which take one item after the other
  int vec, lanes, warps, lines, parts, threads;
  bool held;   // in registers
  int stages;  // what shared memory holds of these
  Divisor<int> by_group, by_groups, by_lanes, by_warps, by_spans;
  int operand[3], mask, exchange, totals, scalars, bytes;  // offsets into shared memory
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

  __device__ void read(const T* at) {
#ifdef __CUDA_ARCH__
    if constexpr (bytes == 16 && sizeof(T) == 2) {  // else of shared memory in halves
      uint4 v = *reinterpret_cast<const uint4*>(at);
      words[0] = v.x, words[1] = v.y, words[2] = v.z, words[3] = v.w;
      return;
    }
#endif
    memcpy(words, __builtin_assume_aligned(at, bytes), bytes);
  }
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
// What the lane at distance `reach` has.
template <class C, int n>
__device__ Values<C, n> shuffle_xor(const Values<C, n>& x, int reach) {
#ifdef VAPO_EMULATED_CUDA
  return emulated::shuffle_xor(x, reach);
#else
  Values<C, n> out;
  for (int k = 0; k < n; ++k) out.at[k] = __shfl_xor_sync(0xffffffffu, x.at[k], reach);
  return out;
#endif
}

template <int vec, int held>
struct Place {                                // of one thread
  int thread, part, lane, line, slot, first;  // `line`: of its warp; `first`: channel of the item
  bool works;
  int64_t image, nc, ng;  // where the item begins in images, in (N, C) and in (N, groups)
  int stage = 0;          // where it begins in shared memory
  const Rows& r;

  __device__ explicit Place(const Rows& rows) : r(rows) {
    thread = static_cast<int>(threadIdx.x), lane = thread % 32;
    int warp = thread / 32;
    part = r.by_warps.quotient(warp), line = r.by_lanes.quotient(lane);
    slot = (warp - part * r.warps) * 32 + lane - line * r.lanes;
    works = slot < r.slots;
    if (!works) slot = 0;
    first = slot * vec;
    go_to(static_cast<int>(blockIdx.x));
  }
  __device__ void go_to(int item) {
    int n = r.by_spans.quotient(item), span = item - n * r.spans;
    nc = n * r.channels + span * r.width, ng = int64_t{n} * r.groups_of_all + span * r.groups;
    image = n * r.channels * r.pixels + span * r.width;
  }
  __device__ int group_of(int v) const { return r.by_group.quotient(first + v); }  // in the item
  // f(k, i, j) for this thread's vectors, number k, at i in shared memory and at j in images.
  template <class F>
  __device__ void each(const F& f) const {
    if (!works) return;
    int step = r.parts * r.lines, p = part * r.lines + line;
    auto with = [&](int k) { f(k, stage + p * r.width + first, image + p * r.channels + first); };
    if constexpr (held > 0) {
#pragma unroll
      for (int k = 0; k < held; ++k, p += step)
        if (p < r.pixels) with(k);
    } else {
      for (; p < r.pixels; p += step) with(0);
    }
  }
  // f(i, k) for the item's groups i and k < count; each by one thread.
  template <class F>
  __device__ void share(int count, const F& f) const {
    for (int i = thread; i < r.groups * count; i += r.threads) {
      int k = r.by_groups.quotient(i);
      f(i - k * r.groups, k);
    }
  }
  // The sums of x over all pixels, for each slot, to where total_of looks for them: lanes of one slot share the values
  // out among them, half of them at a time. f(slot, k, sum) for each, by the thread that has it. Who comes back may read.
  template <class S, class C, int n, class F>
  __device__ void sum_up(const Values<C, n>& x, const F& f) const {
    C* exchange = shared_at<C>(r.exchange);
    halve(x, 16, 0, n, exchange + (part * r.slots + slot) * n);
    __syncthreads();
    for (int i = thread; i < r.slots * n; i += r.threads) {
      S sum = 0;
      for (int p = 0; p < r.parts; ++p) sum += static_cast<S>(exchange[p * r.slots * n + i]);
      shared_at<S>(r.totals)[i] = sum;
      int of_slot = i / n;
      f(of_slot, i - of_slot * n, sum);
    }
    __syncthreads();
  }
  template <class S, int n, class C>
  __device__ void sum_up(const Values<C, n>& x) const {
    sum_up<S>(x, [](int, int, S) {});
  }
  // Of x.at[k + u] over all units of a group, of which a slot has `units`.
  template <class S, int n, int units>
  __device__ S total_of(int group, int k) const {
    S sum = 0;
    int count = r.group * units / vec;
    for (int u = group * count; u < (group + 1) * count; ++u)
      sum += shared_at<S>(r.totals)[u / units * n + k + u % units];
    return sum;
  }
  // The means over each of the item's groups of `count` values, that of x.at[k + units·j] into to[groups·j + group].
  template <int n, int units, class C>
  __device__ void means(int count, int k, C* to) const {
    share(count, [&](int group, int j) {
      C sum = total_of<C, n, units>(group, k + units * j);
      to[r.groups * j + group] = sum / (static_cast<C>(r.pixels) * static_cast<C>(r.group));
    });
    __syncthreads();
  }

 private:
  // x.at[0], x.at[1], … belong to to[from], to[from + 1], …, before `end`.
  template <class C, int n>
  __device__ void halve(Values<C, n> x, int reach, int from, int end, C* to) const {
    if (n == 1 || reach < r.lanes) {
      for (; reach >= r.lanes; reach /= 2) {
        x.at[0] += shuffle_xor(x, reach).at[0];
        if (lane & reach) end = from;
      }
      if (works)
        for (int k = 0; k < n; ++k)
          if (from + k < end) to[from + k] = x.at[k];
    } else if constexpr (n > 1) {
      constexpr int half = (n + 1) / 2;
      bool upper = lane & reach;
      Values<C, half> kept, given;
      for (int k = 0; k < half; ++k) {
        C low = x.at[k], high = k + half < n ? x.at[k + half] : C(0);
        kept.at[k] = upper ? high : low, given.at[k] = upper ? low : high;
      }
      given = shuffle_xor(given, reach);
      for (int k = 0; k < half; ++k) kept.at[k] += given.at[k];
      halve(kept, reach / 2, upper ? from + half : from, upper || end < from + half ? end : from + half, to);
    }
  }
};

// A thread's vectors of one operand: in registers, or where they were copied to.
template <class T, int vec, int held>
struct Kept {
  T* shared;
  Raw<vec, T> at[held > 0 ? held : 1];

  __device__ explicit Kept(int offset) : shared(shared_at<T>(offset)) {}
  __device__ void fetch(int i, const T* from) const { copy_to_shared<vec>(shared + i, from); }
  __device__ void take(int k, int i) {
    if constexpr (held > 0) at[k].read(shared + i);
  }
  __device__ Values<Compute<T>, vec> get(int k, int i) const {
    Raw<vec, T> raw = at[held > 0 ? k : 0];
    if constexpr (held == 0) raw.read(shared + i);
    Values<Compute<T>, vec> out;
    for (int v = 0; v < vec; ++v) out.at[v] = raw[v];
    return out;
  }
};

}  // namespace vapo::cuda
