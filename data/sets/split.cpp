#include <algorithm>
#include <cmath>

#include "data/sets/points.h"
#include "tensor/check.h"
#include "tensor/kernels.h"

namespace vapo::data {

Split split_rows(const Tensor& x, double held_out_fraction, uint64_t seed) {
  VAPO_CHECK(held_out_fraction >= 0 && held_out_fraction < 1, "[split_rows] fraction {} is not in [0,1)",
             held_out_fraction);
  VAPO_CHECK(x.rank() >= 1 && x.dim(0) >= (held_out_fraction > 0 ? 2 : 1),
             "[split_rows] {} has too few rows to hold out {} of them", x.shape().str(), held_out_fraction);
  int64_t n = x.dim(0), held = static_cast<int64_t>(std::llround(held_out_fraction * static_cast<double>(n)));
  held = std::clamp<int64_t>(held, held_out_fraction > 0 ? 1 : 0, n - 1);
  constexpr uint32_t stream = 0x5917;
  Tensor order = randperm(n, {.seed = seed, .stream = stream});
  Tensor held_out = kernel::slice(order, 0, 0, held, 1);
  return {kernel::index_select(x, 0, kernel::slice(order, 0, held, n, 1)), kernel::index_select(x, 0, held_out),
          held_out};
}

}  // namespace vapo::data
