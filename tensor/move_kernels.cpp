// Kernels that move elements: permutations, joining and splitting, copies.

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "tensor/backend.h"

namespace vapo {
namespace kernel {

Tensor permute(const Tensor& x, const Dims& dims) {
  VAPO_CHECK(dims.rank() == x.rank(), "[permute] {} dimensions for shape {}", dims.rank(), x.shape().str());
  Shape shape;
  Dims order;
  bool seen[Shape::max_rank] = {};
  for (int64_t d : dims) {
    int i = x.shape().wrap(d, "permute");
    VAPO_CHECK(!seen[i], "[permute] dimension {} is given twice in {}", d, dims.str());
    seen[i] = true;
    order.push_back(i);
    shape.push_back(x.shape()[i]);
  }
  Tensor y = Tensor::empty(shape, x.options());
  if (y.numel() > 0) VAPO_ON(x.device(), copy_strided(x, permute_strides(x.shape(), order), y));
  return y;
}

namespace {
// x as `outer` rows along dimension d, which has entries of `one` bytes.
struct Along {
  std::byte* begin;
  int64_t outer, one, row;
  Along(const Tensor& x, int d) : begin(static_cast<std::byte*>(x.raw())) {
    Around r = around(x.shape(), d);
    outer = r.outer, one = r.inner * static_cast<int64_t>(size_of(x.dtype())), row = r.size * one;
  }
};
}  // namespace

Tensor concat(std::span<const Tensor> xs, int64_t dim) {
  VAPO_CHECK(!xs.empty(), "[concat] of no tensors");
  Shape shape = xs[0].shape();
  int d = shape.wrap(dim, "concat");
  shape[d] = 0;
  for (const Tensor& x : xs) {
    VAPO_CHECK(x.rank() == shape.rank() && x.dtype() == xs[0].dtype(), "[concat] {} {} does not join {} {}",
               name_of(x.dtype()), x.shape().str(), name_of(xs[0].dtype()), xs[0].shape().str());
    VAPO_CHECK(x.device() == xs[0].device(), "[concat] {} on {} does not join {} on {}. Hint: move one with to()",
               x.shape().str(), name_of(x.device()), xs[0].shape().str(), name_of(xs[0].device()));
    for (int i = 0; i < shape.rank(); ++i)
      VAPO_CHECK(i == d || x.shape()[i] == shape[i], "[concat] along dimension {}: {} does not join {}", d,
                 x.shape().str(), xs[0].shape().str());
    shape[d] += x.shape()[d];
  }
  Tensor y = Tensor::empty(shape, xs[0].options());
  Along whole(y, d);
  std::vector<BlockCopy> pieces;
  int64_t at = 0;
  for (const Tensor& x : xs) {
    Along part(x, d);
    pieces.push_back({part.begin, part.row, whole.begin + at, whole.row, part.row});
    at += part.row;
  }
  VAPO_ON(y.device(), copy_pieces(pieces, whole.outer));
  return y;
}

std::vector<Tensor> split(const Tensor& x, int64_t dim, const std::vector<int64_t>& sizes,
                          const std::vector<bool>& wanted) {
  int d = x.shape().wrap(dim, "split");
  VAPO_CHECK(sizes.size() == wanted.size() && std::ranges::all_of(sizes, [](int64_t n) { return n >= 0; }) &&
                 std::accumulate(sizes.begin(), sizes.end(), int64_t{0}) == x.shape()[d],
             "[split] dimension {} of {} into pieces of {}", dim, x.shape().str(), fmt::join(sizes, ", "));
  Along whole(x, d);
  std::vector<Tensor> out;
  std::vector<BlockCopy> pieces;
  int64_t at = 0;
  for (size_t i = 0; i < sizes.size(); at += sizes[i++] * whole.one) {
    out.emplace_back();
    if (!wanted[i]) continue;
    Shape shape = x.shape();
    shape[d] = sizes[i];
    out[i] = Tensor::empty(shape, x.options());
    Along part(out[i], d);
    pieces.push_back({whole.begin + at, whole.row, part.begin, part.row, part.row});
  }
  VAPO_ON(x.device(), copy_pieces(pieces, whole.outer));
  return out;
}

namespace {
// Between part and the entries start, start + step, … of whole along d; whole has zeros elsewhere.
void copy_slice(const Tensor& whole, const Tensor& part, int d, int64_t start, int64_t step, bool to_part) {
  Along w(whole, d), p(part, d);
  int64_t n = part.shape()[d];
  if (n > 0 && whole.shape()[d] == n * step) w.outer *= n, w.row = step * w.one, p.row = p.one, n = 1;
  auto piece = [&](int64_t at, int64_t stride, int64_t part_at, int64_t bytes) {
    BlockCopy out{w.begin + at, stride, p.begin + part_at, bytes, bytes};
    return to_part ? out : BlockCopy{out.to, out.to_stride, w.begin + at, stride, bytes};
  };
  auto zeros = [&](int64_t at, int64_t bytes) { return BlockCopy{nullptr, 0, w.begin + at, w.row, bytes}; };
  std::vector<BlockCopy> pieces;
  if (n <= 1 || step == 1) {
    int64_t before = std::min(start * w.one, w.row);
    pieces = {piece(before, w.row, 0, p.row)};
    if (!to_part)
      pieces.push_back(zeros(0, before)), pieces.push_back(zeros(before + p.row, w.row - before - p.row));
    return VAPO_ON(whole.device(), copy_pieces(pieces, w.outer));
  }
  if (!to_part) {
    pieces = {zeros(0, w.row)};
    VAPO_ON(whole.device(), copy_pieces(pieces, w.outer));
  }
  pieces.clear();
  for (int64_t o = 0; o < w.outer; ++o)
    pieces.push_back(piece(o * w.row + start * w.one, step * w.one, o * p.row, w.one));
  VAPO_ON(whole.device(), copy_pieces(pieces, n));
}
}  // namespace

Tensor slice(const Tensor& x, int64_t dim, int64_t start, int64_t stop, int64_t step) {
  int d = x.shape().wrap(dim, "slice");
  VAPO_CHECK(0 <= start && start <= stop && stop <= x.shape()[d] && step >= 1,
             "[slice] [{}:{}:{}] of dimension {} of {}", start, stop, step, dim, x.shape().str());
  Shape shape = x.shape();
  shape[d] = (stop - start + step - 1) / step;
  Tensor y = Tensor::empty(shape, x.options());
  copy_slice(x, y, d, start, step, true);
  return y;
}

Tensor unslice(const Tensor& g, const Shape& shape, int64_t dim, int64_t start, int64_t step) {
  int d = shape.wrap(dim, "unslice");
  VAPO_CHECK(g.rank() == shape.rank() && start >= 0 && step >= 1 &&
                 (g.shape()[d] == 0 || start + (g.shape()[d] - 1) * step < shape[d]),
             "[unslice] {} from {} in steps of {} does not fit {}", g.shape().str(), start, step, shape.str());
  for (int i = 0; i < shape.rank(); ++i)
    VAPO_CHECK(i == d || g.shape()[i] == shape[i], "[unslice] {} is no slice of {} along {}", g.shape().str(),
               shape.str(), d);
  Tensor y = Tensor::empty(shape, g.options());
  copy_slice(y, g, d, start, step, false);
  return y;
}

void copy_into(const Tensor& target, const Tensor& source) {
  copy_elements(target, source);
  target.count_write();
}

}  // namespace kernel

void copy_elements(const Tensor& target, const Tensor& source) {
  VAPO_CHECK(target.shape() == source.shape(), "[copy_into] {} into {}", source.shape().str(),
             target.shape().str());
  if (source.numel() == 0) return;
  if (target.dtype() == source.dtype()) {
    if (target.device() == Device::cpu && source.device() == Device::cpu)
      std::memcpy(target.raw(), source.raw(), source.bytes());
    else if (target.device() == source.device())
      cuda::copy_blocks(source.raw(), 0, target.raw(), 0, static_cast<int64_t>(source.bytes()), 1);
    else
      cuda::copy_bytes(target.raw(), target.device(), source.raw(), source.device(), source.bytes());
  } else if (target.device() == source.device()) {
    VAPO_ON(source.device(), convert(source, target));
  } else {
    copy_elements(target, source.to(target.dtype()));
  }
}

}  // namespace vapo
