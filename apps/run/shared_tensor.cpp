#include "apps/run/shared_tensor.h"

#include <algorithm>
#include <cstring>

#include "apps/run/ranks.h"
#include "tensor/kernels.h"

namespace vapo::app {
namespace {

// The type, the shape and the numbers; nothing of an undefined one.
std::string bytes_of(const Tensor& x) {
  if (!x.defined()) return {};
  Tensor here = x.to(Device::cpu);
  std::vector<int64_t> head = {static_cast<int64_t>(here.dtype()), here.rank()};
  for (int64_t size : here.shape()) head.push_back(size);
  std::string out(reinterpret_cast<const char*>(head.data()), head.size() * sizeof(int64_t));
  return out.append(static_cast<const char*>(here.raw()), here.bytes());
}

Tensor tensor_of(const std::string& bytes) {
  if (bytes.empty()) return {};
  int64_t head[2];
  std::memcpy(head, bytes.data(), sizeof head);
  std::vector<int64_t> sizes(static_cast<size_t>(head[1]));
  std::memcpy(sizes.data(), bytes.data() + sizeof head, sizes.size() * sizeof(int64_t));
  Shape shape;
  for (int64_t size : sizes) shape.push_back(size);
  Tensor out = Tensor::empty(shape, static_cast<DType>(head[0]));
  size_t at = (2 + sizes.size()) * sizeof(int64_t);
  std::memcpy(out.raw(), bytes.data() + at, bytes.size() - at);
  return out;
}

}  // namespace

Tensor from_leader(const Tensor& x) {
  if (ranks().size() == 1) return x;
  return tensor_of(broadcast_text(ranks(), ranks().leads() ? bytes_of(x) : ""));
}

std::vector<Tensor> to_leader(const Tensor& x) {
  if (ranks().size() == 1) return {x};
  std::vector<Tensor> out;
  for (const std::string& bytes : ranks().gather(bytes_of(x))) out.push_back(tensor_of(bytes));
  return out;
}

Tensor in_shared_batches(int64_t n, int64_t batch,
                         const std::function<Tensor(int64_t begin, int64_t count)>& make) {
  int64_t count = ranks().size();
  std::vector<Tensor> own, all;
  for (int64_t begin = batch * ranks().rank(); begin < n; begin += batch * count)
    own.push_back(make(begin, std::min(batch, n - begin)));
  if (count == 1) return own.empty() ? Tensor() : kernel::concat(own, 0);
  std::vector<Tensor> of_ranks = to_leader(own.empty() ? Tensor() : kernel::concat(own, 0));
  for (int64_t begin = 0, b = 0; ranks().leads() && begin < n; begin += batch, ++b) {
    int64_t first = b / count * batch, rows = std::min(batch, n - begin);
    all.push_back(kernel::slice(of_ranks[static_cast<size_t>(b % count)], 0, first, first + rows, 1));
  }
  return from_leader(all.empty() ? Tensor() : kernel::concat(all, 0));
}

double largest_of_ranks(double own) {
  for (const Tensor& x : to_leader(Tensor::from(std::vector{own}, {1}))) own = std::max(own, x.item());
  return from_leader(Tensor::from(std::vector{own}, {1})).item();
}

}  // namespace vapo::app
