#pragma once
// A tensor: contiguous, row-major, of one dtype on one device. A Tensor is a counted handle (8 bytes): copying it
// shares the elements. Operations never write into what another handle has; only optimizers and EMA write there.

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "tensor/device.h"
#include "tensor/dtype.h"
#include "tensor/shape.h"
#include "tensor/storage.h"
#include "tensor/write_clock.h"

namespace vapo {

// What a tensor is made of besides its shape. A DType alone means that type on the CPU.
struct TensorOptions {
  DType dtype = DType::f32;
  Device device = Device::cpu;
  TensorOptions() = default;
  TensorOptions(DType dtype_, Device device_ = Device::cpu) : dtype(dtype_), device(device_) {}
};

class Tensor {
 public:
  Tensor() = default;
  Tensor(const Tensor& o) : impl_(o.impl_) { retain(impl_); }
  Tensor(Tensor&& o) noexcept : impl_(std::exchange(o.impl_, nullptr)) {}
  Tensor& operator=(Tensor o) noexcept {
    std::swap(impl_, o.impl_);
    return *this;
  }
  ~Tensor() { release(impl_); }

  // --- construction; sizes must not be negative
  static Tensor empty(const Shape& shape, TensorOptions options = {});  // not initialised
  static Tensor zeros(const Shape& shape, TensorOptions options = {}) { return full(shape, 0, options); }
  static Tensor ones(const Shape& shape, TensorOptions options = {}) { return full(shape, 1, options); }
  static Tensor full(const Shape& shape, double value, TensorOptions options = {});
  static Tensor scalar(double value, TensorOptions options = {}) { return full({}, value, options); }
  static Tensor arange(int64_t n, DType dtype = DType::i64);  // 0, 1, …, n−1
  template <class T>
  static Tensor from(std::span<const T> values, const Shape& shape) {  // copies
    check_size(static_cast<int64_t>(values.size()), shape);
    Tensor out = empty(shape, dtype_of<T>);
    if (!values.empty()) std::memcpy(out.mutable_data<T>(), values.data(), values.size_bytes());
    return out;
  }
  template <class T>
  static Tensor from(const std::vector<T>& values, const Shape& shape) {
    return from(std::span<const T>(values), shape);
  }

  // --- facts
  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const { return impl_->shape; }
  int rank() const { return impl_->shape.rank(); }
  int64_t dim(int64_t i) const { return impl_->shape[impl_->shape.wrap(i, "dim")]; }
  int64_t numel() const { return impl_->numel; }
  DType dtype() const { return impl_->dtype; }
  Device device() const { return impl_->device; }
  TensorOptions options() const { return {dtype(), device()}; }
  size_t bytes() const { return static_cast<size_t>(numel()) * size_of(dtype()); }
  bool shares_storage(const Tensor& o) const { return impl_ && o.impl_ && owner(impl_) == owner(o.impl_); }
  bool held_once() const {  // no other handle has the elements: what writes there is seen by nobody else
    return impl_->references.load(std::memory_order_acquire) == 1 &&
           (!impl_->owner || impl_->owner->references.load(std::memory_order_acquire) == 1);
  }

  // --- elements, of a tensor on the CPU (raw() gives the address on any device). mutable_data is for kernels that
  // fill a fresh tensor, for optimizers and for readers of files; it counts as a write, raw() does not.
  template <class T>
  const T* data() const {
    check_dtype(dtype_of<T>);
    return static_cast<const T*>(raw());
  }
  template <class T>
  T* mutable_data() const {
    check_dtype(dtype_of<T>);
    stamp(owner(impl_));
    return static_cast<T*>(raw());
  }
  void* raw() const { return impl_->data; }
  double item() const;         // the one element; throws if there are more. From any device
  double at(int64_t i) const;  // element i in row-major order, as a double. From any device
  template <class T>
  std::vector<T> to_vector() const {  // from any device
    Tensor here = to(Device::cpu);
    return {here.data<T>(), here.data<T>() + numel()};
  }

  // --- the same elements otherwise
  Tensor reshape(const Shape& shape) const;  // shares the elements; one size may be −1
  Tensor to(DType dtype) const;              // itself where the dtype is the same
  Tensor to(Device device) const;            // itself where the device is the same; waits until the copy is done
  Tensor clone() const;
  Tensor alias() const;  // shares the elements; made_at() is now

  // --- when, by the clock of write_clock.h
  uint64_t made_at() const { return impl_->made; }  // this handle, of which copies are the same
  uint64_t written_at() const { return owner(impl_)->written.load(std::memory_order_relaxed); }  // the elements
  // What writes into storage that exists says so. In a recorded step, every replay of it will be a write too.
  void count_write() const;

 private:
  // On the CPU, header and elements are one block; a reshaped tensor is a header of its own that keeps the owner alive.
  struct Impl {
    std::atomic<int32_t> references;
    DType dtype;
    Device device;
    Shape shape;
    int64_t numel;
    void* data;
    Impl* owner;         // null: the elements are this tensor's own
    size_t block_bytes;  // of this header, and of the elements where they follow it (on the CPU)
    uint64_t made = WriteClock::now();
    std::atomic<uint64_t> written = 0;  // of an owner
  };
  static Impl* owner(Impl* p) { return p->owner ? p->owner : p; }
  static void stamp(Impl* p) {  // only where it changes: threads that fill parts of a tensor share it
    uint64_t now = WriteClock::now();
    if (p->written.load(std::memory_order_relaxed) != now) p->written.store(now, std::memory_order_relaxed);
  }
  static void retain(Impl* p) {
    if (p) p->references.fetch_add(1, std::memory_order_relaxed);
  }
  static void release(Impl* p) noexcept {
    if (p && p->references.fetch_sub(1, std::memory_order_acq_rel) == 1) destroy(p);
  }
  static void destroy(Impl* p) noexcept;
  static void check_size(int64_t count, const Shape& shape);
  void check_dtype(DType wanted) const {
    VAPO_CHECK(impl_ && impl_->dtype == wanted, "[tensor] asked for {} elements of a tensor of {}", name_of(wanted),
               impl_ ? name_of(impl_->dtype) : "nothing");
    VAPO_CHECK(impl_->device == Device::cpu, "[tensor] its elements are on {}. Hint: to(Device::cpu)",
               name_of(impl_->device));
  }

  explicit Tensor(Impl* adopted) : impl_(adopted) {}
  Tensor handle(const Shape& shape) const;

  Impl* impl_ = nullptr;
};

}  // namespace vapo
