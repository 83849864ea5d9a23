#pragma once
// Asynchronous copies into shared memory: done when they are waited for, and not before.

#include "cuda_runtime.h"

namespace emulated {
struct PendingCopy {
  void* to;
  const void* from;
  size_t bytes;
  unsigned thread;
};
inline std::vector<PendingCopy> pending;
inline unsigned running_thread() { return fibers ? fibers->current() : 0; }
}  // namespace emulated

inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes) {
  auto aligned = [&](const void* p) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; };
  if ((bytes != 4 && bytes != 8 && bytes != 16) || !aligned(to) || !aligned(from)) std::abort();  // a GPU's rules
  emulated::pending.push_back({to, from, bytes, emulated::running_thread()});
}
inline void __pipeline_commit() {}
// Of this thread's copies; here of all its batches.
inline void __pipeline_wait_prior(size_t) {
  std::erase_if(emulated::pending, [](const emulated::PendingCopy& c) {
    if (c.thread != emulated::running_thread()) return false;
    std::memcpy(c.to, c.from, c.bytes);
    return true;
  });
}
