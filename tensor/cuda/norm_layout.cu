// Which rows fit into shared memory, and how they lie there.

#include <algorithm>

#include "tensor/cuda/norm_rows.h"

namespace vapo::cuda {
namespace {

constexpr int most_parts = 8;

struct Needs {  // of the forward pass and of the two derivatives
  int operands, sums, map;
  bool mask, shares;
};
constexpr Needs needs[] = {{1, 2, 3, false, false},
                           {2, NormSum::count, NormMap::count, true, false},
                           {3, NormSum2::count, NormMap2::count, true, true}};

int shared_memory() {  // of a block, in bytes
  static const int most = [] {
    int bytes = 0;
    VAPO_CUDA(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    return bytes;
  }();
  return most;
}

// Fills in what follows from the width, the vectors and the threads.
int64_t lay_out(Rows& r, const Needs& need, bool masked, int64_t stored, int64_t computed) {
  r.slots = r.width / r.vec, r.lines = r.threads / r.slots, r.spans = static_cast<int>(r.channels / r.width);
  r.parts = std::clamp(r.threads / r.width, 1, most_parts);
  int64_t used = 0, elements = int64_t{r.pixels} * r.width;
  auto take = [&](int64_t bytes) {
    int64_t at = used;
    used += (bytes + 15) / 16 * 16;
    return static_cast<int>(std::min<int64_t>(at, INT32_MAX));
  };
  for (int i = 0; i < need.operands; ++i) r.operand[i] = take(elements * stored);
  if (need.mask && masked) r.mask = take(elements);
  if (need.shares) r.shares = take(2 * r.width * int64_t{8});
  r.exchange = take(2 * r.threads * r.vec * computed);
  r.partial = take(need.sums * r.parts * r.width * computed);
  r.sums = take(need.sums * r.width * computed), r.map = take(need.map * r.width * computed);
  r.bytes = static_cast<int>(std::min<int64_t>(used, INT32_MAX));
  return used;
}

}  // namespace

// The narrowest rows that use whole sectors of 32 bytes and give each of a block's threads something to do; else
// the widest that fit.
std::optional<Rows> rows_for(const NormSize& size, int64_t groups, DType dtype, int derivative, bool masked) {
  const Needs& need = needs[derivative];
  int64_t stored = static_cast<int64_t>(size_of(dtype)),
          computed = static_cast<int64_t>(size_of(compute_dtype(dtype)));
  int64_t group = size.channels / groups, room = shared_memory();
  if (size.pixels * group * stored > room) return {};
  for (int64_t vec : {16 / computed, int64_t{1}}) {
    if (size.channels % vec != 0) continue;
    std::optional<Rows> widest;
    for (int64_t k = 1; k <= groups; ++k) {
      int64_t width = k * group, vectors = size.pixels * width / vec;
      if (groups % k != 0 || width % vec != 0) continue;
      if (size.pixels * width * stored > room || width / vec > most_threads || size.n * (groups / k) > INT32_MAX)
        break;
      Rows r{};
      r.channels = size.channels, r.groups = groups, r.pixels = static_cast<int>(size.pixels);
      r.group = static_cast<int>(group), r.width = static_cast<int>(width), r.vec = static_cast<int>(vec);
      auto with_threads = [&](int64_t most) {
        int64_t threads = std::min(most, (vectors + 31) / 32 * 32);
        r.threads = static_cast<int>(std::max(threads, (width / vec + 31) / 32 * 32));
        return lay_out(r, need, masked, stored, computed);
      };
      // where a multiprocessor does not hold two blocks and what it keeps for each, the one gets all threads
      if (with_threads(block_size) > room / 2 - 1024 && with_threads(most_threads) > room &&
          with_threads(block_size) > room)
        break;
      widest = r;
      if (width * stored >= 32 && vectors >= block_size) break;
    }
    if (widest) return widest;
  }
  return {};
}

bool norm_in_one_pass(const NormSize& size, int64_t groups, DType dtype, int derivative) {
  return rows_for(size, groups, dtype, derivative, false).has_value();
}

}  // namespace vapo::cuda
