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
  __device__ Channels(const Place<vec>& at, const C* as, const C* ss, const C* means, const C* rests,
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

// The dropout mask's factors, in shared memory.
template <class C, int vec>
struct Mask {
  const uint8_t* from;  // may be null
  uint8_t* kept;
  C scale;

  template <class T>
  __device__ Mask(const Rows& r, const Operands<T>& o)
      : from(o.mask), kept(shared_at<uint8_t>(r.mask)), scale(o.mask_scale) {}
  __device__ void fetch(int i, int64_t j) const {
    if (from) copy_to_shared<vec>(kept + i, from + j);
  }
  __device__ void apply(Values<C, vec>& x, int i) const {
    if (!from) return;
    Values<uint8_t, vec> k = read<vec>(kept + i);
    for (int v = 0; v < vec; ++v) x.at[v] *= static_cast<C>(k.at[v]) * scale;
  }
};

// An addend's vectors, or none: each is read while the one before it is worked on.
template <class T, int vec>
struct Addend {
  const T* from;
  int64_t step, end;
  Raw<vec, T> next{};

  __device__ Addend(const Place<vec>& at, const T* x)
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
template <class T, class C, int vec, int units>
__device__ void finish_sums(const Place<vec>& at, const Operands<T>& o, const C (&ds)[vec], const C (&da)[vec],
                            const C (&one)[units], const C (&y)[units], C* scalars) {
  constexpr int n = 2 * (vec + units);
  Values<C, n> total;
  for (int v = 0; v < vec; ++v) total.at[v] = ds[v], total.at[vec + v] = da[v];
  for (int u = 0; u < units; ++u) total.at[2 * vec + u] = one[u], total.at[2 * vec + units + u] = y[u];
  at.sum_lines(total);
  const Rows& r = at.r;
  at.share(r.width, r.by_width, 2, [&](int c, int of) {
    (of == 0 ? o.ds : o.da)[at.nc + c] = at.template sum_of<n, C, C>(c / vec, of * vec + c % vec);
  });
  at.template means<n, units>(2, 2 * vec, scalars);
}

template <class T>
Operands<T> operands(const NormCall& call) {
  using C = Compute<T>;
  return {pointer<T>(call.x),
          pointer_or_null<T>(call.g),
          pointer_or_null<T>(call.u),
          pointer_or_null<T>(call.add_dx),
          pointer_or_null<T>(call.add_dg),
          pointer<C>(call.a),
          pointer<C>(call.s),
          pointer_or_null<C>(call.ua),
          pointer_or_null<C>(call.us),
          pointer<C>(call.stats.mean),
          pointer<C>(call.stats.rest),
          pointer<C>(call.stats.rstd),
          pointer_or_null<C>(call.grads.da),
          pointer_or_null<C>(call.grads.ds),
          pointer_or_null<uint8_t>(call.p.mask),
          static_cast<C>(call.p.mask_scale)};
}

// launch<T, whether φ is silu, vector's length, units of it>(rows) where rows fit.
template <class F>
bool in_rows(const NormCall& call, int derivative, const F& launch) {
  DType dtype = call.x.dtype();
  std::optional<Rows> rows = rows_for(call.size, call.p.groups, dtype, derivative, call.p.mask.defined());
  if (!rows || call.size.n == 0) return rows.has_value();
  auto with = [&]<bool silu>() {
    if (dtype == DType::f32)
      launch.template operator()<float, silu, 4, 4>(*rows);
    else if (rows->vec == 4)
      launch.template operator()<BFloat16, silu, 4, 4>(*rows);
    else
      launch.template operator()<BFloat16, silu, 8, 2>(*rows);
  };
  call.p.silu ? with.template operator()<true>() : with.template operator()<false>();
  return true;
}
template <class... Parameters, class... Arguments>
void launch_rows(const char* op, void (*kernel)(Rows, Parameters...), const NormCall& call, const Rows& r,
                 const Arguments&... arguments) {
  launch_with_shared(op, kernel, static_cast<unsigned>(call.size.n * r.spans), static_cast<unsigned>(r.threads),
                     static_cast<size_t>(r.bytes), r, arguments...);
}

}  // namespace vapo::cuda
