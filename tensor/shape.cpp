#include "tensor/shape.h"

#include <algorithm>

namespace vapo {

std::string Shape::str() const {
  std::string out = "(";
  for (int i = 0; i < rank_; ++i) out += fmt::format("{}{}", i ? "," : "", dims_[i]);
  return out + ")";
}

Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op) {
  if (a == b) return a;
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape out = longer;
  int shift = longer.rank() - shorter.rank();
  for (int i = 0; i < shorter.rank(); ++i) {
    int64_t m = longer[i + shift], n = shorter[i];
    VAPO_CHECK(m == n || m == 1 || n == 1,
               "[{}] shapes {} and {} do not broadcast: aligned at the last dimension, sizes must be equal or 1",
               op, a.str(), b.str());
    out[i + shift] = m == 1 ? n : m;
  }
  return out;
}

bool broadcasts_to(const Shape& from, const Shape& to) {
  int shift = to.rank() - from.rank();
  if (shift < 0) return false;
  for (int i = 0; i < from.rank(); ++i)
    if (from[i] != to[i + shift] && from[i] != 1) return false;
  return true;
}

Shape reduced_shape(const Shape& shape, const Dims& dims, bool keepdim, const char* op) {
  bool reduced[Shape::max_rank] = {};
  if (dims.empty()) std::fill_n(reduced, shape.rank(), true);
  for (int64_t d : dims) {
    int i = shape.wrap(d, op);
    VAPO_CHECK(!reduced[i], "[{}] dimension {} is given twice in {}", op, d, dims.str());
    reduced[i] = true;
  }
  Shape out;
  for (int i = 0; i < shape.rank(); ++i) {
    if (!reduced[i])
      out.push_back(shape[i]);
    else if (keepdim)
      out.push_back(1);
  }
  return out;
}

}  // namespace vapo
