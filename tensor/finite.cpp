#include "tensor/finite.h"

#include <fmt/format.h>

#include <cmath>

#include "tensor/kernels.h"

namespace vapo {

std::string NonFinite::where() const {
  if (of == 1) return "in the only sample";
  return fmt::format("in {} of {} samples, the first is sample {} (counted from 0)", rows, of, first);
}

std::optional<NonFinite> non_finite(const Tensor& x) {
  if (kernel::all_finite(x.dtype() == DType::bf16 ? x.to(DType::f32) : x)) return std::nullopt;
  Tensor here = x.to(Device::cpu).to(DType::f64);
  const double* at = here.data<double>();
  NonFinite out;
  out.of = here.rank() == 0 ? 1 : here.dim(0);
  int64_t width = here.numel() / out.of;
  for (int64_t row = 0; row < out.of; ++row) {
    int64_t before = out.values;
    for (int64_t i = row * width; i < (row + 1) * width; ++i) {
      out.values += !std::isfinite(at[i]);
      out.nan |= std::isnan(at[i]);
    }
    if (out.values == before) continue;
    if (out.rows++ == 0) out.first = row;
  }
  return out;
}

}  // namespace vapo
