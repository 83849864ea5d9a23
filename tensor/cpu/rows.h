#pragma once
// Loops over the rows of a strided result, on all threads.

#include <algorithm>

#include "tensor/parallel.h"
#include "tensor/strided.h"

namespace vapo::cpu {

inline constexpr int64_t cheap_grain = 1 << 13;  // elements a thread at least, for loops bound by memory

// f(at, first row, rows) for pieces of rows that lie as the second dimension's strides say, a row being the
// innermost dimension; at[k] is where operand k has the first row's first element.
template <int operands, class F>
void for_rows(const Strided<operands>& s, const F& f) {
  int64_t rows = s.size[1];
  parallel_for(s.numel() / s.size[0], std::max<int64_t>(1, cheap_grain / s.size[0]), 1,
               [&](int64_t begin, int64_t end) {
                 for (int64_t row = begin; row < end;) {
                   int64_t within = row % rows, count = std::min(end - row, rows - within), at[operands];
                   s.find(row * s.size[0], at);
                   f(at, row, count);
                   row += count;
                 }
               });
}

}  // namespace vapo::cpu
