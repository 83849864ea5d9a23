#include "tensor/parallel.h"

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "tensor/check.h"

namespace vapo {
namespace {

constinit thread_local bool inside = false;  // a part of a loop runs on this thread
constinit thread_local int number = 0;

void pause() {
#ifdef __x86_64__
  __builtin_ia32_pause();
#endif
}

// Until `done`, spinning for at most this long; false where it was not.
template <class F>
bool spin(const F& done, std::chrono::microseconds longest) {
  for (int i = 0; i < 256; ++i) {
    if (done()) return true;
    pause();
  }
  auto end = std::chrono::steady_clock::now() + longest;
  do {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return done();
}

// Each worker has a ticket that the caller raises to hand it a part: one that gets none is not disturbed.
struct alignas(64) Worker {
  std::atomic<int> ticket = 0;
  std::atomic<bool> asleep = false;
  std::thread thread;
};

class Pool {
 public:
  explicit Pool(int threads) {
    for (int i = 1; i < threads; ++i) {
      workers_.push_back(std::make_unique<Worker>());
      workers_.back()->thread = std::thread([this, i, w = workers_.back().get()] { work(*w, i); });
    }
  }
  ~Pool() {
    part_ = nullptr;
    for (auto& w : workers_) hand_over(*w);
    for (auto& w : workers_) w->thread.join();
  }
  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  bool run(int parts, void (*part)(void*, int), void* context) {
    std::unique_lock lock(busy_, std::try_to_lock);
    if (!lock) return false;
    part_ = part, context_ = context;
    unfinished_.store(parts - 1, std::memory_order_relaxed);
    for (int i = 1; i < parts; ++i) hand_over(*workers_[static_cast<size_t>(i - 1)]);
    call(0);
    auto finished = [&] { return unfinished_.load(std::memory_order_acquire) == 0; };
    while (!spin(finished, std::chrono::microseconds(50))) sched_yield();  // a worker may wait for this very CPU
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
    return true;
  }

 private:
  static void hand_over(Worker& w) {
    w.ticket.fetch_add(1);
    if (w.asleep.load()) w.ticket.notify_one();
  }
  void call(int i) {
    inside = true;
    try {
      part_(context_, i);
    } catch (...) {
      std::lock_guard lock(error_lock_);
      if (!error_) error_ = std::current_exception();
    }
    inside = false;
  }
  void work(Worker& w, int i) {
    number = i;
    for (int seen = 0;; ++seen) {
      if (!spin([&] { return w.ticket.load(std::memory_order_acquire) != seen; }, std::chrono::microseconds(200))) {
        w.asleep.store(true);
        w.ticket.wait(seen);
        w.asleep.store(false);
      }
      if (!part_) return;
      call(i);
      unfinished_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::vector<std::unique_ptr<Worker>> workers_;
  void (*part_)(void*, int) = nullptr;
  void* context_ = nullptr;
  std::atomic<int> unfinished_ = 0;
  std::mutex busy_, error_lock_;
  std::exception_ptr error_;
};

int default_threads() {
  if (const char* text = std::getenv("OMP_NUM_THREADS"))
    if (int n = std::atoi(text); n > 0) return n;
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) return CPU_COUNT(&cpus);
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::unique_ptr<Pool>& pool() {
  static auto the_pool = std::make_unique<Pool>(default_threads());
  return the_pool;
}

}  // namespace

int num_threads() { return inside ? 1 : pool()->threads(); }

int worker_number() { return number; }

thread_local int fixed_parts = 0;

int sum_parts() { return inside ? 1 : fixed_parts > 0 ? fixed_parts : num_threads(); }

FixedSumParts::FixedSumParts(int parts) : before_(fixed_parts) {
  VAPO_CHECK(parts >= 1, "[FixedSumParts] {} must be at least 1", parts);
  fixed_parts = parts;
}

FixedSumParts::~FixedSumParts() { fixed_parts = before_; }

void set_num_threads(int threads) {
  VAPO_CHECK(threads >= 1, "[set_num_threads] {} must be at least 1", threads);
  if (threads != pool()->threads()) pool() = std::make_unique<Pool>(threads);
}

void detail::run_parts(int parts, void (*part)(void*, int), void* context) {
  if (inside || !pool()->run(parts, part, context))
    for (int i = 0; i < parts; ++i) part(context, i);
}

}  // namespace vapo
