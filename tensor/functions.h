#pragma once
// Scalar functions, each written once over a value type V: float, double, or a SIMD pack. A back end expands the
// list `Functions` at the end into its kernels; kernel::unary<Silu>(x) names one. <Name>D1, D2 … are derivatives.
// V needs + − * / < <= == and, found by overload: exp expm1 log log1p tanh sin cos sqrt abs erf reciprocal
// pow(v, double), select(mask, a, b), min and max (which of a number and NaN does not matter), and
// log1p_unit, log1p of numbers from 0 to 1.
//
// NaN in, NaN out, and at ±∞ the limit, in every function and derivative. At NaN, Step passes on what it is
// multiplied by and LeakyStep is p, as in PyTorch; Sign is NaN, as in JAX and NumPy.

#include <cmath>
#include <cstddef>
#include <tuple>
#include <type_traits>

#ifdef __CUDACC__
#define VAPO_FN __host__ __device__ inline
#else
#define VAPO_FN __attribute__((always_inline)) inline
#endif

namespace vapo {

namespace scalar {  // the overloads for float and double; a SIMD pack brings its own
using std::abs, std::cos, std::erf, std::exp, std::expm1, std::log, std::log1p, std::pow, std::sin, std::sqrt,
    std::tanh;
template <class V>
requires std::is_floating_point_v<V> VAPO_FN V select(bool mask, V a, V b) { return mask ? a : b; }
template <class V>
requires std::is_floating_point_v<V> VAPO_FN V reciprocal(V x) { return V(1) / x; }
template <class V>
requires std::is_floating_point_v<V> VAPO_FN V min(V a, V b) { return b < a ? b : a; }
template <class V>
requires std::is_floating_point_v<V> VAPO_FN V max(V a, V b) { return a < b ? b : a; }
template <class V>
requires std::is_floating_point_v<V> VAPO_FN V log1p_unit(V x) { return log1p(x); }
template <class V>
requires std::is_floating_point_v<V> VAPO_FN V multiply_add(V a, V b, V c) { return a * b + c; }
}  // namespace scalar

namespace detail {
template <class V>
struct Sigmoid2 {
  V s, c;  // σ(x) and 1 − σ(x), each exact in both tails
};
template <class V>
VAPO_FN Sigmoid2<V> sigmoid2(V x) {
  using namespace scalar;
  V e = exp(V(0) - abs(x)), r = reciprocal(V(1) + e), er = e * r;
  auto positive = V(0) < x;
  return {select(positive, r, er), select(positive, er, r)};
}
template <class V>
VAPO_FN V sigmoid_d1(V x) {
  auto [s, c] = sigmoid2(x);
  return s * c;
}
template <class V>
VAPO_FN V gauss(V x) {  // the normal density
  using namespace scalar;
  return V(0.39894228040143267794) * exp(V(-0.5) * x * x);
}
template <class V>
VAPO_FN V gauss_cdf(V x) {
  using namespace scalar;
  return V(0.5) * (V(1) + erf(x * V(0.70710678118654752440)));
}
// x where factors beside it are not 0 yet: ∞·0 would be NaN, and 0·x² too. NaN is left to those factors.
template <class V>
VAPO_FN V above(V x) {
  using namespace scalar;
  return max(x, V(-1000));
}
template <class V>
VAPO_FN V within(V x) {
  using namespace scalar;
  return min(above(x), V(1000));
}
}  // namespace detail

// VAPO_FUNCTION(Name, expression in x and the parameter p)
#define VAPO_FUNCTION(Name, ...)                             \
  struct Name {                                              \
    template <class V>                                       \
    VAPO_FN static V apply(V x, [[maybe_unused]] double p) { \
      using namespace scalar;                                \
      using namespace detail;                                \
      __VA_ARGS__                                            \
    }                                                        \
  };

VAPO_FUNCTION(Exp, return exp(x);)
VAPO_FUNCTION(Expm1, return expm1(x);)  // e^x − 1, and log(1 + x), exact near 0
VAPO_FUNCTION(Log, return log(x);)
VAPO_FUNCTION(Log1p, return log1p(x);)
VAPO_FUNCTION(Sqrt, return sqrt(x);)
VAPO_FUNCTION(Rsqrt, return V(1) / sqrt(x);)
VAPO_FUNCTION(Square, return x * x;)
VAPO_FUNCTION(Sin, return sin(x);)
VAPO_FUNCTION(Cos, return cos(x);)
VAPO_FUNCTION(Abs, return abs(x);)
VAPO_FUNCTION(Sign, return select(V(0) < x, V(1), select(x < V(0), V(-1), x + V(0)));)  // 0 at 0
VAPO_FUNCTION(Pow, return pow(x, p);)                                                   // p: the exponent
VAPO_FUNCTION(Relu, return select(x <= V(0), V(0), x);)
VAPO_FUNCTION(Step, return select(x <= V(0), V(0), V(1));)  // 0 at 0
VAPO_FUNCTION(LeakyRelu, return select(V(0) < x, x, V(p) * x);)
VAPO_FUNCTION(LeakyStep, return select(V(0) < x, V(1), V(p));)  // p, the slope, at 0

VAPO_FUNCTION(Tanh, return tanh(x);)
VAPO_FUNCTION(TanhD1, V y = tanh(x); return V(1) - y * y;)
VAPO_FUNCTION(TanhD2, V y = tanh(x); return V(-2) * y * (V(1) - y * y);)
VAPO_FUNCTION(TanhD3, V y = tanh(x); V d = V(1) - y * y; return d * (V(6) * y * y - V(2));)

VAPO_FUNCTION(Sigmoid, return sigmoid2(x).s;)
VAPO_FUNCTION(SigmoidD1, return sigmoid_d1(x);)
VAPO_FUNCTION(SigmoidD2, auto [s, c] = sigmoid2(x); return s * c * (c - s);)
VAPO_FUNCTION(SigmoidD3, V d = sigmoid_d1(x); return d * (V(1) - V(6) * d);)

VAPO_FUNCTION(Softplus,
              return select(V(0) < x, x, V(0)) + log1p_unit(exp(V(0) - abs(x)));)  // then Sigmoid, SigmoidD1 …

VAPO_FUNCTION(Silu, return above(x) * sigmoid2(x).s;)
VAPO_FUNCTION(SiluD1, auto [s, c] = sigmoid2(x); return s * (V(1) + within(x) * c);)
VAPO_FUNCTION(SiluD2, auto [s, c] = sigmoid2(x); return s * c * (V(2) + within(x) * (c - s));)
VAPO_FUNCTION(SiluD3, auto [s, c] = sigmoid2(x); V d = s * c;
              return d * (V(3) * (c - s) + within(x) * (V(1) - V(6) * d));)

VAPO_FUNCTION(Gelu, return above(x) * gauss_cdf(x);)  // exact, with erf
VAPO_FUNCTION(GeluD1, return gauss_cdf(x) + within(x) * gauss(x);)
VAPO_FUNCTION(GeluD2, V v = within(x); return gauss(x) * (V(2) - v * v);)
VAPO_FUNCTION(GeluD3, V v = within(x); return gauss(x) * v * (v * v - V(4));)
#undef VAPO_FUNCTION

template <class... Fs>
struct FunctionList {
  static constexpr int size = sizeof...(Fs);
  template <int i>
  using at = std::tuple_element_t<i, std::tuple<Fs...>>;
  template <class F>
  static constexpr int index_of() {
    int i = 0, found = -1;
    ((std::is_same_v<F, Fs> ? (found = i, ++i) : ++i), ...);
    return found;
  }
  // Calls f<F>() for the function F of this number.
  template <class Visitor>
  static void visit(int number, const Visitor& f) {
    int i = 0;
    ((i++ == number ? f.template operator()<Fs>() : void()), ...);
  }
};
using Functions = FunctionList<Exp, Expm1, Log, Log1p, Sqrt, Rsqrt, Square, Sin, Cos, Abs, Sign, Pow, Relu, Step,
                               LeakyRelu, LeakyStep, Tanh, TanhD1, TanhD2, TanhD3, Softplus, Sigmoid, SigmoidD1,
                               SigmoidD2, SigmoidD3, Silu, SiluD1, SiluD2, SiluD3, Gelu, GeluD1, GeluD2, GeluD3>;
using Towers = FunctionList<Tanh, Softplus, Sigmoid, Silu, Gelu>;  // have value and slope in one pass
template <class F>
using SlopeOf = Functions::at<Functions::index_of<F>() + 1>;  // in a tower, the next of the list

}  // namespace vapo
