#pragma once
// What the kernels of norm_rows.cu and norm_rows_vjp2.cu have in common: operands, an element's functions, what a
// thread's channels share, a derivative's last sums, and how they are started. With d = x − mean, of which
// ŷ = rstd·d + shift, every sum over ŷ is one over d. For each channel a thread sums in its own registers; what
// coefficients need are sums over a group, weighted by a, and these alone the threads exchange: of the vjp Σk and Σkŷ,
// of the second derivative Σu, Σuŷ, Σk, Σkŷ, Σku and then, ż being known, Σv and Σvŷ with v = e·a + h·ua (the names
// of tensor/norm_formulas.h). Of a channel, da and ds are exchanged at the end.

#include "tensor/cuda/norm_rows.h"

namespace vapo::cuda {

template <class T>
struct Operands {
  const T *x, *g, *u, *add_dx, *add_dg;
  const Compute<T>*a, *s, *ua, *us;
  const Compute<T>*add_da, *add_ds;
  Compute<T>*mean, *rest, *rstd, *da, *ds;
  const uint8_t* mask;
  Compute<T> mask_scale;
};

// σ(z) and 1 − σ(z): of bf16 by the two approximations of the hardware, to 22 bits.
template <class T>
__device__ detail::Sigmoid2<Compute<T>> sigmoid_of(Compute<T> z) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    float e = z * -1.44269504f, s;
#ifdef __CUDA_ARCH__
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"(e));
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(s) : "f"(1 + e));
#else
    s = 1 / (1 + std::exp2(e));
#endif
    return {s, 1 - s};
  } else {
    return detail::sigmoid2(z);
  }
}
template <class T, bool silu>
__device__ Compute<T> phi(Compute<T> z) {
  if constexpr (silu) z = detail::above(z) * sigmoid_of<T>(z).s;
  return z;
}
template <class T, bool silu>
struct Slopes {  // φ' and φ'' at a finite z, from one σ(z)
  Compute<T> first = 1, second = 0;
  __device__ explicit Slopes([[maybe_unused]] Compute<T> z) {
    if constexpr (silu) {
      auto [s, c] = sigmoid_of<T>(z);
      Compute<T> t = z * s;
      first = s + t * c, second = c * (first + (s - s * t));
    }
  }
};

// What a thread's channels have in common: ŷ = rstd·d + shift and z = scale·d + offset, scale being a·rstd. A vector is
// of `units` units, each of which lies in one group.
template <class C, int vec, int units>
struct Channels {
  int group[units];  // in the block
  C mean[units], rstd[units], shift[units], scale[vec], offset[vec];

  // `limit`: of z at d = 0
  template <int held>
  __device__ Channels(const Place<vec, held>& at, const C* as, const C* ss, const C* means, const C* rests,
                      const C* rstds, C limit) {
    Values<C, vec> a = read<vec>(as + at.nc + at.first), s = read<vec>(ss + at.nc + at.first);
    for (int u = 0; u < units; ++u) {
      int g = group[u] = at.group_of(u * (vec / units));
      mean[u] = means[g], rstd[u] = rstds[g], shift[u] = -rstd[u] * rests[g];
    }
    for (int v = 0; v < vec; ++v) {
      int u = v * units / vec;
      C z = a.at[v] * shift[u] + s.at[v];
      scale[v] = a.at[v] * rstd[u], offset[v] = z > limit ? limit : z < -limit ? -limit : z;
    }
  }
  __device__ C d(C x, int v) const { return x - mean[v * units / vec]; }
  __device__ C z(C d, int v) const { return scale[v] * d + offset[v]; }
};
// Where slopes alone are asked for: they are at their limits there, but of an infinite z would have 0·∞ in them.
template <class C>
inline constexpr C far = C(1e30);

// The dropout mask's factors: bits in a register, or bytes in shared memory.
template <class C, int vec, int held>
struct Mask {
  const uint8_t* from;  // may be null
  uint8_t* shared;
  C scale;
  uint32_t bits = 0;
  static_assert(vec * held <= 32);

