#pragma once
// Passes over lists of tensors. Lists of the same sizes are cut into the same pieces, and each thread takes the same ones:
// what a pass leaves in a core's cache is there for the next.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tensor/parallel.h"

namespace vapo::cpu {

struct Piece {  // elements [begin, begin + count) of one tensor of a list
  size_t tensor;
  int64_t begin, count;
};
inline constexpr int64_t piece_size = 8192;

// f(piece, its number) for all pieces of tensors of these sizes; before(how many) is called once, first.
template <class Size, class Before, class F>
void for_pieces(size_t tensors, const Size& size, const Before& before, const F& f) {
  static thread_local std::vector<Piece> pieces;  // kept, so that a step allocates nothing
  pieces.clear();
  for (size_t i = 0; i < tensors; ++i)
    for (int64_t n = size(i), begin = 0; begin < n; begin += piece_size)
      pieces.push_back({i, begin, std::min(piece_size, n - begin)});
  before(pieces.size());
  parallel_for(static_cast<int64_t>(pieces.size()), 4, 1, [all = &pieces, &f](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f((*all)[static_cast<size_t>(i)], static_cast<size_t>(i));
  });
}
template <class Size, class F>
void for_pieces(size_t tensors, const Size& size, const F& f) {
  for_pieces(
      tensors, size, [](size_t) {}, [&](const Piece& p, size_t) { f(p); });
}

}  // namespace vapo::cpu
