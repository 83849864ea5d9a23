#include "tensor/tensor.h"

#include <limits>

#include "tensor/kernels.h"

namespace vapo {
namespace {

constexpr size_t header_bytes(size_t impl) { return (impl + 63) / 64 * 64; }

int64_t checked_numel(const Shape& shape, size_t element) {
  int64_t n = 1;
  bool zero = false;
  for (int64_t d : shape) {
    VAPO_CHECK(d >= 0, "[tensor] negative size in shape {}", shape.str());
    zero |= d == 0;
    if (d > 0)
      VAPO_CHECK(n <= std::numeric_limits<int64_t>::max() / static_cast<int64_t>(element) / d,
                 "[tensor] shape {} is too large", shape.str());
    if (d > 0) n *= d;
  }
  return zero ? 0 : n;
}

}  // namespace

Tensor Tensor::empty(const Shape& shape, DType dtype) {
  int64_t n = checked_numel(shape, size_of(dtype));
  size_t bytes = header_bytes(sizeof(Impl)) + static_cast<size_t>(n) * size_of(dtype);
  void* block = detail::allocate(bytes);
  auto* data = static_cast<std::byte*>(block) + header_bytes(sizeof(Impl));
  return Tensor(new (block) Impl{1, dtype, shape, n, data, nullptr, bytes});
}

void Tensor::destroy(Impl* p) noexcept {
  Impl* owner = p->owner;
  size_t bytes = p->block_bytes;
  p->~Impl();
  detail::deallocate(p, bytes);
  release(owner);
}

void Tensor::check_size(int64_t count, const Shape& shape) {
  VAPO_CHECK(checked_numel(shape, 8) == count, "[tensor] {} values for shape {}", count, shape.str());
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype) { return kernel::fill(shape, value, dtype); }

Tensor Tensor::arange(int64_t n, DType dtype) {
  Tensor out = empty({n}, dtype);
  dispatch_any(dtype, [&](auto zero) {
    using T = decltype(zero);
    T* y = out.mutable_data<T>();
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(i);
  });
  return out;
}

double Tensor::item() const {
  VAPO_CHECK(defined() && numel() == 1, "[item] needs a tensor with one element, got shape {}",
             defined() ? shape().str() : "undefined");
  return at(0);
}

double Tensor::at(int64_t i) const {
  VAPO_CHECK(i >= 0 && i < numel(), "[at] element {} of a tensor of {}", i, numel());
  return dispatch_any(dtype(), [&](auto zero) { return static_cast<double>(data<decltype(zero)>()[i]); });
}

Tensor Tensor::reshape(const Shape& wanted) const {
  Shape shape = wanted;
  int64_t known = 1;
  int open = -1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] == -1) {
      VAPO_CHECK(open < 0, "[reshape] more than one -1 in {}", wanted.str());
      open = i;
    } else {
      known *= shape[i];
    }
  }
  if (open >= 0) {
    VAPO_CHECK(known > 0 && numel() % known == 0, "[reshape] {} cannot become {}", this->shape().str(),
               wanted.str());
    shape[open] = numel() / known;
  }
  VAPO_CHECK(checked_numel(shape, 1) == numel(), "[reshape] {} has {} elements, {} has another number",
             this->shape().str(), numel(), wanted.str());
  if (shape == this->shape()) return *this;
  void* block = detail::allocate(sizeof(Impl));
  Impl* keep = owner(impl_);
  retain(keep);
  return Tensor(new (block) Impl{1, dtype(), shape, numel(), raw(), keep, sizeof(Impl)});
}

Tensor Tensor::to(DType wanted) const {
  if (wanted == dtype()) return *this;
  Tensor out = empty(shape(), wanted);
  kernel::copy_into(out, *this);
  return out;
}

Tensor Tensor::clone() const {
  Tensor out = empty(shape(), dtype());
  if (bytes() > 0) std::memcpy(out.raw(), raw(), bytes());
  return out;
}

}  // namespace vapo
