// Winograd's convolution F(4×4,3×3) over images in their own layout, channels last. A tile of 4×4 outputs sees 6×6
// inputs d. With the matrices Bᵀ, G, Aᵀ of simd_winograd.cpp and ⊙ per entry of the 6×6 transforms:
//   y = Aᵀ[ (G w Gᵀ) ⊙ (Bᵀ d B) ]A,      summed over input channels: 36 matrix products, tiles × C times C × O
// The adjoint in x is the same with w turned by half a circle and its channels exchanged. The adjoint in w is
//   dw = Gᵀ[ Σ_tiles (Bᵀ d B) ⊙ (A g Aᵀ) ]G,   again 36 products, C × tiles times tiles × O.
// Tiles are taken in chunks, so that their transforms are still in the cache when the products read them.

#include "tensor/cpu/winograd.h"

#include <algorithm>
#include <vector>

#include "tensor/cpu/simd.h"
#include "tensor/cpu/simd_winograd.h"
#include "tensor/parallel.h"

namespace vapo::cpu {
namespace {

constexpr int64_t frequencies = 36;

int64_t padded(int64_t channels) {
  int64_t panel = winograd_simd().panel;
  return (channels + panel - 1) / panel * panel;
}
Tensor floats(int64_t count) { return Tensor::empty({count}); }

// One convolution: images of c channels in, o channels out; `pad` zeros around the input.
struct Problem {
  int64_t n, h, w, c, oh, ow, o, pad_h, pad_w;
  int64_t tiles_h() const { return (oh + 3) / 4; }
  int64_t tiles_w() const { return (ow + 3) / 4; }
  int64_t tiles() const { return n * tiles_h() * tiles_w(); }
  // Tiles in a chunk, of `own` that a thread has: as many as the second-level cache holds the transforms of, or,
  // where that would pass over the transformed weights too often, enough to hide them. `passes` over the weights a
  // chunk, and over transforms that left the cache.
  int64_t chunk(int64_t own, double passes, double passes_spilled) const {
    constexpr int64_t cache = 1 << 20;
    int64_t one = 4 * frequencies * (c + o), fit = std::max<int64_t>(cache / one, 1);
    double weights = passes * 4 * static_cast<double>(frequencies * c * o);
    double kept = weights / static_cast<double>(fit),
           spilled = weights / 192 + passes_spilled * static_cast<double>(one);
    int64_t best = kept < spilled ? std::max<int64_t>(fit / 12 * 12, 12) : 192;
    int64_t chunks = std::max<int64_t>(1, (own + best - 1) / best);
    return (own + chunks - 1) / chunks;
  }
};

// Where a tile lies: pointers to its rows of channels, `outside` where it leaves the image.
struct Place {
  int64_t n, row, col;  // of its first output
};
Place place_of(const Problem& p, int64_t tile) {
  int64_t per = p.tiles_h() * p.tiles_w();
  return {tile / per, tile % per / p.tiles_w() * 4, tile % p.tiles_w() * 4};
}
template <int size, class Pointer>
void point(Pointer image, int64_t h, int64_t w, int64_t c, int64_t n, int64_t row, int64_t col, Pointer outside,
           Pointer (&taps)[size * size]) {
  for (int i = 0; i < size; ++i)
    for (int j = 0; j < size; ++j) {
      int64_t r = row + i, q = col + j;
      bool inside = r >= 0 && r < h && q >= 0 && q < w;
      taps[size * i + j] = inside ? image + ((n * h + r) * w + q) * c : outside;
    }
}

// f(first tile, count) over chunks of tiles, on all threads.
template <class F>
void over_chunks(const Problem& p, const F& f) {
  int64_t tiles = p.tiles(), chunk = p.chunk((tiles + num_threads() - 1) / num_threads(), 1, 2),
          chunks = (tiles + chunk - 1) / chunk;
  parallel_for(chunks, 1, 1,
               [&](int64_t begin, int64_t end) { f(begin * chunk, std::min(tiles, end * chunk), chunk); });
}

void transform_input(const Problem& p, const float* x, int64_t first, int64_t count, const float* zeros, float* v,
                     int64_t frequency) {
  for (int64_t t = 0; t < count; ++t) {
    Place at = place_of(p, first + t);
    const float* taps[36];
    point<6>(x, p.h, p.w, p.c, at.n, at.row - p.pad_h, at.col - p.pad_w, zeros, taps);
    winograd_simd().input(taps, p.c, v + t * p.c, frequency);
  }
}

// u: G w Gᵀ as a panel array of c rows and o columns.
void convolve(const Problem& p, const float* x, const PanelArray& u, const float* bias, float* y) {
  const WinogradLoops& loops = winograd_simd();
  over_chunks(p, [&](int64_t begin, int64_t end, int64_t chunk) {
    Tensor zeros = Tensor::zeros({p.c}), v_store = floats(frequencies * chunk * p.c),
           m_store = floats(frequencies * chunk * padded(p.o));
    float *v = v_store.mutable_data<float>(), *m = m_store.mutable_data<float>();
    for (int64_t first = begin; first < end; first += chunk) {
      int64_t count = std::min(chunk, end - first);
      PanelArray products{m, count * padded(p.o), count};
      transform_input(p, x, first, count, zeros.data<float>(), v, chunk * p.c);
      for (int64_t f = 0; f < frequencies; ++f)
        loops.product(false, v + f * chunk * p.c, p.c, u.data + f * u.frequency, m + f * products.frequency, count,
                      p.o, p.c, false);
      for (int64_t t = 0; t < count; ++t) {
        Place at = place_of(p, first + t);
        float* out[16];
        point<4>(y, p.oh, p.ow, p.o, at.n, at.row, at.col, static_cast<float*>(nullptr), out);
        loops.output(products, t, p.o, bias, out);
      }
    }
  });
}

// Weights (o,3,3,c) seen as rows of input channels and columns of output channels of a convolution; for the adjoint
// in x the two change places and the window is turned by half a circle.
struct WeightView {
  int64_t row_step, col_step, rows, cols, tap[9];
};
WeightView view_of(int64_t c, int64_t o, bool adjoint) {
  WeightView v = adjoint ? WeightView{9 * c, 1, o, c, {}} : WeightView{1, 9 * c, c, o, {}};
  for (int64_t t = 0; t < 9; ++t) v.tap[t] = (adjoint ? 8 - t : t) * c;
  return v;
}
void with_transformed_weights(const Problem& p, const WeightView& view, const float* x, const float* w,
                              const float* bias, float* y) {
  Tensor store = floats(frequencies * view.rows * padded(view.cols));
  PanelArray u{store.mutable_data<float>(), view.rows * padded(view.cols), view.rows};
  parallel_for(view.rows, 1, 1, [&](int64_t begin, int64_t end) {
    winograd_simd().weights(w, view.row_step, view.col_step, view.tap, begin, end, view.cols, u);
  });
  convolve(p, x, u, bias, y);
}

Problem forward_problem(const ConvGeometry& s) {
  return {s.n, s.h, s.w, s.c, s.oh, s.ow, s.o, s.p.padding.h, s.p.padding.w};
}

}  // namespace

bool winograd_applies(const ConvGeometry& s) {
  return s.kh == 3 && s.kw == 3 && s.p.stride == kernel::Pair(1) && s.p.dilation == kernel::Pair(1) &&
         s.p.groups == 1 && s.p.padding.h <= 2 && s.p.padding.w <= 2;
}

bool winograd_is_faster(const ConvGeometry& s) {
  if (!winograd_applies(s) || s.c < 32 || s.o < 32) return false;
  int64_t tiles = s.n * ((s.oh + 3) / 4) * ((s.ow + 3) / 4);
  return tiles >= 48 && 2 * s.n * s.oh * s.ow >= 16 * tiles;
}

void winograd_forward(const ConvGeometry& s, const float* x, const float* w, const float* bias, float* y) {
  with_transformed_weights(forward_problem(s), view_of(s.c, s.o, false), x, w, bias, y);
}

void winograd_input_grad(const ConvGeometry& s, const float* g, const float* w, float* dx) {
  Problem p{s.n, s.oh, s.ow, s.o, s.h, s.w, s.c, 2 - s.p.padding.h, 2 - s.p.padding.w};
  with_transformed_weights(p, view_of(s.c, s.o, true), g, w, nullptr, dx);
}

void winograd_weight_grad(const ConvGeometry& s, const float* x, const float* g, float* dw) {
  const WinogradLoops& loops = winograd_simd();
  Problem p = forward_problem(s);
  int64_t cols = padded(s.o), size = frequencies * s.c * cols;
  std::vector<Tensor> sums(static_cast<size_t>(sum_parts()));  // one for each part of the tiles
  int64_t tiles = p.tiles(), parts = std::min<int64_t>(sum_parts(), tiles), per = (tiles + parts - 1) / parts;
  int64_t chunk = p.chunk(per, 2, 3);  // sums are read and written
  parallel_for(parts, 1, 1, [&](int64_t part_begin, int64_t part_end) {
    for (int64_t part = part_begin; part < part_end; ++part) {
      int64_t begin = part * per, end = std::min(tiles, begin + per);
      if (begin >= end) continue;
      Tensor& own = sums[static_cast<size_t>(part)];
      own = floats(size);
      Tensor zeros = Tensor::zeros({std::max(s.c, s.o)}), v_store = floats(frequencies * chunk * s.c),
             z_store = floats(frequencies * chunk * cols);
      float *v = v_store.mutable_data<float>(), *z = z_store.mutable_data<float>(), *u = own.mutable_data<float>();
      for (int64_t first = begin; first < end; first += chunk) {
        int64_t count = std::min(chunk, end - first);
        PanelArray cotangents{z, count * cols, count};
        transform_input(p, x, first, count, zeros.data<float>(), v, chunk * s.c);
        for (int64_t t = 0; t < count; ++t) {
          Place at = place_of(p, first + t);
          const float* taps[16];
          point<4>(g, s.oh, s.ow, s.o, at.n, at.row, at.col, zeros.data<float>(), taps);
          loops.cotangent(taps, s.o, cotangents, t);
        }
        for (int64_t f = 0; f < frequencies; ++f)
          loops.product(true, v + f * chunk * s.c, s.c, z + f * cotangents.frequency, u + f * s.c * cols, s.c, s.o,
                        count, first > begin);
      }
    }
  });
  float* total = sums[0].mutable_data<float>();
  auto add = simd<float>().of(kernel::Binary::add);
  for (size_t i = 1; i < sums.size(); ++i)
    if (sums[i].defined())
      parallel_for(size, 1 << 14, 16, [&](int64_t begin, int64_t end) {
        add({total + begin, sums[i].data<float>() + begin, total + begin, 1, end - begin, 0, 1, 0, 1});
      });
  WeightView view = view_of(s.c, s.o, false);
  parallel_for(s.c, 1, 1, [&](int64_t begin, int64_t end) {
    loops.weight_grad({total, s.c * cols, s.c}, view.row_step, view.col_step, view.tap, begin, end, s.o, dw);
  });
}

}  // namespace vapo::cpu
