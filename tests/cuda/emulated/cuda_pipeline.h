#pragma once
// Asynchronous copies into shared memory: done when they are waited for, and not before.

#include <map>

#include "cuda_runtime.h"

namespace emulated {
struct PendingCopy {
  void* to;
  const void* from;
  size_t bytes;
  unsigned thread;
  size_t batch;
};
inline std::vector<PendingCopy> pending;
inline std::map<unsigned, size_t> committed;  // of a thread: how many batches
inline unsigned running_thread() { return fibers ? fibers->current() : 0; }
}  // namespace emulated

inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes) {
  auto aligned = [&](const void* p) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; };
  if ((bytes != 4 && bytes != 8 && bytes != 16) || !aligned(to) || !aligned(from)) std::abort();  // a GPU's rules
  unsigned thread = emulated::running_thread();
  emulated::pending.push_back({to, from, bytes, thread, emulated::committed[thread]});
}
inline void __pipeline_commit() { ++emulated::committed[emulated::running_thread()]; }
// Of this thread's batches all but the last `count`.
inline void __pipeline_wait_prior(size_t count) {
  unsigned thread = emulated::running_thread();
  std::erase_if(emulated::pending, [&](const emulated::PendingCopy& c) {
    if (c.thread != thread || c.batch + count >= emulated::committed[thread]) return false;
    std::memcpy(c.to, c.from, c.bytes);
    return true;
  });
}