  template <class T>
  __device__ Mask(const Rows& r, const Operands<T>& o)
      : from(o.mask), shared(shared_at<uint8_t>(r.mask)), scale(o.mask_scale) {}
  __device__ void fetch(int i, int64_t j) const {
    if (from) copy_to_shared<vec>(shared + i, from + j);
  }
  __device__ void take(int k, int i) {
    if (held == 0 || !from) return;
    Values<uint32_t, vec> ones = bytes(i);
    if (k == 0) bits = 0;
    for (int v = 0; v < vec; ++v) bits |= ones.at[v] << (k * vec + v);
  }
  __device__ void apply(Values<C, vec>& x, int k, int i) const {
    if (!from) return;
    if constexpr (held > 0) {
      for (int v = 0; v < vec; ++v) x.at[v] *= bits >> (k * vec + v) & 1 ? scale : C(0);
    } else {
      Values<uint32_t, vec> ones = bytes(i);
      for (int v = 0; v < vec; ++v) x.at[v] *= static_cast<C>(ones.at[v]) * scale;
    }
  }

 private:
  __device__ Values<uint32_t, vec> bytes(int i) const {
    Raw<vec, uint8_t> raw;
    raw.read(shared + i);
    Values<uint32_t, vec> out;
    for (int v = 0; v < vec; ++v) out.at[v] = raw[v];
    return out;
  }
};

// An addend's vectors, or none: each is read while the one before it is worked on.
template <class T, int vec>
struct Addend {
  const T* from;
  int64_t step, end;
  Raw<vec, T> next{};

  template <int held>
  __device__ Addend(const Place<vec, held>& at, const T* x)
      : from(x),
        step(int64_t{at.r.parts} * at.r.lines * at.r.channels),
        end(at.image + at.r.pixels * at.r.channels) {
    int64_t j = at.image + (at.part * at.r.lines + at.line) * at.r.channels + at.first;
    if (from && at.works && j < end) next.read(from + j);
  }
  __device__ void add_to(Values<Compute<T>, vec>& x, int64_t j) {
    if (!from) return;
    Raw<vec, T> now = next;
    if (j + step < end) next.read(from + j + step);
    for (int v = 0; v < vec; ++v) x.at[v] += now[v];
  }
};

// The last sums of a derivative: ds and da to their places, and the means over each group of two values, whose sums
// over the thread's units are `one` and `y`, into scalars[i] and scalars[groups + i].
template <class T, class C, int vec, int held, int units>
__device__ void finish_sums(const Place<vec, held>& at, const Operands<T>& o, const C (&ds)[vec],
                            const C (&da)[vec], const C (&one)[units], const C (&y)[units], C* scalars) {
  constexpr int n = 2 * (vec + units);
  Values<C, n> total;
  for (int v = 0; v < vec; ++v) total.at[v] = ds[v], total.at[vec + v] = da[v];
  for (int u = 0; u < units; ++u) total.at[2 * vec + u] = one[u], total.at[2 * vec + units + u] = y[u];
  at.template sum_up<C>(total, [&](int slot, int k, C sum) {
    if (k >= 2 * vec) return;
    int64_t c = at.nc + slot * vec + k % vec;
    const C* add = k < vec ? o.add_ds : o.add_da;
    (k < vec ? o.ds : o.da)[c] = add ? sum + add[c] : sum;
  });
  at.template means<n, units>(2, 2 * vec, scalars);
}

