#include "tensor/tensor.h"

#include <limits>

#include "tensor/backend.h"
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

Tensor Tensor::empty(const Shape& shape, TensorOptions o) {
  int64_t n = checked_numel(shape, size_of(o.dtype));
  size_t elements = static_cast<size_t>(n) * size_of(o.dtype), bytes = header_bytes(sizeof(Impl));
  if (o.device == Device::cuda) {
    void* data = cuda::allocate(elements);
    return Tensor(new (detail::allocate(bytes)) Impl{1, o.dtype, o.device, shape, n, data, nullptr, bytes});
  }
  void* block = detail::allocate(bytes + elements);
  auto* data = static_cast<std::byte*>(block) + bytes;
  return Tensor(new (block) Impl{1, o.dtype, o.device, shape, n, data, nullptr, bytes + elements});
}

void Tensor::destroy(Impl* p) noexcept {
  Impl* owner = p->owner;
  size_t bytes = p->block_bytes;
  if (p->device == Device::cuda && !owner)
    cuda::deallocate(p->data, static_cast<size_t>(p->numel) * size_of(p->dtype));
  p->~Impl();
  detail::deallocate(p, bytes);
  release(owner);
}

void Tensor::check_size(int64_t count, const Shape& shape) {
  VAPO_CHECK(checked_numel(shape, 8) == count, "[tensor] {} values for shape {}", count, shape.str());
}

Tensor Tensor::full(const Shape& shape, double value, TensorOptions o) { return kernel::fill(shape, value, o); }

Tensor Tensor::arange(int64_t n, DType dtype) {
  Tensor out = empty({n}, dtype);
  dispatch_any(dtype, [&]<class T>() {
    T* y = out.mutable_data<T>();
    for (int64_t i = 0; i < n; ++i) y[i] = static_cast<T>(static_cast<Compute<T>>(i));
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
  return dispatch_any(dtype(), [&]<class T>() {
    T value;
    if (device() == Device::cuda)
      cuda::copy_bytes(&value, Device::cpu, static_cast<const T*>(raw()) + i, Device::cuda, sizeof(T));
    else
      value = data<T>()[i];
    return static_cast<double>(value);
  });
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
  return shape == this->shape() ? *this : handle(shape);
}

Tensor Tensor::alias() const { return handle(shape()); }

Tensor Tensor::handle(const Shape& shape) const {
  void* block = detail::allocate(sizeof(Impl));
  Impl* keep = owner(impl_);
  retain(keep);
  return Tensor(new (block) Impl{1, dtype(), device(), shape, numel(), raw(), keep, sizeof(Impl)});
}

void Tensor::count_write() const {
  stamp(owner(impl_));
  if (WritesOfStep::current) WritesOfStep::current->add(*this);
}

Tensor Tensor::to(DType wanted) const {
  if (wanted == dtype()) return *this;
  Tensor out = empty(shape(), {wanted, device()});
  copy_elements(out, *this);
  return out;
}

Tensor Tensor::to(Device wanted) const {
  if (wanted == device()) return *this;
  Tensor out = empty(shape(), {dtype(), wanted});
  copy_elements(out, *this);
  return out;
}

Tensor Tensor::clone() const {
  Tensor out = empty(shape(), options());
  copy_elements(out, *this);
  return out;
}

}  // namespace vapo
