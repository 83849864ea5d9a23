// Linear maps in adjoint pairs: broadcast ↔ sum, slice ↔ zeros around, gather ↔ scatter-add, a permutation ↔ its inverse.

#include <algorithm>

#include "autograd/ops.h"

namespace vapo {
namespace {

// The adjoint of slice: g placed into zeros of `shape`.
Var unslice(const Var& g, const Shape& shape, int dim, int64_t start, int64_t step) {
  return record("unslice", kernel::unslice(g.value(), shape, dim, start, step),
                {{g, [dim, start, step, n = g.dim(dim)](const Var& u) {
                    return slice(u, dim, {start, n == 0 ? start : start + (n - 1) * step + 1, step});
                  }}});
}

// The adjoint of index_select: rows with the same index add up.
Var index_add(const Var& g, const Shape& shape, int dim, const Var& index) {
  return record("index_add", kernel::index_add(g.value(), shape, dim, index.value()),
                {{g, [dim, index](const Var& u) { return index_select(u, dim, index.value()); }}});
}

// Pieces of x, one after the other along `dim`; those that are not wanted are left undefined.
std::vector<Var> split_into(const Var& x, int64_t dim, const std::vector<int64_t>& sizes,
                            const std::vector<bool>& wanted) {
  return record_jointly(
      "split", kernel::split(x.value(), dim, sizes, wanted), {&x, 1},
      [dim, sizes, shape = x.shape(), options = x.options()](std::span<const Var> g, const auto&, auto) {
        std::vector<Var> parts(g.begin(), g.end());
        for (size_t i = 0; i < parts.size(); ++i) {
          Shape of_part = shape;
          of_part[of_part.wrap(dim, "split")] = sizes[i];
          if (!parts[i].defined()) parts[i] = Tensor::zeros(of_part, options);
        }
        return std::vector{concat(parts, dim)};
      });
}

}  // namespace

std::vector<Var> split(const Var& x, int64_t dim, int64_t count) {
  VAPO_CHECK(count >= 1 && x.dim(dim) % count == 0, "[split] dimension {} of {} does not divide into {} pieces",
             dim, x.shape().str(), count);
  auto pieces = static_cast<size_t>(count);
  return split_into(x, dim, std::vector(pieces, x.dim(dim) / count), std::vector(pieces, true));
}

std::vector<Var> split(const Var& x, int64_t dim, const std::vector<int64_t>& sizes) {
  return split_into(x, dim, sizes, std::vector(sizes.size(), true));
}

Var broadcast_to(const Var& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return record("broadcast_to", kernel::broadcast_to(x.value(), shape),
                {{x, [s = x.shape()](const Var& g) { return sum_to(g, s); }}});
}
Var sum_to(const Var& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  return record("sum_to", kernel::sum_to(x.value(), shape),
                {{x, [s = x.shape()](const Var& g) { return broadcast_to(g, s); }}});
}

Var reshape(const Var& x, const Shape& shape) {
  Tensor y = x.value().reshape(shape);
  if (y.shape() == x.shape()) return x;
  return record("reshape", std::move(y), {{x, [s = x.shape()](const Var& g) { return reshape(g, s); }}});
}

Var permute(const Var& x, const Dims& dims) {
  return record("permute", kernel::permute(x.value(), dims),
                {{x, [dims, rank = x.rank()](const Var& g) {
                    Dims inverse = dims;
                    for (int i = 0; i < rank; ++i)
                      inverse[static_cast<int>(dims[i] < 0 ? dims[i] + rank : dims[i])] = i;
                    return permute(g, inverse);
                  }}});
}

Var concat(std::span<const Var> xs, int64_t dim) {
  std::vector<Tensor> values;
  std::vector<int64_t> sizes;
  for (const Var& x : xs) values.push_back(x.value());
  Tensor y = kernel::concat(values, dim);
  for (const Var& x : xs) sizes.push_back(x.dim(dim));
  return record_jointly("concat", {std::move(y)}, xs,
                        [dim, sizes](std::span<const Var> g, const std::vector<bool>& wanted, auto) {
                          return split_into(g[0], dim, sizes, wanted);
                        })[0];
}
Var concat(std::initializer_list<Var> xs, int64_t dim) { return concat(std::span(xs.begin(), xs.size()), dim); }

Var slice(const Var& x, int64_t dim, Slice range) {
  int d = x.shape().wrap(dim, "slice");
  int64_t n = x.dim(d);
  VAPO_CHECK(range.step >= 1, "[slice] step {} is not positive", range.step);
  auto clamp = [n](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + n : i, 0, n); };
  int64_t start = clamp(range.start), stop = std::max(start, clamp(range.stop)), step = range.step;
  if (start == 0 && stop == n && step == 1) return x;
  return record("slice", kernel::slice(x.value(), d, start, stop, step),
                {{x, [d, start, step, s = x.shape()](const Var& g) { return unslice(g, s, d, start, step); }}});
}

Var pad2d(const Var& x, Pad2d pads) {
  VAPO_CHECK(x.rank() == 4, "[pad2d] {} is no image (N,H,W,C)", x.shape().str());
  Var y = x;
  auto pad = [&y](int dim, int64_t before, int64_t after) {
    int64_t n = y.dim(dim);
    VAPO_CHECK(n + before + after >= 0, "[pad2d] pads {} and {} of dimension {} of {}", before, after, dim,
               y.shape().str());
    if (before < 0 || after < 0) {
      y = slice(y, dim, {std::max<int64_t>(0, -before), n + std::min<int64_t>(0, after)});
      before = std::max<int64_t>(0, before), after = std::max<int64_t>(0, after);
    }
    if (before == 0 && after == 0) return;
    Shape shape = y.shape();
    int d = shape.wrap(dim, "pad2d");
    shape[d] += before + after;
    y = unslice(y, shape, d, before, 1);
  };
  pad(2, pads.left, pads.right);
  pad(1, pads.top, pads.bottom);
  return y;
}

Var index_select(const Var& x, int64_t dim, const Tensor& index) {
  int d = x.shape().wrap(dim, "index_select");
  Var at = index;  // as any operand, it must not be written before its last use
  return record("index_select", kernel::index_select(x.value(), d, at.value()),
                {{x, [d, at, s = x.shape()](const Var& g) { return index_add(g, s, d, at); }}});
}

Var embedding(const Var& w, const Tensor& index) {
  VAPO_CHECK(w.rank() == 2 && index.dtype() == DType::i64,
             "[embedding] table {} must be (classes,width), index i64: got {}", w.shape().str(),
             name_of(index.dtype()));
  Shape shape = index.shape();
  shape.push_back(w.dim(1));
  return reshape(index_select(w, 0, index.reshape({index.numel()})), shape);
}

}  // namespace vapo
