#pragma once
// What an error says of a tensor that is not finite.

#include <optional>
#include <string>

#include "tensor/tensor.h"

namespace vapo {

struct NonFinite {
  bool nan = false;                      // NaN among them; else infinities alone
  int64_t values = 0, rows = 0, of = 0;  // how many; in how many rows (of the first dimension), of how many
  int64_t first = 0;                     // the first such row
  std::string_view name() const { return nan ? "NaN" : "infinite"; }
  std::string where() const;  // "in 3 of 64 samples, the first is sample 5 (from 0)"
};
// Nothing where all of x (f32, f64 or bf16) is finite. Reads a copy on the CPU where it is not: for errors.
std::optional<NonFinite> non_finite(const Tensor& x);

}  // namespace vapo
