// Which rows fit into shared memory, and how they lie there.

#include <algorithm>
#include <bit>

#include "tensor/cuda/norm_rows.h"

namespace vapo::cuda {
namespace {

constexpr int64_t least_vectors = 4, least_threads = 64;  // of a thread, and of a block that has so many
constexpr int64_t warp = 32, reserved = 1 << 10;          // bytes of a block that the hardware takes

int attribute_of(cudaDeviceAttr which) {
  int value = 0;
  VAPO_CUDA(cudaDeviceGetAttribute(&value, which, chosen_device()));
  return value;
}
int shared_memory() {  // of a block, in bytes
  static const int most = attribute_of(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  return most;
}
int multiprocessors() {
  static const int count = attribute_of(cudaDevAttrMultiProcessorCount);
  return count;
}

// How many (groups of) warps share the pixels: as many as let each thread hold its vectors, where so many are allowed.
// Else, the fewer blocks a multiprocessor has shared memory for, the more threads each gets.
void share_out(Rows& r, int derivative, bool masked, int64_t stored) {
  int64_t whole = warp * r.warps, most = most_threads[derivative];
  auto parts = [&](int64_t vectors) { return (r.pixels + r.lines * vectors - 1) / (r.lines * vectors); };
  int64_t holding = std::max(parts(most_held), std::min(parts(1), (least_threads + whole - 1) / whole));
  r.held = derivative < 2 && holding * whole <= most;
  if (r.held) {
    r.parts = static_cast<int>(holding);
    return;
  }
  constexpr int64_t sums = 2 << 10;
  int64_t elements = int64_t{r.pixels} * r.width, bytes = elements * (stored * (derivative + 1) + masked);
  int64_t blocks = std::max<int64_t>((shared_memory() + reserved) / (bytes + reserved + sums), 1);
  int64_t all = most * least_blocks[derivative] / blocks;
  int64_t threads = std::clamp(std::min(elements / r.vec / least_vectors, all), least_threads, most);
  r.parts =
      static_cast<int>(std::clamp<int64_t>(std::min((threads + whole - 1) / whole, parts(1)), 1, most / whole));
}

// Fills in what follows from the width and the vectors; returns the bytes that a block takes.
int64_t lay_out(Rows& r, int derivative, bool masked, int64_t stored) {
  int64_t elements = int64_t{r.pixels} * r.width;
  r.lanes = static_cast<int>(std::bit_ceil(static_cast<unsigned>(std::min<int64_t>(r.slots, warp))));
  r.lines = static_cast<int>(warp / r.lanes), r.warps = static_cast<int>((r.slots + warp - 1) / warp);
  share_out(r, derivative, masked, stored);
  r.threads = static_cast<int>(r.parts * warp * r.warps);
  using By = Divisor<int>;
  r.by_group = By(r.group), r.by_groups = By(r.groups), r.by_lanes = By(r.lanes);
  r.by_warps = By(r.warps), r.by_spans = By(r.spans);
  int64_t used = 0;
  auto take = [&](int64_t bytes) {
    int64_t at = used;
    used += (bytes + 15) / 16 * 16;
    return static_cast<int>(std::min<int64_t>(at, INT32_MAX));
  };
  auto places = [&](int stages) {
    used = 0, r.stages = stages;
    for (int i = 0; i <= derivative; ++i) r.operand[i] = take(stages * elements * stored);
    if (masked) r.mask = take(stages * elements);
    constexpr int computed = sizeof(float), most_sums = 20;  // a thread's values: of 4 or 8 channels, 4 or 2 units
    r.exchange = take(int64_t{r.parts} * r.slots * most_sums * computed);
    r.totals = take(int64_t{r.slots} * (derivative == 0 ? 8 * sizeof(double) : most_sums * computed));
    r.scalars = take(7 * r.groups * computed);
    r.bytes = static_cast<int>(std::min<int64_t>(used, INT32_MAX));
    return used <= shared_memory();
  };
  bool one_by_one = !places(r.held ? 1 : 2) && !r.held;
  if (one_by_one) places(1);
  int64_t at_once = std::min((shared_memory() + reserved) / (used + reserved),
                             int64_t{most_threads[derivative]} * least_blocks[derivative] / r.threads);
  int64_t resident = multiprocessors() * std::max<int64_t>(at_once, 1);
  r.blocks = one_by_one ? r.items : static_cast<int>(std::min<int64_t>(r.items, resident));
  return used;
}

}  // namespace

// The narrowest rows that use whole sectors of 32 bytes and give a block's threads something to do; else the widest
// that fit. f64 is not worth the kernels.
std::optional<Rows> rows_for(const NormSize& size, int64_t groups, DType dtype, int derivative, bool masked) {
  if (dtype != DType::f32 && dtype != DType::bf16) return {};
  int64_t stored = static_cast<int64_t>(size_of(dtype)), group = size.channels / groups, room = shared_memory();
  if (size.pixels * group * stored > room) return {};
  for (int64_t vec : {8, 4}) {  // eight of f32 would be two vectors; of eight, four and four share a group
    if (size.channels % vec != 0 || (vec == 8 && (stored > 2 || group % 4 != 0))) continue;
    std::optional<Rows> widest;
    for (int64_t k = 1; k <= groups; ++k) {
      int64_t width = k * group, vectors = size.pixels * width / vec;
      if (groups % k != 0 || width % vec != 0) continue;
      if (size.pixels * width * stored > room || width / vec > most_threads[derivative] ||
          size.n * (groups / k) > INT32_MAX)
        break;
      Rows r{};
      r.channels = size.channels, r.groups_of_all = static_cast<int>(groups),
      r.pixels = static_cast<int>(size.pixels);
      r.group = static_cast<int>(group), r.width = static_cast<int>(width), r.vec = static_cast<int>(vec);
      r.groups = static_cast<int>(k);
      r.slots = static_cast<int>(width / vec), r.spans = static_cast<int>(groups / k);
      r.items = static_cast<int>(size.n * (groups / k));
      if (lay_out(r, derivative, masked, stored) > room) break;
      widest = r;
      if (width * stored >= 32 && vectors >= 2 * least_threads) break;
    }
    if (widest) return widest;
  }
  return {};
}

bool norm_in_one_pass(const NormSize& size, int64_t groups, DType dtype, int derivative) {
  return rows_for(size, groups, dtype, derivative, false).has_value();
}

}  // namespace vapo::cuda
