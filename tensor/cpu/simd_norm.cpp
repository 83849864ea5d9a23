// Group normalisation's loops, compiled once for each instruction set. Pixels are taken in blocks, and some vectors
// of channels through a block, so that the sums of a block stay in registers and memory is read nearly in its order.

#include "tensor/cpu/simd_norm.h"

#include <hwy/cache_control.h>

#include <algorithm>

#include "tensor/cpu/pack.h"
#include "tensor/functions.h"

namespace vapo::cpu::VAPO_ISA {
namespace {

// V vectors of neighbouring channels as one value.
#define VAPO_EACH _Pragma("GCC unroll 8") for (int k = 0; k < V; ++k)
template <class T, int V>
struct Packs {
  Pack<T> p[V];
  Packs() = default;
  VAPO_PACK explicit Packs(double value) { VAPO_EACH p[k] = Pack<T>(value); }
  friend VAPO_PACK Packs operator+(const Packs& a, const Packs& b) {
    Packs y;
    VAPO_EACH y.p[k] = a.p[k] + b.p[k];
    return y;
  }
  friend VAPO_PACK Packs operator-(const Packs& a, const Packs& b) {
    Packs y;
    VAPO_EACH y.p[k] = a.p[k] - b.p[k];
    return y;
  }
  friend VAPO_PACK Packs operator*(const Packs& a, const Packs& b) {
    Packs y;
    VAPO_EACH y.p[k] = a.p[k] * b.p[k];
    return y;
  }
  friend VAPO_PACK Packs multiply_add(const Packs& a, const Packs& b, const Packs& c) {
    Packs y;
    VAPO_EACH y.p[k] = multiply_add(a.p[k], b.p[k], c.p[k]);
    return y;
  }
};
template <class F, class T, int V>
VAPO_PACK Packs<T, V> apply(const Packs<T, V>& x) {
  Packs<T, V> y;
  VAPO_EACH y.p[k] = F::apply(x.p[k], 0);
  return y;
}

// Loads and stores V whole vectors, or what is left of the channels.
template <class T, int V>
struct Whole {
  using P = Packs<T, V>;
  static constexpr int64_t lanes = Pack<T>::lanes;
  VAPO_PACK P load(const T* p) const {
    P y;
    VAPO_EACH y.p[k] = Pack<T>::load(p + k * lanes);
    return y;
  }
  VAPO_PACK void store(const P& x, T* p) const { VAPO_EACH x.p[k].store(p + k * lanes); }
  VAPO_PACK void stream(const P& x, T* p) const { VAPO_EACH x.p[k].stream(p + k * lanes); }
  VAPO_PACK P load_bytes(const uint8_t* p) const {
    alignas(64) T m[V * lanes];
    for (int64_t k = 0; k < V * lanes; ++k) m[k] = static_cast<T>(p[k]);
    return load(m);
  }
};
template <class T>
struct Part {
  using P = Packs<T, 1>;
  int64_t count;
  VAPO_PACK P load(const T* p) const { return of(Pack<T>::load_part(p, count)); }
  VAPO_PACK void store(const P& x, T* p) const { x.p[0].store_part(p, count); }
  VAPO_PACK P load_bytes(const uint8_t* p) const {
    alignas(64) T m[Pack<T>::lanes] = {};
    for (int64_t k = 0; k < count; ++k) m[k] = static_cast<T>(p[k]);
    return of(Pack<T>::load(m));
  }
  VAPO_PACK static P of(Pack<T> x) {
    P y;
    y.p[0] = x;
    return y;
  }
};
#undef VAPO_EACH
// f(c, access, first pixel, last pixel) for all channels of every block of pixels, V vectors at once where there
// are as many.
template <int V, class T, class F>
VAPO_PACK void for_channels(const NormRows<T>& n, F f) {
  constexpr int64_t lanes = Pack<T>::lanes, block = V > 4 ? 16 : 8;
  for (int64_t begin = 0; begin < n.pixels; begin += block) {
    int64_t end = std::min(n.pixels, begin + block), c = 0;
    for (; c + V * lanes <= n.channels; c += V * lanes) f(c, Whole<T, V>{}, begin, end);
    if constexpr (V > 1)
      for (; c + lanes <= n.channels; c += lanes) f(c, Whole<T, 1>{}, begin, end);
    if (c < n.channels) f(c, Part<T>{n.channels - c}, begin, end);
  }
  if (n.stream) hwy::FlushStream();
}
template <class T, class Access>
VAPO_PACK void add_to(T* sums, int64_t c, const Access& at, const typename Access::P& x, bool first) {
  at.store(first ? x : at.load(sums + c) + x, sums + c);
}

// A result, which where it is too large for the caches goes past them.
template <class T, class Access>
VAPO_PACK void write(const NormRows<T>& n, const Access& at, const typename Access::P& x, T* to) {
  if constexpr (requires { at.stream(x, to); })
    if (n.stream) return at.stream(x, to);
  at.store(x, to);
}

template <class T, class Access>
VAPO_PACK typename Access::P masked(const NormRows<T>& n, const Access& at, int64_t i,
                                    const typename Access::P& x) {
  if (!n.mask) return x;
  return x * at.load_bytes(n.mask + i) * typename Access::P(static_cast<double>(n.mask_scale));
}

template <class T>
void moments(const NormRows<T>& n, const T* x, T* sum, T* squares) {
  for_channels<8>(n, [&](int64_t c, auto at, int64_t begin, int64_t end) VAPO_INLINE {
    using P = typename decltype(at)::P;
    P origin = at.load(x + c), s(0.), s2(0.);
    for (int64_t p = begin; p < end; ++p) {
      P d = at.load(x + p * n.stride + c) - origin;
      s = s + d, s2 = multiply_add(d, d, s2);
    }
    add_to(sum, c, at, s, begin == 0), add_to(squares, c, at, s2, begin == 0);
  });
}

template <class T, bool silu>
void forward(const NormRows<T>& n, const T* x, T* y) {
  for_channels<silu ? 2 : 4>(n, [&](int64_t c, auto at, int64_t begin, int64_t end) VAPO_INLINE {
    using P = typename decltype(at)::P;
    P m = at.load(n.m + c), a = at.load(n.a + c), ar = a * at.load(n.r + c),
      s = multiply_add(a, at.load(n.q + c), at.load(n.s + c));
    for (int64_t p = begin; p < end; ++p) {
      int64_t i = p * n.stride + c;
      write(n, at, masked(n, at, i, norm_phi<silu>(multiply_add(ar, at.load(x + i) - m, s))), y + i);
    }
  });
}

// What the elements of some channels have in common; with it, an element's ŷ and z.
template <class P>
struct Elements {
  P m, r, q, a, s;
  template <class T, class Access>
  VAPO_PACK Elements(const NormRows<T>& n, const Access& at, int64_t c)
      : m(at.load(n.m + c)), r(at.load(n.r + c)), q(at.load(n.q + c)), a(at.load(n.a + c)), s(at.load(n.s + c)) {}
  VAPO_PACK P y(const P& x) const { return multiply_add(r, x - m, q); }
  VAPO_PACK P z(const P& y) const { return multiply_add(a, y, s); }
};

template <class T, bool silu>
void vjp_sums(const NormRows<T>& n, const T* x, const T* g, T* h, T* sum_h, T* sum_hy) {
  for_channels<silu ? 2 : 4>(n, [&](int64_t c, auto at, int64_t begin, int64_t end) VAPO_INLINE {
    using P = typename decltype(at)::P;
    Elements<P> elements(n, at, c);
    P total[NormSum::count] = {P(0.), P(0.)};
    for (int64_t p = begin; p < end; ++p) {
      int64_t i = p * n.stride + c;
      P y = elements.y(at.load(x + i)), mg = masked(n, at, i, at.load(g + i));
      at.store(NormElement<P, silu>{y, elements.z(y)}.add_vjp(mg, total), h + i);
    }
    add_to(sum_h, c, at, total[NormSum::h], begin == 0), add_to(sum_hy, c, at, total[NormSum::hy], begin == 0);
  });
}

template <class T>
void vjp_map(const NormRows<T>& n, const T* x, const T* h, const ChannelArrays<T>& k, T* dx) {
  for_channels<4>(n, [&](int64_t c, auto at, int64_t begin, int64_t end) VAPO_INLINE {
    using P = typename decltype(at)::P;
    Elements<P> elements(n, at, c);
    P kh = at.load(k[NormMap::h] + c), ky = at.load(k[NormMap::y] + c), k1 = at.load(k[NormMap::one] + c);
    for (int64_t p = begin; p < end; ++p) {
      int64_t i = p * n.stride + c;
      P y = elements.y(at.load(x + i));
      write(n, at, multiply_add(kh, at.load(h + i), multiply_add(ky, y, k1)), dx + i);
    }
  });
}

template <class T, bool silu>
void vjp2_sums(const NormRows<T>& n, const T* x, const T* g, const T* u, const ChannelArrays<T>& sums) {
  for_channels<silu ? 1 : 2>(n, [&](int64_t c, auto at, int64_t begin, int64_t end) VAPO_INLINE {
    using P = typename decltype(at)::P;
    Elements<P> elements(n, at, c);
    constexpr int count = silu ? NormSum2::count : NormSum2::count_of_identity;
    P total[count];
#pragma GCC unroll 10
    for (P& sum : total) sum = P(0.);
    for (int64_t p = begin; p < end; ++p) {
      int64_t i = p * n.stride + c;
      P y = elements.y(at.load(x + i)), vu = at.load(u + i), mg = masked(n, at, i, at.load(g + i));
      NormElement<P, silu>{y, elements.z(y)}.add_vjp2(mg, vu, total);
    }
#pragma GCC unroll 10
    for (int k = 0; k < count; ++k) add_to(sums[k], c, at, total[k], begin == 0);
    if (begin == 0)
      for (int k = count; k < NormSum2::count; ++k) at.store(P(0.), sums[k] + c);
  });
}

template <class T, bool silu>
void vjp2_map(const NormRows<T>& n, const T* x, const T* g, const T* u, const ChannelArrays<T>& k, T* dx, T* dg) {
  for_channels<silu ? 1 : 2>(n, [&](int64_t c, auto at, int64_t begin, int64_t end) VAPO_INLINE {
    using P = typename decltype(at)::P;
    using K = NormMap2;
    Elements<P> elements(n, at, c);
    P zu = at.load(k[K::zu] + c), zy = at.load(k[K::zy] + c), z1 = at.load(k[K::z1] + c), ke = at.load(k[K::e] + c),
      kh = at.load(k[K::h] + c), ku = at.load(k[K::u] + c), ky = at.load(k[K::y] + c), k1 = at.load(k[K::one] + c);
    for (int64_t p = begin; p < end; ++p) {
      int64_t i = p * n.stride + c;
      P y = elements.y(at.load(x + i)), vu = at.load(u + i), vg = at.load(g + i);
      P change = masked(n, at, i, multiply_add(zu, vu, multiply_add(zy, y, z1)));  // m·ż
      P h = masked(n, at, i, vg), out = multiply_add(ku, vu, multiply_add(ky, y, k1));
      if constexpr (silu) {
        P z = elements.z(y), slope = apply<SiluD1>(z);
        out = multiply_add(ke, vg * apply<SiluD2>(z) * change, out);
        h = h * slope, change = change * slope;
      }
      write(n, at, multiply_add(kh, h, out), dx + i);
      write(n, at, change, dg + i);
    }
  });
}

template <class T>
constexpr NormLoops<T> make_loops() {
  return {.moments = moments<T>,
          .forward = {forward<T, false>, forward<T, true>},
          .vjp_sums = {vjp_sums<T, false>, vjp_sums<T, true>},
          .vjp_map = vjp_map<T>,
          .vjp2_sums = {vjp2_sums<T, false>, vjp2_sums<T, true>},
          .vjp2_map = {vjp2_map<T, false>, vjp2_map<T, true>}};
}

}  // namespace

const NormLoops<float>& norm_loops32();
const NormLoops<double>& norm_loops64();
const NormLoops<float>& norm_loops32() {
  static constexpr NormLoops<float> loops = make_loops<float>();
  return loops;
}
const NormLoops<double>& norm_loops64() {
  static constexpr NormLoops<double> loops = make_loops<double>();
  return loops;
}

}  // namespace vapo::cpu::VAPO_ISA
