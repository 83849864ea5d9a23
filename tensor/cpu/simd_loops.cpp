// The vectorised loops. CMake compiles this file once for each instruction set, with VAPO_ISA its name.

#include <hwy/cache_control.h>

#include "tensor/binary_functions.h"
#include "tensor/cpu/pack.h"
#include "tensor/cpu/simd.h"
#include "tensor/philox.h"

namespace vapo::cpu::VAPO_ISA {
namespace {

// f(i, count) for whole registers, then once for what is left.
template <class T, class Whole, class Rest>
VAPO_PACK void for_packs(int64_t n, Whole whole, Rest rest) {
  constexpr int64_t lanes = Pack<T>::lanes;
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) whole(i);
  if (i < n) rest(i, n - i);
}

// for_packs where `whole` is given the way to memory of its results, put(register, address): through the caches or
// past them. Who streams calls end_stream once at the end.
template <class T, class Whole, class Rest>
VAPO_PACK void for_results(int64_t n, bool stream, Whole whole, Rest rest) {
  using P = Pack<T>;
  if (stream)
    for_packs<T>(
        n, [&](int64_t i) VAPO_INLINE { whole(i, [](P v, T* p) VAPO_INLINE { v.stream(p); }); }, rest);
  else
    for_packs<T>(
        n, [&](int64_t i) VAPO_INLINE { whole(i, [](P v, T* p) VAPO_INLINE { v.store(p); }); }, rest);
}
// Orders what was streamed before what other threads are told next.
VAPO_PACK void end_stream(bool stream) {
  if (stream) hwy::FlushStream();
}

template <class T, class F>
void unary(const T* x, T* y, int64_t n, double p, bool stream) {
  using P = Pack<T>;
  for_results<T>(
      n, stream, [&](int64_t i, auto put) VAPO_INLINE { put(F::apply(P::load(x + i), p), y + i); },
      [&](int64_t i, int64_t k) { F::apply(P::load_part(x + i, k), p).store_part(y + i, k); });
  end_stream(stream);
}
// The compiler computes once what f and its derivative share.
template <class T, class F, class Slope>
void with_slope(const T* x, T* y, T* slope, int64_t n, bool stream) {
  using P = Pack<T>;
  for_results<T>(
      n, stream,
      [&](int64_t i, auto put) VAPO_INLINE {
        P v = P::load(x + i);
        put(F::apply(v, 0), y + i), put(Slope::apply(v, 0), slope + i);
      },
      [&](int64_t i, int64_t k) {
        P v = P::load_part(x + i, k);
        F::apply(v, 0).store_part(y + i, k), Slope::apply(v, 0).store_part(slope + i, k);
      });
  end_stream(stream);
}
// y = f(a, b, c), of registers
template <class T, class F>
VAPO_PACK void of_three(const T* a, const T* b, const T* c, T* y, int64_t n, bool stream, F f) {
  using P = Pack<T>;
  for_results<T>(
      n, stream,
      [&](int64_t i, auto put) VAPO_INLINE { put(f(P::load(a + i), P::load(b + i), P::load(c + i)), y + i); },
      [&](int64_t i, int64_t k) {
        f(P::load_part(a + i, k), P::load_part(b + i, k), P::load_part(c + i, k)).store_part(y + i, k);
      });
  end_stream(stream);
}
template <class T, class F>
void scaled2(const T* x, const T* a, const T* b, T* y, int64_t n, double p, bool stream) {
  using P = Pack<T>;
  of_three(x, a, b, y, n, stream, [p](P v, P u, P w) VAPO_INLINE { return u * w * F::apply(v, p); });
}
template <class T, class F>
void scaled_vjp(const T* x, const T* a, const T* slope, const T* u, T* dx, T* da, int64_t n, bool stream) {
  using P = Pack<T>;
  for_results<T>(
      n, stream,
      [&](int64_t i, auto put) VAPO_INLINE {
        P c = P::load(u + i);
        put(P::load(a + i) * c * F::apply(P::load(x + i), 0), dx + i), put(c * P::load(slope + i), da + i);
      },
      [&](int64_t i, int64_t k) {
        P c = P::load_part(u + i, k);
        (P::load_part(a + i, k) * c * F::apply(P::load_part(x + i, k), 0)).store_part(dx + i, k);
        (c * P::load_part(slope + i, k)).store_part(da + i, k);
      });
  end_stream(stream);
}

template <class T>
void affine(const T* x, T* y, int64_t n, double a, double b, bool stream) {
  using P = Pack<T>;
  P scale(a), shift(b);
  for_results<T>(
      n, stream, [&](int64_t i, auto put) VAPO_INLINE { put(multiply_add(scale, P::load(x + i), shift), y + i); },
      [&](int64_t i, int64_t k) { multiply_add(scale, P::load_part(x + i, k), shift).store_part(y + i, k); });
  end_stream(stream);
}

template <class T, kernel::Binary op>
void binary(const BinaryLoop<T>& l) {
  using P = Pack<T>;
  for (int64_t i = 0; i < l.rows; ++i) {
    const T *a = l.a + i * l.a0, *b = l.b + i * l.b0;
    T* y = l.y + i * l.cols;
    if (l.cols < P::lanes) {
      for (int64_t j = 0; j < l.cols; ++j) y[j] = combine<op, T>(a[j * l.a1], b[j * l.b1]);
    } else if (l.a1 && l.b1) {
      for_results<T>(
          l.cols, l.stream,
          [&](int64_t j, auto put) VAPO_INLINE { put(combine<op>(P::load(a + j), P::load(b + j)), y + j); },
          [&](int64_t j, int64_t k) {
            combine<op>(P::load_part(a + j, k), P::load_part(b + j, k)).store_part(y + j, k);
          });
    } else if (l.a1) {
      P one(hn::Set(P::d, *b));
      for_results<T>(
          l.cols, l.stream, [&](int64_t j, auto put) VAPO_INLINE { put(combine<op>(P::load(a + j), one), y + j); },
          [&](int64_t j, int64_t k) { combine<op>(P::load_part(a + j, k), one).store_part(y + j, k); });
    } else if (l.b1) {
      P one(hn::Set(P::d, *a));
      for_results<T>(
          l.cols, l.stream, [&](int64_t j, auto put) VAPO_INLINE { put(combine<op>(one, P::load(b + j)), y + j); },
          [&](int64_t j, int64_t k) { combine<op>(one, P::load_part(b + j, k)).store_part(y + j, k); });
    } else {
      T one = combine<op, T>(*a, *b);
      for (int64_t j = 0; j < l.cols; ++j) y[j] = one;
    }
  }
  end_stream(l.stream);
}

template <class T>
void addcmul(const T* c, const T* a, const T* b, T* y, int64_t n, bool stream) {
  using P = Pack<T>;
  of_three(c, a, b, y, n, stream, [](P w, P u, P v) VAPO_INLINE { return multiply_add(u, v, w); });
}
template <class T>
void where(const T* c, const T* a, const T* b, T* y, int64_t n, bool stream) {
  using P = Pack<T>;
  of_three(c, a, b, y, n, stream, [](P w, P u, P v) VAPO_INLINE { return select(w == P(0.), v, u); });
}

// Four registers of partial sums, folded into a double every 4096 elements.
template <class T, class F>
VAPO_PACK double accumulate(int64_t n, F term) {
  using P = Pack<T>;
  constexpr int64_t lanes = P::lanes, block = 4096;
  double total = 0;
  for (int64_t start = 0; start < n; start += block) {
    int64_t end = start + block < n ? start + block : n, i = start;
    P s0(0.), s1(0.), s2(0.), s3(0.);
    for (; i + 4 * lanes <= end; i += 4 * lanes) {
      s0 = term(s0, i, lanes), s1 = term(s1, i + lanes, lanes);
      s2 = term(s2, i + 2 * lanes, lanes), s3 = term(s3, i + 3 * lanes, lanes);
    }
    for (; i < end; i += lanes) s0 = term(s0, i, end - i < lanes ? end - i : lanes);
    total += static_cast<double>(hn::GetLane(hn::SumOfLanes(P::d, ((s0 + s1) + (s2 + s3)).r)));
  }
  return total;
}
template <class T>
VAPO_PACK Pack<T> load_some(const T* p, int64_t k) {
  return k == Pack<T>::lanes ? Pack<T>::load(p) : Pack<T>::load_part(p, k);
}
template <class T>
double sum(const T* x, int64_t n) {
  return accumulate<T>(n, [&](Pack<T> s, int64_t i, int64_t k) { return s + load_some(x + i, k); });
}
template <class T>
double sum_squares(const T* x, int64_t n) {
  if constexpr (sizeof(T) < sizeof(double)) {  // f32 does not hold the square of 1e20, nor of 1e-23
    const hn::ScalableTag<double> wide;
    const hn::Rebind<T, decltype(wide)> narrow;
    const auto lanes = static_cast<int64_t>(hn::Lanes(wide));
    auto s0 = hn::Zero(wide), s1 = s0;
    int64_t i = 0;
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
      auto a = hn::PromoteTo(wide, hn::LoadU(narrow, x + i)),
           b = hn::PromoteTo(wide, hn::LoadU(narrow, x + i + lanes));
      s0 = hn::MulAdd(a, a, s0), s1 = hn::MulAdd(b, b, s1);
    }
    double total = hn::GetLane(hn::SumOfLanes(wide, hn::Add(s0, s1)));
    for (; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return total;
  }
  return accumulate<T>(n, [&](Pack<T> s, int64_t i, int64_t k) {
    Pack<T> v = load_some(x + i, k);
    return multiply_add(v, v, s);
  });
}
template <class T>
T dot(const T* x, const T* y, int64_t n) {
  return static_cast<T>(accumulate<T>(n, [&](Pack<T> s, int64_t i, int64_t k) {
    return multiply_add(load_some(x + i, k), load_some(y + i, k), s);
  }));
}

template <class T>
void max_into(const T* x, T* y, int64_t n) {
  using P = Pack<T>;
  using enum kernel::Binary;
  for_packs<T>(
      n, [&](int64_t i) { combine<maximum>(P::load(x + i), P::load(y + i)).store(y + i); },
      [&](int64_t i, int64_t k) {
        combine<maximum>(P::load_part(x + i, k), P::load_part(y + i, k)).store_part(y + i, k);
      });
}
template <class T>
T maximum(const T* x, int64_t n) {
  using P = Pack<T>;
  T best = x[0];
  int64_t i = 0;
  if (n >= P::lanes) {
    P top = P::load(x);
    for (; i + P::lanes <= n; i += P::lanes) top = combine<kernel::Binary::maximum>(P::load(x + i), top);
    alignas(64) T lanes[P::lanes];
    top.store(lanes);
    best = lanes[0];
    for (T v : lanes) best = combine<kernel::Binary::maximum, T>(best, v);
  }
  for (; i < n; ++i) best = combine<kernel::Binary::maximum, T>(best, x[i]);
  return best;
}

// `count` registers of columns at a time, so that the sums stay in registers over all rows.
template <class T, int count>
VAPO_PACK void weighted_block(const T* c, int64_t c_stride, const T* x, int64_t x_stride, int64_t rows, T* y,
                              bool add) {
  using P = Pack<T>;
  P s[count];
  for (int u = 0; u < count; ++u) s[u] = add ? P::load(y + u * P::lanes) : P(0.);
  if (c) {
    for (int64_t r = 0; r < rows; ++r) {
      P w(hn::Set(P::d, c[r * c_stride]));
      for (int u = 0; u < count; ++u) s[u] = multiply_add(w, P::load(x + r * x_stride + u * P::lanes), s[u]);
    }
  } else {
    for (int64_t r = 0; r < rows; ++r)
      for (int u = 0; u < count; ++u) s[u] = s[u] + P::load(x + r * x_stride + u * P::lanes);
  }
  for (int u = 0; u < count; ++u) s[u].store(y + u * P::lanes);
}
template <class T>
void weighted_rows(const T* c, int64_t c_stride, const T* x, int64_t x_stride, int64_t rows, T* y, int64_t n,
                   bool add) {
  constexpr int64_t lanes = Pack<T>::lanes;
  int64_t j = 0;
  for (; j + 6 * lanes <= n; j += 6 * lanes) weighted_block<T, 6>(c, c_stride, x + j, x_stride, rows, y + j, add);
  for (; j + lanes <= n; j += lanes) weighted_block<T, 1>(c, c_stride, x + j, x_stride, rows, y + j, add);
  for (; j < n; ++j) {
    T s = add ? y[j] : T(0);
    for (int64_t r = 0; r < rows; ++r) s += (c ? c[r * c_stride] : T(1)) * x[r * x_stride + j];
    y[j] = s;
  }
}

template <class T>
void adam(const AdamConstants<T>& k, T* p, const T* g, T* m, T* v, T* ema, int64_t n) {
  using P = Pack<T>;
  auto step = [&](int64_t i, auto load, auto store) VAPO_INLINE {
    P w = load(p + i), m1 = load(m + i), m2 = load(v + i), direction = adam_direction(k, w, load(g + i), m1, m2);
    store(m1, m + i), store(m2, v + i);
    if (k.direction_only) return store(direction, ema + i);
    w = adam_moved(k, w, direction);
    store(w, p + i);
    if (ema) store(averaged(k.ema_rate, w, load(ema + i)), ema + i);
  };
  for_packs<T>(
      n,
      [&](int64_t i) {
        step(
            i, [](const T* q) { return P::load(q); }, [](P x, T* q) { x.store(q); });
      },
      [&](int64_t i, int64_t c) {
        step(
            i, [c](const T* q) { return P::load_part(q, c); }, [c](P x, T* q) { x.store_part(q, c); });
      });
}

// 32 blocks of Philox at a time: words w[0..3][block].
constexpr int batch = 32;
VAPO_PACK void philox_batch(const PhiloxRange& range, uint64_t first, uint32_t (&w)[4][batch]) {
  for (int i = 0; i < batch; ++i) {
    auto counter = philox_counter(range.first_block + first + static_cast<uint64_t>(i), range.stream, range.step);
    for (int j = 0; j < 4; ++j) w[j][i] = counter.w[j];
  }
  uint32_t k0 = static_cast<uint32_t>(range.seed), k1 = static_cast<uint32_t>(range.seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += philox_w0, k1 += philox_w1)
    for (int i = 0; i < batch; ++i) philox_round(w[0][i], w[1][i], w[2][i], w[3][i], k0, k1);
}

// Box–Muller on the word pairs.
template <class T>
void normal(const PhiloxRange& range, T* y, int64_t blocks) {
  using P = Pack<T>;
  for (int64_t b = 0; b < blocks; b += batch) {
    uint32_t w[4][batch];
    alignas(64) T u[4][batch];
    philox_batch(range, static_cast<uint64_t>(b), w);
    for (int j = 0; j < 4; ++j)
      for (int i = 0; i < batch; ++i) u[j][i] = open_uniform<T>(w[j][i]);
    for (int j = 0; j < 4; j += 2) {
      for (int i = 0; i < batch; i += static_cast<int>(P::lanes)) {
        P radius = sqrt(P(-2.) * P(hn::Log(P::d, P::load(&u[j][i]).r)));
        P angle = P(two_pi) * P::load(&u[j + 1][i]);
        (radius * P(hn::Cos(P::d, angle.r))).store(&u[j][i]);
        (radius * P(hn::Sin(P::d, angle.r))).store(&u[j + 1][i]);
      }
    }
    int64_t count = blocks - b < batch ? blocks - b : batch;
    for (int64_t i = 0; i < count; ++i)
      for (int j = 0; j < 4; ++j) y[(b + i) * 4 + j] = u[j][i];
  }
}
template <class T>
void uniform(const PhiloxRange& range, T* y, int64_t blocks, double low, double high) {
  for (int64_t b = 0; b < blocks; b += batch) {
    uint32_t w[4][batch];
    philox_batch(range, static_cast<uint64_t>(b), w);
    int64_t count = blocks - b < batch ? blocks - b : batch;
    for (int64_t i = 0; i < count; ++i)
      for (int j = 0; j < 4; ++j) y[(b + i) * 4 + j] = uniform_in<T>(w[j][i], low, high);
  }
}

template <class T, class... Fs>
constexpr void expand_towers(Loops<T>& l, FunctionList<Fs...>) {
  ((l.with_slope[Functions::index_of<Fs>()] = with_slope<T, Fs, SlopeOf<Fs>>), ...);
  ((l.scaled_vjp[Functions::index_of<Fs>() + 2] = scaled_vjp<T, SlopeOf<SlopeOf<Fs>>>), ...);
}
template <class T, class... Fs>
constexpr void expand(Loops<T>& l, FunctionList<Fs...>) {
  int i = 0;
  ((l.unary[i] = unary<T, Fs>, l.scaled2[i] = scaled2<T, Fs>, ++i), ...);
}
template <class T, int... ops>
constexpr void expand(Loops<T>& l, std::integer_sequence<int, ops...>) {
  ((l.binary[ops] = binary<T, static_cast<kernel::Binary>(ops)>), ...);
}
template <class T>
constexpr Loops<T> make_loops() {
  Loops<T> l{};
  expand(l, Functions{});
  expand_towers(l, Towers{});
  expand(l, std::make_integer_sequence<int, kernel::binary_count>{});
  l.where = where<T>, l.addcmul = addcmul<T>, l.affine = affine<T>, l.sum = sum<T>, l.sum_squares = sum_squares<T>,
  l.maximum = maximum<T>;
  l.max_into = max_into<T>, l.dot = dot<T>, l.weighted_rows = weighted_rows<T>, l.adam = adam<T>;
  l.normal = normal<T>, l.uniform = uniform<T>;
  return l;
}

}  // namespace

const Loops<float>& loops32();
const Loops<double>& loops64();
const Loops<float>& loops32() {
  static constexpr Loops<float> loops = make_loops<float>();
  return loops;
}
const Loops<double>& loops64() {
  static constexpr Loops<double> loops = make_loops<double>();
  return loops;
}

}  // namespace vapo::cpu::VAPO_ISA
