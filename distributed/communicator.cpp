#include "distributed/communicator.h"

#include <bit>
#include <chrono>
#include <cstdlib>

#include "tensor/check.h"

namespace vapo {
namespace {

class Alone : public Communicator {
 public:
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
void add_to(std::span<T> x, std::span<const T> y) {
  for (size_t i = 0; i < x.size(); ++i) x[i] += y[i];
}

template <class T>
std::span<std::byte> bytes_of(std::span<T> x) {
  return std::as_writable_bytes(x);
}

}  // namespace

std::unique_ptr<Communicator> alone() { return std::make_unique<Alone>(); }

std::string broadcast_text(Communicator& ranks, std::string_view text) {
  uint64_t size = text.size();
  ranks.broadcast(bytes_of(std::span(&size, 1)));
  std::string out(text.substr(0, ranks.leads() ? text.size() : 0));
  out.resize(size);
  ranks.broadcast(bytes_of(std::span(out)));
  return out;
}

// 2^k ranks halve what they sum with their neighbour, then with the neighbours' neighbours, and hand the sums back the
// same way: twice the bytes in all, whatever their number. Others send up the tree, and rank 0 tells the sum.
template <class T>
void MessageCommunicator::sum(std::span<T> x) {
  int64_t own = rank(), n = size();
  if (n == 1) return;
  std::vector<T> other((x.size() + 1) / (std::has_single_bit(static_cast<uint64_t>(n)) ? 2 : 1));
  auto room = [&](size_t count) { return std::span(other).first(count); };
  if (!std::has_single_bit(static_cast<uint64_t>(n))) {
    other.resize(x.size());
    for (int64_t d = 1; d < n; d *= 2) {
      if (own % (2 * d) == d) {
        send(own - d, std::as_bytes(x));
        traffic_.bytes += static_cast<int64_t>(x.size_bytes());
        break;
      }
      if (own + d >= n) continue;
      receive(own + d, bytes_of(room(x.size())));
      add_to<T>(x, room(x.size()));
    }
    broadcast(bytes_of(x));
    return;
  }
  std::vector<std::span<T>> kept = {x};
  for (int64_t d = 1; d < n; d *= 2) {
    std::span<T> whole = kept.back();
    size_t half = whole.size() / 2;
    bool upper = (own & d) != 0;
    std::span<T> mine = upper ? whole.subspan(half) : whole.first(half),
                 theirs = upper ? whole.first(half) : whole.subspan(half);
    exchange(own ^ d, std::as_bytes(theirs), bytes_of(room(mine.size())));
    traffic_.bytes += static_cast<int64_t>(theirs.size_bytes());
    add_to<T>(mine, room(mine.size()));
    kept.push_back(mine);
  }
  for (int64_t d = n / 2; d > 0; d /= 2) {
    std::span<T> mine = kept.back();
    kept.pop_back();
    std::span<T> whole = kept.back();
    size_t half = whole.size() / 2;
    std::span<T> theirs = (own & d) != 0 ? whole.first(half) : whole.subspan(half);
    exchange(own ^ d, std::as_bytes(mine), bytes_of(theirs));
    traffic_.bytes += static_cast<int64_t>(mine.size_bytes());
  }
}

template <class T>
void MessageCommunicator::timed_sum(std::span<T> x) {
  auto begun = std::chrono::steady_clock::now();
  sum(x);
  traffic_.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
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
  sum(std::span(&nothing, 1));
}

}  // namespace vapo
