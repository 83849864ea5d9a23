#pragma once
// How ranks sum what each of them has, by messages: the same tree on processors and on GPUs.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vapo {

struct Piece {  // elements of x
  size_t begin, count;
};

// Leaves on every rank, of the `count` elements x, the sums over ranks in the order of a tree (Communicator::all_reduce).
// 2^k ranks halve what they sum with their neighbour, then with the neighbours' neighbours, and hand the sums back the
// same way: twice the bytes in all, whatever their number. Others send up the tree, and rank 0 tells the sum.
// `links`: exchange(with, out, in): sends x's `out`, receives as much as `in` beside x; swap(with, out, in): sends x's `out`,
// receives into x's `in`; add(piece): x's piece += what was received beside; send(to, piece), receive(from, piece): of x, and
// beside it; broadcast(): all of x, from rank 0. Gives the bytes that this rank sent, but for those of broadcast().
template <class Links>
size_t sum_over_ranks(int64_t rank, int64_t size, size_t count, Links&& links) {
  size_t sent = 0;
  Piece all{0, count};
  if (size == 1) return 0;
  if (!std::has_single_bit(static_cast<uint64_t>(size))) {
    for (int64_t d = 1; d < size; d *= 2) {
      if (rank % (2 * d) == d) {
        links.send(rank - d, all);
        sent = count;
        break;
      }
      if (rank + d >= size) continue;
      links.receive(rank + d, all);
      links.add(all);
    }
    links.broadcast();
    return sent;
  }
  struct Halves {
    Piece mine, theirs;
  };
  auto halves = [&](Piece whole, int64_t d) {
    size_t half = whole.count / 2;
    Piece lower{whole.begin, half}, upper{whole.begin + half, whole.count - half};
    return (rank & d) != 0 ? Halves{upper, lower} : Halves{lower, upper};
  };
  std::vector<Piece> kept = {all};
  for (int64_t d = 1; d < size; d *= 2) {
    auto [mine, theirs] = halves(kept.back(), d);
    links.exchange(rank ^ d, theirs, mine);
    sent += theirs.count;
    links.add(mine);
    kept.push_back(mine);
  }
  for (int64_t d = size / 2; d > 0; d /= 2) {
    kept.pop_back();
    auto [mine, theirs] = halves(kept.back(), d);
    links.swap(rank ^ d, mine, theirs);
    sent += mine.count;
  }
  return sent;
}

}  // namespace vapo
