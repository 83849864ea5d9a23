// Kernels that take their elements from where an index says, and their adjoints.

#include "tensor/backend.h"

namespace vapo::kernel {
namespace {

// Of a step that is only recorded nothing can be read: an entry out of range gives NaN there, or adds nothing.
bool unseen(const Tensor& index) { return index.device() == Device::cuda && cuda::is_recording(); }

void check_index(const char* op, const Tensor& index, int64_t size) {
  VAPO_CHECK(index.rank() == 1 && index.dtype() == DType::i64, "[{}] index must be i64 of shape (n), got {} {}", op,
             name_of(index.dtype()), index.shape().str());
  if (unseen(index)) return;
  Tensor here = index.to(Device::cpu);
  for (int64_t i = 0; i < index.numel(); ++i) {
    int64_t row = here.data<int64_t>()[i];
    VAPO_CHECK(row >= 0 && row < size, "[{}] index {} is outside [0, {})", op, row, size);
  }
}

// Of an index of many dimensions: the first entry outside of [0, size), with where it stands.
void check_entries(const char* op, const Tensor& index, int d, const Shape& shape) {
  if (unseen(index)) return;
  Tensor here = index.to(Device::cpu);
  const int64_t* entries = here.data<int64_t>();
  for (int64_t i = 0; i < index.numel(); ++i) {
    if (entries[i] >= 0 && entries[i] < shape[d]) continue;
    Shape at = index.shape();
    for (int64_t k = at.rank() - 1, rest = i; k >= 0; rest /= index.shape()[static_cast<int>(k)], --k)
      at[static_cast<int>(k)] = rest % index.shape()[static_cast<int>(k)];
    fail("[{}] index {} at {} is outside [0, {}), dimension {} of {}", op, entries[i], at.str(), shape[d], d,
         shape.str());
  }
}
// `whole` and `part` differ along d alone; part is shaped like the index.
Around check_gather(const char* op, const Shape& whole, const Shape& part, int d, const Tensor& index,
                    bool in_range) {
  VAPO_CHECK(index.defined() && index.dtype() == DType::i64, "[{}] index must be i64, got {}", op,
             index.defined() ? name_of(index.dtype()) : "an undefined tensor");
  bool fits = index.shape() == part && part.rank() == whole.rank();
  for (int i = 0; fits && i < whole.rank(); ++i) fits = i == d || part[i] == whole[i];
  VAPO_CHECK(fits, "[{}] along dimension {}: index {} does not fit {}{}", op, d, index.shape().str(), whole.str(),
             index.shape() == part ? "" : fmt::format(" and {}", part.str()));
  if (!in_range) check_entries(op, index, d, whole);
  return around(whole, d);
}
}  // namespace

Tensor index_select(const Tensor& x, int64_t dim, const Tensor& index) {
  int d = x.shape().wrap(dim, "index_select");
  check_index("index_select", index, x.shape()[d]);
  Shape shape = x.shape();
  shape[d] = index.numel();
  Tensor y = Tensor::empty(shape, x.options());
  if (y.numel() > 0) VAPO_ON(x.device(), gather(x, around(x.shape(), d), index, y));
  return y;
}

Tensor index_add(const Tensor& g, const Shape& shape, int64_t dim, const Tensor& index) {
  VAPO_CHECK(g.defined() && is_floating(g.dtype()), "[index_add] needs f32 or f64");
  int d = shape.wrap(dim, "index_add");
  check_index("index_add", index, shape[d]);
  Shape expected = shape;
  expected[d] = index.numel();
  VAPO_CHECK(g.shape() == expected, "[index_add] {} rows for {} need shape {}, got {}", index.numel(), shape.str(),
             expected.str(), g.shape().str());
  Tensor from = g.dtype() == DType::bf16 && g.device() == Device::cuda ? g.to(DType::f32) : g;  // sums in f32
  Tensor y = Tensor::zeros(shape, from.options());
  if (g.numel() > 0) VAPO_ON(g.device(), scatter_add(from, around(shape, d), index, y));
  return y.to(g.dtype());
}

Tensor gather(const Tensor& x, int64_t dim, const Tensor& index, bool in_range) {
  VAPO_CHECK(x.defined(), "[gather] an operand is undefined");
  int d = x.shape().wrap(dim, "gather");
  Around along = check_gather("gather", x.shape(), index.defined() ? index.shape() : Shape(), d, index, in_range);
  Tensor y = Tensor::empty(index.shape(), x.options());
  if (y.numel() > 0) VAPO_ON(x.device(), gather(x, along, index, y));
  return y;
}

Tensor scatter_add(const Tensor& g, const Shape& shape, int64_t dim, const Tensor& index, bool in_range) {
  VAPO_CHECK(g.defined() && is_floating(g.dtype()), "[scatter_add] needs f32 or f64");
  int d = shape.wrap(dim, "scatter_add");
  Around along = check_gather("scatter_add", shape, g.shape(), d, index, in_range);
  if (g.dtype() == DType::bf16)  // sums in f32
    return scatter_add(g.to(DType::f32), shape, dim, index, true).to(DType::bf16);
  Tensor y = Tensor::zeros(shape, g.options());
  if (g.numel() > 0) VAPO_ON(g.device(), scatter_add(g, along, index, y));
  return y;
}

}  // namespace vapo::kernel
