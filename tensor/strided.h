#pragma once
// Where a result finds its operands' elements: broadcasts and permutations as sizes and strides.

#include <cstdint>

#include "tensor/functions.h"
#include "tensor/shape.h"

namespace vapo {

// Sizes of the result, innermost first, each with the strides of the operands there: 0 where one stands still.
// Neighbouring dimensions through which all of them move on alike are one.
template <int operands>
struct Strided {
  int rank = 0;
  int64_t size[Shape::max_rank] = {1, 1};  // a result of lower rank is one row, or one element
  int64_t stride[operands][Shape::max_rank] = {};

  void push_outwards(int64_t n, const int64_t (&steps)[operands]) {
    if (n == 1) return;
    int last = rank - 1;
    bool moves_on = rank > 0;
    for (int k = 0; k < operands; ++k) moves_on = moves_on && steps[k] == stride[k][last] * size[last];
    if (moves_on) {
      size[last] *= n;
      return;
    }
    size[rank] = n;
    for (int k = 0; k < operands; ++k) stride[k][rank] = steps[k];
    ++rank;
  }
  int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= size[d];
    return n;
  }
  // at[k] = the place in operand k of what element i of the result reads.
  VAPO_FN void find(int64_t i, int64_t (&at)[operands]) const {
    for (int k = 0; k < operands; ++k) at[k] = 0;
    for (int d = 0; d < rank; ++d) {
      int64_t position = i % size[d];
      i /= size[d];
      for (int k = 0; k < operands; ++k) at[k] += position * stride[k][d];
    }
  }
};

// Of operands that broadcast to `out`.
template <class... Shapes>
Strided<sizeof...(Shapes)> broadcast_strides(const Shape& out, const Shapes&... shapes) {
  constexpr int operands = sizeof...(Shapes);
  const Shape* of[operands] = {&shapes...};
  Strided<operands> s;
  int64_t stride[operands], steps[operands];
  for (int64_t& next : stride) next = 1;
  for (int i = 1; i <= out.rank(); ++i) {
    for (int k = 0; k < operands; ++k) {
      int64_t n = i <= of[k]->rank() ? (*of[k])[of[k]->rank() - i] : 1;
      steps[k] = n == 1 ? 0 : stride[k];
      stride[k] *= n;
    }
    s.push_outwards(out[out.rank() - i], steps);
  }
  return s;
}

// Result dimension i is dimension dims[i] of an operand of shape `x`.
inline Strided<1> permute_strides(const Shape& x, const Dims& dims) {
  int64_t stride[Shape::max_rank], next = 1;
  for (int i = x.rank() - 1; i >= 0; --i) stride[i] = next, next *= x[i];
  Strided<1> s;
  for (int i = dims.rank() - 1; i >= 0; --i) s.push_outwards(x[static_cast<int>(dims[i])], {stride[dims[i]]});
  return s;
}

}  // namespace vapo
