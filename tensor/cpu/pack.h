#pragma once
// Pack<T>: one SIMD register as a value that functions.h can be expanded over. Included by simd_loops.cpp alone,
// which is compiled once for each instruction set in a namespace of that name.

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cmath>
#include <limits>

#ifndef VAPO_ISA
#error "VAPO_ISA names the instruction set this file is compiled for"
#endif

namespace vapo::cpu::VAPO_ISA {

namespace hn = hwy::HWY_NAMESPACE;
#define VAPO_PACK __attribute__((always_inline)) inline
#define VAPO_INLINE __attribute__((always_inline))  // of a lambda

template <class T>
struct Pack {
  using D = hn::ScalableTag<T>;
  using Register = hn::Vec<D>;
  using Mask = hn::Mask<D>;
  static constexpr D d{};
  static constexpr int64_t lanes = HWY_LANES(T);

  Register r;
  Pack() = default;
  VAPO_PACK Pack(Register r_) : r(r_) {}
  VAPO_PACK explicit Pack(double value) : r(hn::Set(d, static_cast<T>(value))) {}

  VAPO_PACK static Pack load(const T* p) { return hn::LoadU(d, p); }
  VAPO_PACK void store(T* p) const { hn::StoreU(r, d, p); }
  VAPO_PACK void stream(T* p) const { hn::Stream(r, d, p); }  // past the caches, to a whole vector's boundary
  // The last n < lanes elements go through a full register on the stack.
  VAPO_PACK static Pack load_part(const T* p, int64_t n) {
    alignas(64) T buffer[lanes] = {};
    for (int64_t i = 0; i < n; ++i) buffer[i] = p[i];
    return hn::Load(d, buffer);
  }
  VAPO_PACK void store_part(T* p, int64_t n) const {
    alignas(64) T buffer[lanes];
    hn::Store(r, d, buffer);
    for (int64_t i = 0; i < n; ++i) p[i] = buffer[i];
  }

  friend VAPO_PACK Pack operator+(Pack a, Pack b) { return hn::Add(a.r, b.r); }
  friend VAPO_PACK Pack operator-(Pack a, Pack b) { return hn::Sub(a.r, b.r); }
  friend VAPO_PACK Pack operator*(Pack a, Pack b) { return hn::Mul(a.r, b.r); }
  friend VAPO_PACK Pack operator/(Pack a, Pack b) { return hn::Div(a.r, b.r); }
  friend VAPO_PACK Mask operator<(Pack a, Pack b) { return hn::Lt(a.r, b.r); }
  friend VAPO_PACK Mask operator<=(Pack a, Pack b) { return hn::Le(a.r, b.r); }
  friend VAPO_PACK Mask operator==(Pack a, Pack b) { return hn::Eq(a.r, b.r); }
  friend VAPO_PACK Pack select(Mask m, Pack a, Pack b) { return hn::IfThenElse(m, a.r, b.r); }
  friend VAPO_PACK Pack multiply_add(Pack a, Pack b, Pack c) { return hn::MulAdd(a.r, b.r, c.r); }