template <class T>
Operands<T> operands(const NormCall& call) {
  using C = Compute<T>;
  return {pointer<T>(call.x),
          pointer_or_null<T>(call.g),
          pointer_or_null<T>(call.u),
          pointer_or_null<T>(call.add.dx),
          pointer_or_null<T>(call.add.dg),
          pointer<C>(call.a),
          pointer<C>(call.s),
          pointer_or_null<C>(call.ua),
          pointer_or_null<C>(call.us),
          pointer_or_null<C>(call.add.da),
          pointer_or_null<C>(call.add.ds),
          pointer<C>(call.stats.mean),
          pointer<C>(call.stats.rest),
          pointer<C>(call.stats.rstd),
          pointer_or_null<C>(call.grads.da),
          pointer_or_null<C>(call.grads.ds),
          pointer_or_null<uint8_t>(call.p.mask),
          static_cast<C>(call.p.mask_scale)};
}

// The block's items, one after the other: of each, copy() starts what brings it into shared memory, take() brings a
// vector into registers, where these hold it, and work() does the rest, while the next is on its way.
template <int vec, int held, class Copy, class Take, class Work>
__device__ void for_items(Place<vec, held>& at, const Copy& copy, const Take& take, const Work& work) {
  const Rows& r = at.r;
  int step = static_cast<int>(gridDim.x), other = r.stages == 2 ? r.pixels * r.width : 0;
  auto fetch = [&] {
    copy();
    __pipeline_commit();
  };
  auto fetch_next = [&](int item) {
    if (item + step >= r.items) return false;
    at.go_to(item + step), at.stage = other - at.stage;
    fetch();
    at.go_to(item), at.stage = other - at.stage;
    return true;
  };
  fetch();
  for (int item = static_cast<int>(blockIdx.x); item < r.items; item += step, at.go_to(item)) {
    if constexpr (held > 0) {
      __pipeline_wait_prior(0);
      at.each([&](int k, int i, int64_t) { take(k, i); });
      fetch_next(item);
    } else if (r.stages == 2 && fetch_next(item)) {
      __pipeline_wait_prior(1);
    } else {
      __pipeline_wait_prior(0);
    }
    work();
    at.stage = other - at.stage;
  }
}
// What coefficients are made of, on the way to where it is quickly read.
template <class T, int vec, int held>
__device__ void fetch_coefficients(const Place<vec, held>& at, const Operands<T>& o) {
  if (at.thread == 0) {
    fetch_into_cache(o.a + at.nc), fetch_into_cache(o.s + at.nc);
    if (o.ua) fetch_into_cache(o.ua + at.nc);
    if (o.us) fetch_into_cache(o.us + at.nc);
    fetch_into_cache(o.mean + at.ng), fetch_into_cache(o.rest + at.ng), fetch_into_cache(o.rstd + at.ng);
  }
}

// launch<T, whether φ is silu, vector's length, units of it, vectors in registers>(rows) where rows fit.
template <int most_held, class F>
bool in_rows(const NormCall& call, int derivative, const F& launch) {
  DType dtype = call.x.dtype();
  std::optional<Rows> rows = rows_for(call.size, call.p.groups, dtype, derivative, call.p.mask.defined());
  if (!rows || call.size.n == 0) return rows.has_value();
  auto with = [&]<bool silu, int held>() {
    if (dtype == DType::f32)
      launch.template operator()<float, silu, 4, 4, held>(*rows);
    else if (rows->vec == 4)
      launch.template operator()<BFloat16, silu, 4, 4, held>(*rows);
    else
      launch.template operator()<BFloat16, silu, 8, 2, held>(*rows);
  };
  auto of_kind = [&]<bool silu>() {
    rows->held ? with.template operator()<silu, most_held>() : with.template operator()<silu, 0>();
  };
  call.p.silu ? of_kind.template operator()<true>() : of_kind.template operator()<false>();
  return true;
}
template <class... Parameters, class... Arguments>
void launch_rows(const char* op, void (*kernel)(Rows, Parameters...), const Rows& r,
                 const Arguments&... arguments) {
  launch_with_shared(op, kernel, static_cast<unsigned>(r.blocks), static_cast<unsigned>(r.threads),
                     static_cast<size_t>(r.bytes), r, arguments...);
}

}  // namespace vapo::cuda
