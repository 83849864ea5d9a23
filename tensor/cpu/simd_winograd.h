#pragma once
// The vectorised parts of Winograd's convolution F(4×4,3×3), f32. Formulas: winograd.cpp.
//
// Frequency ξ = 6i + j is entry (i,j) of a 6×6 transform. A "panel" array holds, for each ξ, columns in groups of
// `panel`: element (row, col) of ξ is at ξ·frequency + (col/panel)·rows·panel + row·panel + col%panel. Columns are
// filled up to a whole panel with zeros.

#include <cstdint>

namespace vapo::cpu {

struct PanelArray {
  float* data;
  int64_t frequency;  // elements from one ξ to the next
  int64_t rows;
};

struct WinogradLoops {
  int64_t panel;  // columns of a panel: two registers
  // BᵀdB of one tile for every channel: d[36] are rows of channels, v[ξ·frequency + c]
  void (*input)(const float* const* d, int64_t channels, float* v, int64_t frequency);
  // A g Aᵀ of one tile of 4×4 cotangents into row `row` of a panel array
  void (*cotangent)(const float* const* g, int64_t channels, const PanelArray& z, int64_t row);
  // AᵀmA of row `row`, plus bias (or null), to 4×4 rows of channels; null where they lie outside
  void (*output)(const PanelArray& m, int64_t row, int64_t channels, const float* bias, float* const* y);
  // G w Gᵀ: the weights of input channels [begin, end), as rows, and all `cols` output channels. Tap t of (row,
  // col) is w[row·row_step + col·col_step + tap[t]]
  void (*weights)(const float* w, int64_t row_step, int64_t col_step, const int64_t* tap, int64_t begin,
                  int64_t end, int64_t cols, const PanelArray& u);
  // Gᵀ u G, back: the same addresses
  void (*weight_grad)(const PanelArray& u, int64_t row_step, int64_t col_step, const int64_t* tap, int64_t begin,
                      int64_t end, int64_t cols, float* dw);
  // One ξ: c (+)= a·b over k. c is rows × cols in panels of `rows` rows, b k × cols in panels of k rows. Element
  // (r,k) of a is a[r·stride + k], or, transposed, a[k·stride + r].
  void (*product)(bool transposed, const float* a, int64_t stride, const float* b, float* c, int64_t rows,
                  int64_t cols, int64_t k, bool add);
};
const WinogradLoops& winograd_simd();  // of the best instruction set this machine has

}  // namespace vapo::cpu