  friend VAPO_PACK Pack sqrt(Pack x) { return hn::Sqrt(x.r); }
  // Of a normal number between 2^-126 and 2^126: in f32 from the estimate, by two of Newton's steps.
  friend VAPO_PACK Pack reciprocal(Pack x) {
    if constexpr (sizeof(T) == 4) {
      Register y = hn::ApproximateReciprocal(x.r), one = hn::Set(d, T(1));
      if (lanes < 16) y = hn::MulAdd(y, hn::NegMulAdd(x.r, y, one), y);  // AVX-512's estimate has 14 bits already
      return hn::MulAdd(y, hn::NegMulAdd(x.r, y, one), y);
    } else {
      return Pack(1.) / x;
    }
  }
  friend VAPO_PACK Pack clamp(Pack x, Pack bound) { return hn::Clamp(x.r, hn::Neg(bound.r), bound.r); }
  friend VAPO_PACK Pack abs(Pack x) { return hn::Abs(x.r); }
  friend VAPO_PACK Pack min(Pack a, Pack b) { return hn::Min(a.r, b.r); }
  friend VAPO_PACK Pack max(Pack a, Pack b) { return hn::Max(a.r, b.r); }
  // Highway's functions lose NaN and are undefined outside their range: the ends are put right here.
  friend VAPO_PACK Pack exp(Pack x) {
#ifdef __AVX512F__
    if constexpr (sizeof(T) == 4) return exp_scalef(x.r.raw);
#endif
    Register top = hn::Set(d, static_cast<T>(sizeof(T) == 4 ? 89 : 706));
    if constexpr (sizeof(T) == 8)
      if (!hn::AllFalse(d, hn::Gt(x.r, top))) [[unlikely]]
        return lanewise(x, [](T v) { return std::exp(v); });
    Register y = hn::Exp(d, hn::Min(x.r, top));  // in f32, e^89 is infinity already
    return hn::IfThenElse(hn::Eq(x.r, x.r), y, x.r);
  }
  friend VAPO_PACK Pack log(Pack x) {
    T inf = std::numeric_limits<T>::infinity();
    Register ends =
        hn::IfThenElse(hn::Eq(x.r, hn::Zero(d)), hn::Set(d, -inf), hn::Set(d, std::numeric_limits<T>::quiet_NaN()));
    Register y = hn::IfThenElse(hn::Gt(x.r, hn::Zero(d)), hn::Log(d, x.r), ends);
    return hn::IfThenElse(hn::Eq(x.r, hn::Set(d, inf)), x.r, y);
  }
  friend VAPO_PACK Pack log1p_unit(Pack x) { return hn::IfThenElse(hn::Eq(x.r, x.r), hn::Log1p(d, x.r), x.r); }
  friend VAPO_PACK Pack log1p(Pack x) {
    T inf = std::numeric_limits<T>::infinity();
    if (!hn::AllTrue(d, hn::And(hn::Gt(x.r, hn::Set(d, T(-1))), hn::Lt(x.r, hn::Set(d, inf))))) [[unlikely]]
      return lanewise(x, [](T v) { return std::log1p(v); });
    return hn::Log1p(d, x.r);
  }
  friend VAPO_PACK Pack expm1(Pack x) {
    if (!hn::AllTrue(d, hn::Lt(x.r, hn::Set(d, static_cast<T>(sizeof(T) == 4 ? 88 : 706))))) [[unlikely]]
      return lanewise(x, [](T v) { return std::expm1(v); });
    return hn::Expm1(d, x.r);
  }
  friend VAPO_PACK Pack tanh(Pack x) { return hn::IfThenElse(hn::Eq(x.r, x.r), hn::Tanh(d, x.r), x.r); }
  friend VAPO_PACK Pack sin(Pack x) {
    if (!in_range(x)) [[unlikely]]
      return lanewise(x, [](T v) { return std::sin(v); });
    return hn::Sin(d, x.r);
  }
  friend VAPO_PACK Pack cos(Pack x) {
    if (!in_range(x)) [[unlikely]]
      return lanewise(x, [](T v) { return std::cos(v); });
    return hn::Cos(d, x.r);
  }
  friend VAPO_PACK Pack erf(Pack x) {
    return lanewise(x, [](T v) { return std::erf(v); });
  }
  friend VAPO_PACK Pack pow(Pack x, double p) {
    return lanewise(x, [=](T v) { return static_cast<T>(std::pow(static_cast<double>(v), p)); });
  }

#ifdef __AVX512F__
  // e^x = 2^n·e^r, n = round(x/ln 2), |r| ≤ ½ ln 2: a polynomial of degree 6 (largest relative error 2e-9 before
  // rounding), and AVX-512's scaling by 2^n, which also rounds to 0 and ∞ at the ends. Half of Highway's instructions.
  VAPO_PACK static Pack exp_scalef(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-110), _mm512_min_ps(_mm512_set1_ps(90), x));  // NaN stays
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);  // ln 2 in two parts
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.38436060e-3f);
    for (float c : {8.37419555e-3f, 4.16680053e-2f, 0.166664302f, 0.499999940f, 1.0f, 1.0f})
      p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
    return Pack(Register{_mm512_scalef_ps(p, n)});
  }
#endif
  VAPO_PACK static bool in_range(Pack x) {
    return hn::AllTrue(d, hn::Lt(hn::Abs(x.r), hn::Set(d, static_cast<T>(39000))));
  }
  template <class F>
  VAPO_PACK static Pack lanewise(Pack x, F f) {
    alignas(64) T buffer[lanes];
    hn::Store(x.r, d, buffer);
    for (T& v : buffer) v = f(v);
    return hn::Load(d, buffer);
  }
};

}  // namespace vapo::cpu::VAPO_ISA
