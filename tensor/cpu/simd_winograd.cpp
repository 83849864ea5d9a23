// Winograd's transforms and products, compiled once for each instruction set.

#include "tensor/cpu/simd_winograd.h"

#include <algorithm>

#include "tensor/cpu/pack.h"

namespace vapo::cpu::VAPO_ISA {
namespace {

using P = Pack<float>;
constexpr int64_t lanes = P::lanes, panel = 2 * lanes;

// Interpolation at 0, ±a, ±b and ∞: these points have a third of the error of the usual 1 and 2.
constexpr double a = 0.625, b = 1.5, a2 = a * a, b2 = b * b;

VAPO_PACK P load_some(const float* p, int64_t count) {
  return count >= lanes ? P::load(p) : P::load_part(p, count);
}
VAPO_PACK void store_some(P x, float* p, int64_t count) {
  if (count >= lanes)
    x.store(p);
  else
    x.store_part(p, count);
}
VAPO_PACK P times(double c, P x) { return P(c) * x; }
VAPO_PACK P fma(double c, P x, P y) { return multiply_add(P(c), x, y); }

// Bᵀ: 6 → 6
VAPO_PACK void input6(const P (&d)[6], P (&v)[6]) {
  P even_a = fma(-b2, d[2], d[4]), odd_a = fma(-b2, d[1], d[3]), even_b = fma(-a2, d[2], d[4]),
    odd_b = fma(-a2, d[1], d[3]);
  v[0] = fma(a2 * b2, d[0], fma(-(a2 + b2), d[2], d[4]));
  v[1] = fma(a, odd_a, even_a), v[2] = fma(-a, odd_a, even_a);
  v[3] = fma(b, odd_b, even_b), v[4] = fma(-b, odd_b, even_b);
  v[5] = fma(a2 * b2, d[1], fma(-(a2 + b2), d[3], d[5]));
}
// Aᵀ: 6 → 4
VAPO_PACK void output4(const P (&m)[6], P (&y)[4]) {
  P sum_a = m[1] + m[2], diff_a = m[1] - m[2], sum_b = m[3] + m[4], diff_b = m[3] - m[4];
  y[0] = m[0] + sum_a + sum_b;
  y[1] = fma(a, diff_a, times(b, diff_b));
  y[2] = fma(a2, sum_a, times(b2, sum_b));
  y[3] = fma(a * a2, diff_a, fma(b * b2, diff_b, m[5]));
}
// A: 4 → 6
VAPO_PACK void cotangent6(const P (&g)[4], P (&z)[6]) {
  P even_a = fma(a2, g[2], g[0]), odd_a = fma(a * a2, g[3], times(a, g[1])), even_b = fma(b2, g[2], g[0]),
    odd_b = fma(b * b2, g[3], times(b, g[1]));
  z[0] = g[0], z[5] = g[3];
  z[1] = even_a + odd_a, z[2] = even_a - odd_a, z[3] = even_b + odd_b, z[4] = even_b - odd_b;
}
// G: 3 → 6; row of point p is (1, p, p²) by the product of its distances from the other points
constexpr double n0 = 1 / (a2 * b2), na = 1 / (2 * a2 * (a2 - b2)), nb = 1 / (2 * b2 * (b2 - a2));
VAPO_PACK void weights6(const P (&w)[3], P (&u)[6]) {
  P even_a = fma(na * a2, w[2], times(na, w[0])), odd_a = times(na * a, w[1]);
  P even_b = fma(nb * b2, w[2], times(nb, w[0])), odd_b = times(nb * b, w[1]);
  u[0] = times(n0, w[0]), u[5] = w[2];
  u[1] = even_a + odd_a, u[2] = even_a - odd_a, u[3] = even_b + odd_b, u[4] = even_b - odd_b;
}
// Gᵀ: 6 → 3
VAPO_PACK void weights3(const P (&u)[6], P (&w)[3]) {
  P sum_a = u[1] + u[2], diff_a = u[1] - u[2], sum_b = u[3] + u[4], diff_b = u[3] - u[4];
  w[0] = fma(n0, u[0], fma(na, sum_a, times(nb, sum_b)));
  w[1] = fma(na * a, diff_a, times(nb * b, diff_b));
  w[2] = fma(na * a2, sum_a, fma(nb * b2, sum_b, u[5]));
}

// f along columns, then along rows: (in × in) → (out × out).
template <int in, int out, class F, class Load, class Store>
VAPO_PACK void both_ways(F f, Load load, Store store) {
  P half[out][in];
  for (int j = 0; j < in; ++j) {
    P column[in], result[out];
    for (int i = 0; i < in; ++i) column[i] = load(i, j);
    f(column, result);
    for (int i = 0; i < out; ++i) half[i][j] = result[i];
  }
  for (int i = 0; i < out; ++i) {
    P result[out];
    f(half[i], result);
    for (int j = 0; j < out; ++j) store(i, j, result[j]);
  }
}
#define VAPO_LAMBDA __attribute__((always_inline))

void input(const float* const* d, int64_t channels, float* v, int64_t frequency) {
  for (int64_t c = 0; c < channels; c += lanes) {
    int64_t count = channels - c;
    both_ways<6, 6>([](const P(&x)[6], P(&y)[6]) VAPO_LAMBDA { input6(x, y); },
                    [&](int i, int j) VAPO_LAMBDA { return load_some(d[6 * i + j] + c, count); },
                    [&](int i, int j, P x) VAPO_LAMBDA { store_some(x, v + (6 * i + j) * frequency + c, count); });
  }
}

float* at(const PanelArray& p, int64_t row, int64_t col) {
  return p.data + col / panel * p.rows * panel + row * panel + col % panel;
}

void cotangent(const float* const* g, int64_t channels, const PanelArray& z, int64_t row) {
  for (int64_t c = 0; c < (channels + panel - 1) / panel * panel; c += lanes) {
    int64_t count = std::max<int64_t>(channels - c, 0);
    float* to = at(z, row, c);
    both_ways<4, 6>([](const P(&x)[4], P(&y)[6]) VAPO_LAMBDA { cotangent6(x, y); },
                    [&](int i, int j) VAPO_LAMBDA { return load_some(g[4 * i + j] + c, count); },
                    [&](int i, int j, P x) VAPO_LAMBDA { x.store(to + (6 * i + j) * z.frequency); });
  }
}

void output(const PanelArray& m, int64_t row, int64_t channels, const float* bias, float* const* y) {
  for (int64_t c = 0; c < channels; c += lanes) {
    int64_t count = channels - c;
    const float* from = at(m, row, c);
    P shift = bias ? load_some(bias + c, count) : P(0.);
    both_ways<6, 4>([](const P(&x)[6], P(&out)[4]) VAPO_LAMBDA { output4(x, out); },
                    [&](int i, int j) VAPO_LAMBDA { return P::load(from + (6 * i + j) * m.frequency); },
                    [&](int i, int j, P x) VAPO_LAMBDA {
                      if (float* to = y[4 * i + j]) store_some(x + shift, to + c, count);
                    });
  }
}

void weights(const float* w, int64_t row_step, int64_t col_step, const int64_t* tap, int64_t begin, int64_t end,
             int64_t cols, const PanelArray& u) {
  for (int64_t c = 0; c < (cols + panel - 1) / panel * panel; c += lanes) {
    int64_t count = std::clamp<int64_t>(cols - c, 0, lanes);
    for (int64_t row = begin; row < end; ++row) {
      const float* from = w + row * row_step + c * col_step;
      auto load = [&](int i, int j) VAPO_LAMBDA {
        if (col_step == 1) return load_some(from + tap[3 * i + j], count);
        alignas(64) float buffer[lanes] = {};
        for (int64_t k = 0; k < count; ++k) buffer[k] = from[k * col_step + tap[3 * i + j]];
        return P::load(buffer);
      };
      float* to = at(u, row, c);
      both_ways<3, 6>([](const P(&x)[3], P(&y)[6]) VAPO_LAMBDA { weights6(x, y); }, load,
                      [&](int i, int j, P x) VAPO_LAMBDA { x.store(to + (6 * i + j) * u.frequency); });
    }
  }
}

void weight_grad(const PanelArray& u, int64_t row_step, int64_t col_step, const int64_t* tap, int64_t begin,
                 int64_t end, int64_t cols, float* dw) {
  for (int64_t c = 0; c < cols; c += lanes) {
    int64_t count = std::min(cols - c, lanes);
    for (int64_t row = begin; row < end; ++row) {
      float* to = dw + row * row_step + c * col_step;
      const float* from = at(u, row, c);
      both_ways<6, 3>([](const P(&x)[6], P(&y)[3]) VAPO_LAMBDA { weights3(x, y); },
                      [&](int i, int j) VAPO_LAMBDA { return P::load(from + (6 * i + j) * u.frequency); },
                      [&](int i, int j, P x) VAPO_LAMBDA {
                        alignas(64) float buffer[lanes];
                        x.store(buffer);
                        for (int64_t k = 0; k < count; ++k) to[k * col_step + tap[3 * i + j]] = buffer[k];
                      });
    }
  }
}

// rows × one panel of c: its sums stay in registers over all of k.
constexpr int most_rows = lanes == 16 ? 12 : 6;
template <int rows, bool transposed>
void block(const float* x, int64_t stride, const float* y, float* c, int64_t k, bool add) {
  P s[rows][2];
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < 2; ++i) s[r][i] = add ? P::load(c + r * panel + i * lanes) : P(0.);
  for (int64_t i = 0; i < k; ++i, y += panel) {
    P y0 = P::load(y), y1 = P::load(y + lanes);
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
      P w(hn::Set(P::d, transposed ? x[r] : x[r * stride]));
      s[r][0] = multiply_add(w, y0, s[r][0]), s[r][1] = multiply_add(w, y1, s[r][1]);
    }
    x += transposed ? stride : 1;
  }
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r)
    for (int i = 0; i < 2; ++i) s[r][i].store(c + r * panel + i * lanes);
}
template <bool transposed, int rows = most_rows>
void block_of(int64_t count, const float* x, int64_t stride, const float* y, float* c, int64_t k, bool add) {
  if constexpr (rows > 0) {
    if (count >= rows) return block<rows, transposed>(x, stride, y, c, k, add);
    block_of<transposed, rows - 1>(count, x, stride, y, c, k, add);
  }
}

template <bool transposed>
void product_of(const float* x, int64_t stride, const float* y, float* c, int64_t rows, int64_t cols, int64_t k,
                bool add) {
  for (int64_t j = 0; j < cols; j += panel, y += k * panel, c += rows * panel)
    for (int64_t r = 0; r < rows; r += most_rows)
      block_of<transposed>(std::min<int64_t>(rows - r, most_rows), x + (transposed ? r : r * stride), stride, y,
                           c + r * panel, k, add);
}
void product(bool transposed, const float* x, int64_t stride, const float* y, float* c, int64_t rows, int64_t cols,
             int64_t k, bool add) {
  if (transposed)
    product_of<true>(x, stride, y, c, rows, cols, k, add);
  else
    product_of<false>(x, stride, y, c, rows, cols, k, add);
}

}  // namespace

const WinogradLoops& winograd_loops();
const WinogradLoops& winograd_loops() {
  static constexpr WinogradLoops loops{panel, input, cotangent, output, weights, weight_grad, product};
  return loops;
}

}  // namespace vapo::cpu::VAPO_ISA
