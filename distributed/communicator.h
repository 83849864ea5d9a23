#pragma once
// Ranks: processes that hold the same parameters and share the work of a step, a few verbs between them.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensor/tensor.h"

namespace vapo {

// Every verb is called by all ranks, in the same order and with operands of the same size; it returns when this rank has
// its part. Throws IoError where another rank cannot be reached.
class Communicator {
 public:
  virtual ~Communicator() = default;
  virtual int64_t rank() const = 0;  // 0 … size − 1
  virtual int64_t size() const = 0;
  bool leads() const { return rank() == 0; }  // the one that writes and speaks

  // In place the sums over ranks, the same bits on all of them: x₀ + x₁, x₂ + x₃, …; then sums of neighbours, and so on
  // (TreeSum below). What one rank sums of its own parts by the same tree, it may hand on as one.
  virtual void all_reduce(std::span<float> x) = 0;
  virtual void all_reduce(std::span<double> x) = 0;
  // The same of tensors, f32 or f64, each of one shape and type on all ranks, wherever they lie.
  void all_reduce(const std::vector<Tensor*>& x);
  // Sums in whatever order is quickest, which may differ with the number of ranks, while this rank goes on computing: x (n) is
  // kept by reference, and holds the sums when finish_sums() returns. Nothing else may touch it until then.
  virtual void start_sum(Tensor& x) { sum(x); }
  virtual void finish_sums() {}
  // After so long in a sum of tensors or a message all are ended, where this communicator can tell: another rank stands
  // still. 0, as at first: never.
  virtual void set_patience(std::chrono::seconds) {}
  // Whether sums of tensors on a GPU stay there, so that they can be part of a recorded step.
  virtual bool sums_on_gpus() const { return false; }
  virtual void broadcast(std::span<std::byte> x) = 0;  // rank 0's, to all
  virtual std::vector<std::string> gather(
      std::string_view x) = 0;  // on rank 0 all ranks', in order; elsewhere empty
  virtual void barrier() = 0;
  [[noreturn]] virtual void abort(int exit_code) = 0;  // ends all ranks

  // Of all_reduce since the program started: bytes that this rank sent, and seconds, of which some are waiting for others.
  struct Traffic {
    int64_t bytes = 0;
    double seconds = 0;
  };
  virtual Traffic traffic() const { return {}; }

 protected:
  virtual void sum(Tensor& x);  // (n) in place, as all_reduce has it; here by way of the CPU's memory
};

// What many tensors of one type hold, as one (n), and back.
Tensor flattened(const std::vector<Tensor*>& x);
void unflatten(const Tensor& all, const std::vector<Tensor*>& x);

std::unique_ptr<Communicator> alone();  // one rank; its verbs do nothing
// Rank 0's text, on every rank.
std::string broadcast_text(Communicator& ranks, std::string_view text);

// Sums parts in the order of a tree: neighbours first, then sums of neighbours. Of 2^k ranks with 2^j parts each, the
// tree of all parts is that of each rank's own, and above it that of all_reduce. add(a, b): a + b.
template <class T, class Add>
class TreeSum {
 public:
  explicit TreeSum(Add add) : add_(std::move(add)) {}
  void take(T part) {
    size_t height = 0;
    for (; !held_.empty() && held_.back().height == height; ++height) {
      part = add_(std::move(held_.back().sum), std::move(part));
      held_.pop_back();
    }
    held_.push_back({height, std::move(part)});
  }
  // Of all that was taken, at least one part.
  T sum() && {
    T sum = std::move(held_.back().sum);
    for (held_.pop_back(); !held_.empty(); held_.pop_back())
      sum = add_(std::move(held_.back().sum), std::move(sum));
    return sum;
  }
  bool empty() const { return held_.empty(); }

 private:
  struct Held {
    size_t height;
    T sum;
  };
  Add add_;
  std::vector<Held> held_;  // of falling height
};

// A communicator of messages from one rank to another: how the sums go about is here (rank_sum.h).
class MessageCommunicator : public Communicator {
 public:
  using Communicator::all_reduce;
  void all_reduce(std::span<float> x) override;
  void all_reduce(std::span<double> x) override;
  void broadcast(std::span<std::byte> x) override;
  std::vector<std::string> gather(std::string_view x) override;
  void barrier() override;
  Traffic traffic() const override { return traffic_; }

 protected:
  void count_traffic(size_t bytes, double seconds);
  virtual void send(int64_t to, std::span<const std::byte> x) = 0;
  virtual void receive(int64_t from, std::span<std::byte> x) = 0;
  // At once with another rank, which does the same.
  virtual void exchange(int64_t with, std::span<const std::byte> out, std::span<std::byte> in) = 0;

 private:
  template <class T>
  size_t sum_messages(std::span<T> x);
  template <class T>
  void timed_sum(std::span<T> x);
  Traffic traffic_;
};

}  // namespace vapo
