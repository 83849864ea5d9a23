#pragma once
// Ranks that are threads of one process, for tests: messages go through queues.

#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "distributed/communicator.h"
#include "tensor/check.h"

namespace vapo::testing {

class Post {
 public:
  void put(int64_t from, int64_t to, std::span<const std::byte> x) {
    std::lock_guard lock(mutex_);
    boxes_[{from, to}].emplace_back(x.begin(), x.end());
    bytes_ += x.size();
    changed_.notify_all();
  }
  void take(int64_t from, int64_t to, std::span<std::byte> x) {
    std::unique_lock lock(mutex_);
    auto& box = boxes_[{from, to}];
    if (!changed_.wait_for(lock, std::chrono::seconds(60), [&] { return !box.empty(); })) fail("[take] no message");
    VAPO_CHECK(box.front().size() == x.size(), "[take] {} bytes for {}", box.front().size(), x.size());
    if (!x.empty()) std::memcpy(x.data(), box.front().data(), x.size());
    box.pop_front();
  }
  size_t bytes() const { return bytes_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::pair<int64_t, int64_t>, std::deque<std::vector<std::byte>>> boxes_;
  size_t bytes_ = 0;
};

class ThreadsCommunicator : public MessageCommunicator {
 public:
  ThreadsCommunicator(Post& post, int64_t rank, int64_t size) : post_(post), rank_(rank), size_(size) {}
  int64_t rank() const override { return rank_; }
  int64_t size() const override { return size_; }
  void abort(int) override { fail("[abort]"); }

 protected:
  void send(int64_t to, std::span<const std::byte> x) override { post_.put(rank_, to, x); }
  void receive(int64_t from, std::span<std::byte> x) override { post_.take(from, rank_, x); }
  void exchange(int64_t with, std::span<const std::byte> out, std::span<std::byte> in) override {
    send(with, out);
    receive(with, in);
  }

 private:
  Post& post_;
  int64_t rank_, size_;
};

// f on every one of `size` ranks at once; bytes that they sent. The first error is thrown on.
inline size_t on_ranks(int64_t size, const std::function<void(Communicator& ranks)>& f) {
  Post post;
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> errors(static_cast<size_t>(size));
  for (int64_t rank = 0; rank < size; ++rank)
    threads.emplace_back([&, rank] {
      ThreadsCommunicator own(post, rank, size);
      try {
        f(own);
      } catch (...) {
        errors[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  for (std::thread& t : threads) t.join();
  for (const std::exception_ptr& e : errors)
    if (e) std::rethrow_exception(e);
  return post.bytes();
}

}  // namespace vapo::testing
