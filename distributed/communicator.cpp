#include "distributed/communicator.h"

#include <chrono>
#include <cstdlib>

#include "distributed/rank_sum.h"
#include "tensor/check.h"
#include "tensor/kernels.h"

namespace vapo {
namespace {

class Alone : public Communicator {
 public:
  using Communicator::all_reduce;
  int64_t rank() const override { return 0; }
  int64_t size() const override { return 1; }
  void all_reduce(std::span<float>) override {}
  void all_reduce(std::span<double>) override {}
  void broadcast(std::span<std::byte>) override {}
  std::vector<std::string> gather(std::string_view x) override { return {std::string(x)}; }
  void barrier() override {}
  void abort(int exit_code) override { std::exit(exit_code); }
};

template <class T>
std::span<std::byte> bytes_of(std::span<T> x) {
  return std::as_writable_bytes(x);
}

}  // namespace

Tensor flattened(const std::vector<Tensor*>& x) {
  std::vector<Tensor> rows;
  for (const Tensor* t : x) rows.push_back(t->reshape({t->numel()}));
  return kernel::concat(rows, 0);
}

void unflatten(const Tensor& all, const std::vector<Tensor*>& x) {
  std::vector<int64_t> sizes;
  for (const Tensor* t : x) sizes.push_back(t->numel());
  std::vector<Tensor> rows = kernel::split(all, 0, sizes, std::vector<bool>(sizes.size(), true));
  for (size_t i = 0; i < x.size(); ++i) *x[i] = rows[i].reshape(x[i]->shape());
}

std::unique_ptr<Communicator> alone() { return std::make_unique<Alone>(); }

void Communicator::all_reduce(const std::vector<Tensor*>& x) {
  if (size() == 1) return;
  for (const Tensor* t : x)
    VAPO_CHECK(t->dtype() == DType::f32 || t->dtype() == DType::f64, "[all_reduce] of {}", name_of(t->dtype()));
  for (DType dtype : {DType::f32, DType::f64}) {
    std::vector<Tensor*> same;
    for (Tensor* t : x)
      if (t->dtype() == dtype) same.push_back(t);
    if (same.empty()) continue;
    Tensor all = flattened(same);
    sum(all);
    unflatten(all, same);
  }
}

void Communicator::sum(Tensor& x) {
  Tensor here = x.to(Device::cpu);
  dispatch_floating(x.dtype(), [&]<class T>() {
    all_reduce(std::span(here.mutable_data<T>(), static_cast<size_t>(here.numel())));
  });
  if (x.device() != Device::cpu) kernel::copy_into(x, here);
}

std::string broadcast_text(Communicator& ranks, std::string_view text) {
  uint64_t size = text.size();
  ranks.broadcast(bytes_of(std::span(&size, 1)));
  std::string out(text.substr(0, ranks.leads() ? text.size() : 0));
  out.resize(size);
  ranks.broadcast(bytes_of(std::span(out)));
  return out;
}

template <class T>
size_t MessageCommunicator::sum_messages(std::span<T> x) {
  struct Links {
    MessageCommunicator& ranks;
    std::span<T> x;
    std::vector<T> beside;
    std::span<std::byte> room(Piece p) {
      if (beside.size() < p.count) beside.resize(p.count);
      return bytes_of(std::span(beside).first(p.count));
    }
    std::span<std::byte> own(Piece p) { return bytes_of(x.subspan(p.begin, p.count)); }
    void exchange(int64_t with, Piece out, Piece in) { ranks.exchange(with, own(out), room(in)); }
    void swap(int64_t with, Piece out, Piece in) { ranks.exchange(with, own(out), own(in)); }
    void send(int64_t to, Piece p) { ranks.send(to, own(p)); }
    void receive(int64_t from, Piece p) { ranks.receive(from, room(p)); }
    void add(Piece p) {
      for (size_t i = 0; i < p.count; ++i) x[p.begin + i] += beside[i];
    }
    void broadcast() { ranks.broadcast(bytes_of(x)); }
  };
  return sum_over_ranks(rank(), size(), x.size(), Links{*this, x, {}}) * sizeof(T);
}

void MessageCommunicator::count_traffic(size_t bytes, double seconds) {
  traffic_.bytes += static_cast<int64_t>(bytes);
  traffic_.seconds += seconds;
}

template <class T>
void MessageCommunicator::timed_sum(std::span<T> x) {
  auto begun = std::chrono::steady_clock::now();
  size_t bytes = sum_messages(x);
  count_traffic(bytes, std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
}

void MessageCommunicator::all_reduce(std::span<float> x) { timed_sum(x); }
void MessageCommunicator::all_reduce(std::span<double> x) { timed_sum(x); }

// Down the tree by which sums go up.
void MessageCommunicator::broadcast(std::span<std::byte> x) {
  int64_t own = rank(), n = size(), top = 1;
  while (top < n) top *= 2;
  for (int64_t d = top / 2; d > 0; d /= 2) {
    if (own % (2 * d) == 0 && own + d < n) send(own + d, x);
    if (own % (2 * d) == d) receive(own - d, x);
  }
}

std::vector<std::string> MessageCommunicator::gather(std::string_view x) {
  if (!leads()) {
    uint64_t count = x.size();
    send(0, std::as_bytes(std::span(&count, 1)));
    send(0, std::as_bytes(std::span(x)));
    return {};
  }
  std::vector<std::string> out = {std::string(x)};
  for (int64_t from = 1; from < size(); ++from) {
    uint64_t count = 0;
    receive(from, bytes_of(std::span(&count, 1)));
    std::string& text = out.emplace_back(count, '\0');
    receive(from, bytes_of(std::span(text)));
  }
  return out;
}

void MessageCommunicator::barrier() {
  double nothing = 0;
  sum_messages(std::span(&nothing, 1));
}

}  // namespace vapo
