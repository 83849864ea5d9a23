#pragma once
// Sizes of a tensor, outermost first. Inline storage, at most 8 dimensions; rank 0 is a scalar.

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "tensor/check.h"

namespace vapo {

class Shape {
 public:
  static constexpr int max_rank = 8;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}
  explicit Shape(std::span<const int64_t> dims) {
    VAPO_CHECK(dims.size() <= max_rank, "[shape] {} dimensions, at most {} are supported", dims.size(), max_rank);
    for (int64_t d : dims) push_back(d);
  }

  int rank() const { return rank_; }
  bool empty() const { return rank_ == 0; }
  size_t size() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i]; }
  int64_t& operator[](int i) { return dims_[i]; }
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  int64_t back() const { return dims_[rank_ - 1]; }
  void push_back(int64_t d) {
    VAPO_CHECK(rank_ < max_rank, "[shape] more than {} dimensions", max_rank);
    dims_[rank_++] = d;
  }
  // Elements in all; 1 for a scalar.
  int64_t numel() const {
    int64_t n = 1;
    for (int64_t d : *this) n *= d;
    return n;
  }
  // -1 is the last dimension. Throws where `dim` does not exist; `op` opens the message.
  int wrap(int64_t dim, const char* op) const {
    VAPO_CHECK(dim >= -rank_ && dim < rank_, "[{}] dimension {} does not exist in shape {}", op, dim, str());
    return static_cast<int>(dim < 0 ? dim + rank_ : dim);
  }
  std::string str() const;  // "(2,3)"

  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int i = 0; i < a.rank_; ++i)
      if (a.dims_[i] != b.dims_[i]) return false;
    return true;
  }

 private:
  std::array<int64_t, max_rank> dims_{};
  int rank_ = 0;
};

inline std::string format_as(const Shape& s) { return s.str(); }

using Dims = Shape;  // a short list of dimension numbers, as in sum(x, {0, 1})

// NumPy's rule: aligned at the last dimension, 1 stretches. Throws naming `op` and both shapes.
Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op);
bool broadcasts_to(const Shape& from, const Shape& to);
// `shape` without `dims` (or with 1 in their place). Empty dims = all. Throws on a repeated or missing dim.
Shape reduced_shape(const Shape& shape, const Dims& dims, bool keepdim, const char* op);

}  // namespace vapo
