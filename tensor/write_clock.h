#pragma once
// One clock for the order in which things happen. Whoever keeps a tensor for later (autograd: with each recorded
// operation) takes a tick of it; tensors remember when their handle was made and when their elements were last
// written. So what was kept can be told from what was written since, at the price of two numbers a tensor.

#include <atomic>
#include <cstdint>

namespace vapo {

class WriteClock {
 public:
  // Of a moment: as large as the next tick. A tensor written before tick t has written_at() ≤ t, after it > t.
  static uint64_t now() { return next_.load(std::memory_order_relaxed); }
  static uint64_t tick() { return next_.fetch_add(1, std::memory_order_relaxed); }

 private:
  static constinit inline std::atomic<uint64_t> next_{1};
};

}  // namespace vapo
